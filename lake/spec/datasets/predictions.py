"""Model predictions and their outcomes."""

from lake.spec.columns import (
    CHANGED_INPUTS,
    CONFIDENCE,
    EMPTY,
    EXTRA,
    TIMEFRAME,
    WHO_AND_WHERE,
    flag,
    moment,
    number,
    price,
    text,
    whole,
)
from lake.spec.dataset import Dataset, Inputs, Partition, Period
from lake.spec.rules import InOrder

DATASET = Dataset(
    name="predictions",
    meaning="one prediction of a model, and whether it came true",
    columns=(
        text("prediction_id", "names the prediction", required=True),
        *WHO_AND_WHERE,
        TIMEFRAME,
        text("model_version", "the model"),
        text("predicted_direction", "what it predicts", choices=("UP", "DOWN", "FLAT", "LONG", "SHORT")),
        number("probability", "that it comes true", "0-1", minimum=0, maximum=1),
        CONFIDENCE,
        price("price", "price when it was made", minimum=0),
        whole("horizon_minutes", "how far it looks", "min", minimum=1),
        moment("predicted_at", "when it was made", required=True),
        moment("due_at", "when its outcome can be known"),
        price("actual_price", "price at its horizon"),
        number("actual_return", "price change until then, as a fraction"),
        flag("correct", "whether it came true"),
        moment("resolved_at", "when the outcome was recorded"),
        CHANGED_INPUTS,
        EXTRA,
    ),
    key=("prediction_id",),
    event_time="predicted_at",
    known_at="coalesce(resolved_at, predicted_at)",
    partition=Partition("predicted_at", Period.YEAR),
    sort=("predicted_at", "prediction_id"),
    open_when={"resolved_at": (None,)},
    ends_at="resolved_at",
    generated_id="prediction_id",
    defaults={**EMPTY, "predicted_at": "now"},
    rules=(InOrder("predicted_at", "due_at"),),
    inputs=Inputs(
        ("predicted_at", "predicted_direction", "probability", "confidence", "horizon_minutes", "model_version"),
        decided_at=("predicted_at",),
    ),
)
