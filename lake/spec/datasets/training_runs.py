"""Training runs."""

from lake.spec.columns import EXTRA, document, moment, number, text, whole
from lake.spec.dataset import Dataset, Partition

DATASET = Dataset(
    name="training_runs",
    meaning="one training run, whether a model came of it or not",
    columns=(
        text("run_id", "names the run", required=True),
        text("model_name", "what was trained"),
        text("trigger", "why: count, age, drift, by hand"),
        text("status", "how it ended", choices=("running", "done", "failed")),
        text("error", "why it failed"),
        document("dataset_manifest", "the data it was trained on"),
        document("parameters", "of the training"),
        document("metrics", "how it did, fold by fold"),
        whole("rows", "rows it was trained on", minimum=0),
        number("duration_seconds", "how long it took", "s", minimum=0),
        moment("started_at", "when it began", required=True),
        moment("finished_at", "when it ended"),
        EXTRA,
    ),
    key=("run_id",),
    event_time="started_at",
    known_at="coalesce(finished_at, started_at)",
    partition=Partition(),
    open_when={"status": ("running",)},
    ends_at="finished_at",
    generated_id="run_id",
    defaults={"started_at": "now", "status": "running"},
)
