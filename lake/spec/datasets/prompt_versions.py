"""Prompts."""

from lake.spec.columns import EXTRA, flag, moment, text
from lake.spec.dataset import Dataset, Partition

DATASET = Dataset(
    name="prompt_versions",
    meaning="one version of a prompt",
    columns=(
        text("version", "names the version", required=True),
        text("name", "name of the prompt"),
        text("description", "what is different about it"),
        text("prompt_text", "the prompt"),
        flag("is_active", "whether it is the one in use"),
        moment("created_at", "when it was registered", required=True),
        EXTRA,
    ),
    key=("version",),
    event_time="created_at",
    known_at="created_at",
    partition=Partition(),
    in_use_when={"is_active": (True,)},
    defaults={"created_at": "now"},
)
