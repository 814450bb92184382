"""Realtime metrics."""

from lake.spec.columns import BOT, EXTRA, document, moment, number, price, text
from lake.spec.dataset import Dataset, Partition, Period

DATASET = Dataset(
    name="bot_metrics",
    meaning="one bot's figures at one moment",
    columns=(
        BOT,
        moment("time", "the moment", required=True),
        price("price", "price then"),
        text("position_side", "of the open position", choices=("LONG", "SHORT")),
        number("position_size", "of the open position", "base currency"),
        number("unrealized_pnl", "result if it were closed then", "quote currency"),
        number("realized_pnl", "result of what was closed", "quote currency"),
        document("indicators", "indicator values"),
        document("market_conditions", "conditions of the market"),
        EXTRA,
    ),
    key=("bot_id", "time"),
    event_time="time",
    known_at="time",
    partition=Partition("time", Period.MONTH),
    retention_days=90,
    defaults={"time": "now"},
)
