"""Every signal, taken or not."""

from lake.spec.columns import (
    CONFIDENCE, EMPTY, ENTRY_PRICE, EXTRA, STOP_LOSS, STRATEGY, TIMEFRAME, TP1, TP2, TP3, WHO_AND_WHERE, document, moment, number, text,
)  # fmt: skip
from lake.spec.dataset import Dataset, Partition, Period

DATASET = Dataset(
    name="signals",
    meaning="one signal that a strategy gave, with what was done about it and why",
    columns=(
        text("signal_id", "names the signal", required=True),
        *WHO_AND_WHERE,
        TIMEFRAME,
        STRATEGY,
        text("signal_type", "what it asks for", choices=("BUY", "SELL", "HOLD")),
        text("direction", "of the position it would open", choices=("LONG", "SHORT")),
        number("strength", "how strong", "0-100", minimum=0, maximum=100),
        CONFIDENCE,
        ENTRY_PRICE,
        STOP_LOSS,
        TP1,
        TP2,
        TP3,
        document("indicators", "indicator values at that time"),
        text("action", "what was done about it", choices=("EXECUTED", "IGNORED", "REJECTED")),
        text("rejection_reason", "why it was not traded"),
        text("dedupe_key", "venue, symbol, timeframe, direction and day: signals that repeat each other share it"),
        text("trade_id", "the trade that came of it"),
        moment("signal_time", "when it was given", required=True),
        EXTRA,
    ),
    key=("signal_id",),
    event_time="signal_time",
    known_at="signal_time",
    partition=Partition("signal_time", Period.MONTH),
    sort=("signal_time", "signal_id"),
    generated_id="signal_id",
    defaults={**EMPTY, "signal_time": "now"},
)
