"""SQL expressions for when a bot could first have known a row."""

from lake.spec.timeframes import ALL, micros

CANDLE_CLOSE = (
    "open_time + to_microseconds(CASE timeframe "
    + " ".join(f"WHEN '{name}' THEN {micros(name)}" for name in ALL)
    + " END)"
)
