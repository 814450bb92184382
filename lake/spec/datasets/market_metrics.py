"""Numbers about a market that are no candles: funding rate, open interest, sentiment."""

from lake.spec.columns import SYMBOL, VENUE, document, moment, number, text
from lake.spec.dataset import Dataset, Partition, Period

DATASET = Dataset(
    name="market_metrics",
    meaning="one value of one market metric at one time",
    columns=(
        VENUE,
        SYMBOL,
        text("metric", "such as funding_rate, open_interest, long_short_ratio, fear_greed_index", required=True),
        moment("time", "when the value was published", required=True),
        number("value", "the value, in the metric's own unit", required=True),
        document("extra", "the row as an import found it; null for any other value"),
    ),
    key=("venue", "symbol", "metric", "time"),
    event_time="time",
    known_at="time",
    partition=Partition("time", Period.MONTH),
    sort=("symbol", "metric", "venue", "time"),
    defaults={"venue": ""},
    only_known=True,
)
