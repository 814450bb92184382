"""Round trips of executions of which a bot has purged some, and the lake has them.

What is left of one that the lake has is no other; one that went on when they landed ends with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Known, Options, Row, Rule
from lake.importers.kinds.binance_trips import MEMBERS, TRIP, Series, series_of
from lake.importers.mapping import found_before
from lake.importers.there import columns_of, held
from lake.spec import registry

_COLUMNS = ["fill_id", "trade_id"]
_OPEN = (
    "SELECT fill_id FROM fills WHERE json_exists(extra, $path) "
    "AND (trade_id IS NULL OR trade_id NOT IN (SELECT trade_id FROM trades)) ORDER BY fill_id"
)


class LandedTrips:
    """Tells which executions are part of a round trip that landed before, when the bot still had all of it.

    Args:
        fill_id: the id of an execution.
        label: of the table of executions, under which they are kept as they were found.

    Attributes:
        open: the executions that landed and are in no round trip of the lake, of each series as they were found.
    """

    def __init__(self, fill_id: Rule, label: str) -> None:
        self._fill_id, self._label = fill_id, label
        self.open: dict[Series, list[Row]] = {}
        self._is_opened = False

    def opened(self, lk: Any, _options: Options) -> None:
        """Look up which executions are open, before any of this import land."""
        if lk is None or self._is_opened:
            return
        self._is_opened = True
        names = lk.frame(_OPEN, {"path": f'$.imported."{self._label}"'})["fill_id"].to_list()
        for row in held(lk, registry.get("fills"), [{"fill_id": name} for name in names]).values():
            found = found_before(row, self._label)
            self.open.setdefault(series_of(found), []).append(found)

    def fills(self, lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row]:
        """Executions, each with the round trip that the lake has it in; what is left of one makes none."""
        trips, landed = self._looked_up(lk, rows, options)
        for row, names in zip(rows, trips, strict=True):
            is_rest = _is_rest(names, landed)
            yield {**row, TRIP: landed.get(self._name(row, row["trade_id"], options))} if is_rest else row

    def trips(self, lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row | Known]:
        """Round trips; what is left of one that the lake has is known."""
        trips, landed = self._looked_up(lk, rows, options)
        yield from (Known(row) if _is_rest(names, landed) else row for row, names in zip(rows, trips, strict=True))

    def _looked_up(self, lk: Any, rows: Sequence[Row], options: Options) -> tuple[list[list[str]], Mapping[str, str]]:
        """For each row the executions of its round trip; and execution -> the round trip that the lake has it in."""
        of_group: dict[int, list[str]] = {}  # rows of one group share the list of its members
        for row in rows:
            if (key := id(row.get(MEMBERS))) not in of_group:
                of_group[key] = self._names(row, options)
        names = sorted({name for names in of_group.values() for name in names})
        there = columns_of(lk, registry.get("fills"), [{"fill_id": name} for name in names], _COLUMNS).values()
        landed = {row["fill_id"]: row["trade_id"] for row in there if row.get("trade_id") is not None}
        return [of_group[id(row.get(MEMBERS))] for row in rows], landed

    def _names(self, row: Row, options: Options) -> list[str]:
        """The ids of all executions of a row's round trip, whose own id is that of the first."""
        with suppress(InvalidRowError):  # it is refused when it is mapped
            return [self._name(row, member, options) for member in row.get(MEMBERS) or ()]
        return []

    def _name(self, row: Row, member: Any, options: Options) -> str:
        done: str = self._fill_id.read({**row, "trade_id": member}, options)
        return done


def _is_rest(names: Sequence[str], landed: Mapping[str, str]) -> bool:
    return any(landed.get(name, names[0]) != names[0] for name in names)
