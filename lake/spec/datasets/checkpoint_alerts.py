"""What was advised when a position passed a checkpoint."""

from lake.spec.columns import CONFIDENCE, EXTRA, moment, number, price, text
from lake.spec.dataset import Dataset, Link, Partition, Period

DATASET = Dataset(
    name="checkpoint_alerts",
    meaning="one advice given when a position passed 25, 50, 75 or 85 % of the way to its target",
    columns=(
        text("alert_id", "names the alert", required=True),
        text("position_id", "the position", required=True),
        number("level", "how far towards the target", "%", minimum=0, maximum=100),
        price("price", "price then"),
        text(
            "recommendation",
            "what was advised; null while nothing was",
            choices=("HOLD", "PARTIAL_CLOSE", "CLOSE_NOW", "MOVE_SL"),
        ),
        CONFIDENCE,
        moment("alerted_at", "when", required=True),
        EXTRA,
    ),
    key=("alert_id",),
    event_time="alerted_at",
    known_at="alerted_at",
    partition=Partition("alerted_at", Period.YEAR),
    sort=("alerted_at", "alert_id"),
    kept_by=(Link("positions", "position_id", "position_id"),),
    generated_id="alert_id",
    defaults={"alerted_at": "now"},
)
