"""What was found wrong with data."""

from lake.spec.columns import EXTRA, document, moment, text, whole
from lake.spec.dataset import Dataset, Partition, Period

DATASET = Dataset(
    name="data_quality",
    meaning="one finding of one check on one dataset",
    columns=(
        text("finding_id", "names the finding", required=True),
        text("check", "such as gaps, duplicates, ohlc, rejected", required=True),
        text("dataset", "the dataset it is about", required=True),
        text("venue", "the exchange, empty where it does not matter", required=True),
        text("symbol", "canonical symbol, where it matters"),
        text("timeframe", "of the candles, where it matters"),
        text("severity", "how bad", choices=("info", "warning", "error")),
        whole("count", "how many rows or bars", minimum=0),
        document("details", "what else is known"),
        moment("time", "when it was found", required=True),
        EXTRA,
    ),
    key=("check", "dataset", "time", "finding_id"),
    event_time="time",
    known_at="time",
    partition=Partition("time", Period.YEAR),
    generated_id="finding_id",
    defaults={"venue": "", "time": "now", "severity": "warning"},
)
