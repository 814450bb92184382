"""The ``lake`` command."""

from lake.cli import demo, ingesting, maintaining, querying, starting
from lake.cli.app import main

COMMANDS = (demo, ingesting, maintaining, querying, starting)  # importing them put their commands on ``main``

__all__ = ["COMMANDS", "main"]
