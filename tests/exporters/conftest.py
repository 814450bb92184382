"""The servers of the importers' tests, for what goes the other way."""

from tests.importers.conftest import postgres

__all__ = ["postgres"]
