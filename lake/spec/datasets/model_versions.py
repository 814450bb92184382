"""The model registry."""

from lake.spec.columns import EXTRA, document, moment, number, text
from lake.spec.dataset import Dataset, Partition

DATASET = Dataset(
    name="model_versions",
    meaning="one version of a trained model",
    columns=(
        text("version", "names the version", required=True),
        text("name", "name of the model"),
        text("run_id", "the training run it came from"),
        text("symbol", "the symbol it is for; empty for all"),
        text("regime", "the market regime it is for; empty for all"),
        text("stage", "where in its life it is", choices=("candidate", "live", "retired")),
        text("path", "its file, relative to the lake; none when it was removed"),
        text("format", "of the file", choices=("skops", "joblib", "pickle")),
        text("sha256", "of the file"),
        document("dataset_manifest", "the data it was trained on"),
        document("feature_schema", "names and types of its inputs"),
        document("metrics", "how it did, fold by fold"),
        number("threshold", "score from which it says yes"),
        document("live_before", "versions that were live before it, the last one last"),
        moment("trained_until", "when the last label that it was trained on was over"),
        moment("created_at", "when it was trained", required=True),
        moment("promoted_at", "when it went live"),
        moment("retired_at", "when it was retired"),
        moment("withdrawn_at", "when it was retired by hand: no rollback goes back to it"),
        EXTRA,
    ),
    key=("version",),
    event_time="created_at",
    known_at="created_at",
    partition=Partition(),
    in_use_when={"stage": ("live",)},
    generated_id="version",
    defaults={"created_at": "now", "stage": "candidate", "symbol": "", "regime": ""},
)
