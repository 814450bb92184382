"""Live positions as the exchange shows them."""

from lake.spec.columns import (
    CONFIDENCE, EMPTY, ENTRY_PRICE, EXTRA, SIDE, STOP_LOSS, TP1, TP2, TP3, WHO_AND_WHERE, flag, moment, number, percent, price, text,
)  # fmt: skip
from lake.spec.dataset import Dataset, Partition, Period

DATASET = Dataset(
    name="positions",
    meaning="one position, with its levels and how far it has come",
    columns=(
        text("position_id", "names the position", required=True),
        *WHO_AND_WHERE,
        SIDE,
        number("quantity", "size", "base currency", minimum=0),
        ENTRY_PRICE,
        price("current_price", "price at the last sync"),
        STOP_LOSS,
        TP1,
        TP2,
        TP3,
        price("trailing_stop", "where the trailing stop stands"),
        number("unrealized_pnl", "result if it were closed now", "quote currency"),
        percent("unrealized_pnl_percent", "the same on own money"),
        CONFIDENCE,
        flag("checkpoint_25", "whether a quarter of the way to the target was reached"),
        flag("checkpoint_50", "whether half of the way to the target was reached"),
        flag("checkpoint_75", "whether three quarters of the way to the target were reached"),
        flag("checkpoint_85", "whether 85 % of the way to the target were reached"),
        text("status", "whether it is still held", choices=("open", "closed")),
        text("trade_id", "its trade"),
        text("signal_id", "its signal"),
        moment("opened_at", "when it was opened", required=True),
        moment("synced_at", "when it was last compared with the exchange"),
        EXTRA,
    ),
    key=("position_id",),
    event_time="opened_at",
    known_at="coalesce(synced_at, opened_at)",
    partition=Partition("opened_at", Period.YEAR),
    sort=("opened_at", "position_id"),
    open_when={"status": ("open",)},
    generated_id="position_id",
    defaults={**EMPTY, "opened_at": "now", "status": "open"},
)
