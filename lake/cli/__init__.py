"""The ``lake`` command."""

from lake.cli import (
    datasets,
    demo,
    exporting,
    health,
    importing,
    ingesting,
    judging,
    labelling,
    maintaining,
    models,
    querying,
    reporting,
    running,
    starting,
)
from lake.cli.app import main

# importing them put their commands on ``main``
COMMANDS = (
    datasets,
    demo,
    exporting,
    health,
    importing,
    ingesting,
    judging,
    labelling,
    maintaining,
    models,
    querying,
    reporting,
    running,
    starting,
)

__all__ = ["COMMANDS", "main"]
