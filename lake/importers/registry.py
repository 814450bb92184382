"""The kinds of stores that can be imported, by name."""

from __future__ import annotations

from lake.errors import UsageError
from lake.importers.base import Importer
from lake.importers.kinds.freqtrade import Freqtrade
from lake.importers.kinds.trades_json import TradesJson

_KINDS: tuple[Importer, ...] = (Freqtrade(), TradesJson())


def kinds() -> tuple[Importer, ...]:
    """All importers, in order of their names."""
    return tuple(sorted(_KINDS, key=lambda importer: importer.name))


def by_name(name: str) -> Importer:
    """The importer of that name.

    Raises:
        UsageError: there is none.
    """
    for importer in _KINDS:
        if importer.name == name:
            return importer
    known = ", ".join(importer.name for importer in kinds())
    raise UsageError("unknown kind of store", where="kind", value=name, todo=f"One of: {known}.")
