"""Round trips of executions of which a bot has purged some, and the lake has them.

What is left of one that the lake has is no other; one that went on when they landed ends with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
import orjson
import polars as pl

from lake.errors import InvalidRowError
from lake.importers.base import Known, Options, Row, Rule
from lake.importers.kinds.binance_trips import MEMBERS, TRIP, Series
from lake.importers.mapping import found_before
from lake.importers.reading.database import Database
from lake.importers.there import columns_of
from lake.query.fitting import batches
from lake.spec import registry
from lake.spec.decode import plain_rows

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]
_COLUMNS = ["fill_id", "trade_id"]
_ORDER = ["executed_at", "fill_id"]
_TOLD = ["bot_id", "symbol", "is_test_mode"]  # of a series
_OPEN = """
    SELECT fill_id, executed_at, found ->> 'trade_id' AS number, coalesce(found -> 'bot_id', 'null') AS bot_id,
        coalesce(found -> 'symbol', 'null') AS symbol, coalesce(found -> 'is_test_mode', 'null') AS is_test_mode
    FROM (SELECT fill_id, executed_at, trade_id, json_extract(extra, $path) AS found FROM fills)
    WHERE found IS NOT NULL AND (trade_id IS NULL OR trade_id NOT IN (SELECT trade_id FROM trades))
"""
_NUMBERS = "SELECT CAST(trade_id AS text) AS number FROM bot_trades"
_PIECE = 5_000  # executions that are read together
_NUMBERED = 100_000  # numbers of them


class LandedTrips:
    """Tells which executions are part of a round trip that landed before, when the bot still had all of it.

    Args:
        fill_id: the id of an execution.
        label: of the table of executions, under which they are kept as they were found.
        db: of the bots.
    """

    def __init__(self, fill_id: Rule, label: str, db: Database) -> None:
        self._fill_id, self._label, self._db = fill_id, label, db
        self._lk: Any = None
        self._gone: dict[Series, pl.DataFrame] = {}

    def opened(self, lk: Any, _options: Options) -> None:
        """Look up which executions are open and purged, before any of this import land."""
        if lk is not None and self._lk is None:
            self._lk = lk
            parts = list(self._purged(lk))
            gone = pl.concat(parts).sort(_ORDER) if parts else pl.DataFrame()
            named = gone.partition_by(_TOLD, as_dict=True, include_key=False, maintain_order=True) if parts else {}
            self._gone = {tuple(map(orjson.loads, series)): part for series, part in named.items()}

    def purged(self) -> Mapping[Series, Callable[[], Iterator[Row]]]:
        """Series -> its open executions that the database no longer has, in order of time, as they were found."""
        return {series: partial(self._found, part) for series, part in self._gone.items()}

    def _purged(self, lk: Any) -> Iterator[pl.DataFrame]:
        """Executions that landed, are in no round trip of the lake, and not in the database, in pieces.

        Of those that the bots have, a hash each is held: there may be as many as there are.
        """
        there: Hashes | None = None
        for batch in batches(lk.sql(_OPEN, {"path": f'$.imported."{self._label}"'}), _NUMBERED):
            found = pl.DataFrame(batch)
            there = self._there() if there is None else there
            hashes = found["number"].hash().to_numpy()
            places = np.minimum(there.searchsorted(hashes), max(there.size - 1, 0))
            is_gone = there[places] != hashes if there.size else np.ones(found.height, np.bool_)
            if is_gone.any():
                yield found.filter(pl.Series(is_gone)).drop("number")

    def _there(self) -> Hashes:
        """What the numbers of the database's executions hash to, in order."""
        frames = self._db.frames(_NUMBERS, {"number": pl.String()}, _NUMBERED)
        return np.sort(np.concatenate([np.empty(0, np.uint64), *(f["number"].hash().to_numpy() for f in frames)]))

    def _found(self, part: pl.DataFrame) -> Iterator[Row]:
        ds = registry.get("fills")
        for piece in part.iter_slices(_PIECE):
            rows = plain_rows(piece, ["fill_id", "executed_at"])
            there = columns_of(self._lk, ds, rows, ["fill_id", "extra"], are_there=True)
            yield from (found_before(there[row["fill_id"],], self._label) for row in rows)

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
            names = [self._name(row, member, options) for member in row.get(MEMBERS) or ()]
            return [] if None in names else names  # one without an id is refused when it is mapped
        return []

    def _name(self, row: Row, member: Any, options: Options) -> str:
        done: str = self._fill_id.read({**row, "trade_id": member}, options)
        return done


def _is_rest(names: Sequence[str], landed: Mapping[str, str]) -> bool:
    return any(landed.get(name, names[0]) != names[0] for name in names)
