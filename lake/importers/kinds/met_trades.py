"""Trades of one store that have the ids of the same trades of other stores, which landed before them.

An import asks the lake which of its trades are met there, and keeps the id that a trade has by itself in ``extra`` as
``known_as_STORE``, by which it is found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from lake.importers.base import Options, Row, RowMap, Rule
from lake.importers.mapping import IMPORTED
from lake.importers.twins import base_of


def shared_id(name: str, known_as: Iterable[str]) -> str:
    """The id that all trades of one id of a store get in the lake, by that of one of them, which may be a twin.

    Args:
        name: of a row of the lake.
        known_as: the names of rows that have the store's id beside them; a lake may have twins of a twin.
    """
    return name if any(base_of(one) == name != one for one in known_as) else base_of(name)


class MetTrades:
    """The ids that trades of one store have in the lake.

    Args:
        kind: of the store, as importers are called.
        own: the id that a row has by itself.
        column: of the id, where the rows are no trades.
    """

    def __init__(self, kind: str, own: Rule, column: str = "trade_id") -> None:
        self._kind, self._own, self._column = kind, own, column
        self._known_as = f"known_as_{kind.replace('-', '_')}"
        self._theirs: dict[str, str] = {}  # own id -> the lake's

    @property
    def met_id(self) -> Rule:
        """The id that a row has in the lake."""

        def read(row: Row, options: Options) -> str:
            own: str = self._own.read(row, options)
            return self._theirs.get(own, own)

        return Rule(self._own.names, read)

    def map(self, made: RowMap) -> RowMap:
        """A map of trades, by which they meet those of other stores."""
        extra = made.columns.get("extra")

        def read(row: Row, options: Options) -> Any:
            kept = None if extra is None else extra.read(row, options)
            own = self._own.read(row, options) if self._theirs else None
            return {**(kept or {}), self._known_as: own} if own in self._theirs else kept

        names = self._own.names if extra is None else extra.names
        columns = {**made.columns, self._column: self.met_id, "extra": Rule(names, read)}
        return replace(made, columns=columns)

    def tellers(self, extra: Any) -> tuple[Mapping[str, Any], str | None]:
        """By the ``extra`` of a trade of the lake: which tables told of it, and its id in this store, if it was met."""
        loaded = orjson.loads(extra)
        labels = loaded.get(IMPORTED, {}) if isinstance(loaded, dict) else {}
        return labels, loaded.get(self._known_as) if labels else None

    def is_told(self, labels: Iterable[str]) -> bool:
        """Whether one of those tables is this store's."""
        return any(label.startswith(f"{self._kind}:") for label in labels)
