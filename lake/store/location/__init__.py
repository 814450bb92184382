"""Where a lake's bytes live: a local folder or an S3 prefix, behind one interface."""

from lake.store.location.base import Entry, Location, trusted
from lake.store.location.resolve import resolve

__all__ = ["Entry", "Location", "resolve", "trusted"]
