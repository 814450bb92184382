"""The ``lake`` command."""

from lake.cli.app import main

__all__ = ["main"]
