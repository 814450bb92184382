"""Which runs of backtests and which totals of the lake are one: the file of a run may come after its totals, or before.

Totals are of a run of their bot, symbol and timeframe when they were made within a day after it, and neither tells what
the other contradicts; or where a store holds both and compares them. The later import then uses the id that the lake
has, and keeps its own in ``extra``, by which it is found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Options, Row, RowMap
from lake.importers.kinds.met_trades import MetTrades
from lake.importers.mapping import Canonical, Mapper, found_before
from lake.importers.merging import is_same
from lake.importers.there import held
from lake.spec import registry

TOTALS = "totals"
APART = {"trades": 0.0, "win_rate": 0.051, "total_pnl_percent": 0.005}  # they are rounded
_FACTS = ("symbol", "timeframe", "strategy", "parameters", "start_time", "end_time")
_DAY = 86_400_000_000
_SQL = (
    "SELECT run_id, epoch_us(created_at) AS at, extra ->> '$.known_as_backtests' AS known_as, "
    "json_keys(extra, '$.imported') AS labels FROM backtests "
    "WHERE list_contains(?, symbol) AND json_exists(extra, '$.imported') ORDER BY run_id"
)


def tells_of(totals: Canonical, run: Canonical) -> bool:
    """Whether totals are surely those of a run: made soon after it, the same numbers, and no other facts."""
    sides = [(totals.get(name), run.get(name), apart) for name, apart in APART.items()]
    numbers = [abs(one - other) <= apart for one, other, apart in sides if one is not None and other is not None]
    facts = [(totals.get(name) or None, run.get(name) or None) for name in _FACTS]
    is_soon = 0 <= totals["created_at"] - run["created_at"] <= _DAY
    return is_soon and any(numbers) and all(numbers) and all(None in pair or is_same(*pair) for pair in facts)


class TotalledRuns(MetTrades):
    """The ids that runs, and totals without a run, have in the lake.

    Args:
        kind: of the store, as importers are called.
        made: what a run becomes, with the id that it has by itself.
        linked: the id of a run -> that of the totals with which the store's are compared.
    """

    def __init__(self, kind: str, made: RowMap, linked: Mapping[str, str]) -> None:
        super().__init__(kind, made.columns["run_id"], "run_id")
        self._made, self._linked, self._totals = made, linked, f"{kind}:{TOTALS}"

    def runs(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find the runs of the lake that were made of the totals of some runs alone."""
        self._look(lk, rows, options, lambda labels: labels == {self._totals}, lambda run, there: tells_of(there, run))

    def totals(self, lk: Any, rows: Sequence[Row], options: Options) -> None:
        """Find the runs of the lake that some totals are of."""
        self._look(lk, rows, options, lambda labels: self._totals not in labels and self.is_told(labels), tells_of)

    def _look(
        self,
        lk: Any,
        rows: Sequence[Row],
        options: Options,
        may_be: Callable[[set[str]], bool],
        is_one: Callable[[Canonical, Canonical], bool],
    ) -> None:
        told = [run for row in rows if (run := as_run(self._made, row, options)) is not None]
        if lk is None or not told:
            return
        there = lk.frame(_SQL, [list({run["symbol"] for run in told})]).rows(named=True)
        names = self._theirs.keys() | {row["run_id"] for row in there}
        lost = {run["run_id"]: run for run in told if run["run_id"] not in names}
        self._theirs |= {row["known_as"]: row["run_id"] for row in there if row["known_as"] in lost}
        free = {r["run_id"]: r["at"] for r in there if r["known_as"] is None and may_be(set(r["labels"]))}
        self._meet((own, self._linked[own]) for own in lost if self._linked.get(own) in free)
        near = [name for name, at in free.items() if any(abs(at - run["created_at"]) <= _DAY for run in lost.values())]
        landed = held(lk, registry.get(self._made.dataset), [{"run_id": name} for name in near]).values()
        ours = [row for row in landed if self._is_of_bot(row, options)]
        pairs = [(run, row) for run in lost.values() for row in ours if is_one(run, row)]
        pairs.sort(key=lambda pair: abs(pair[0]["created_at"] - pair[1]["created_at"]))
        self._meet((run["run_id"], row["run_id"]) for run, row in pairs)

    def _meet(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Take the first pairs of which neither is another's."""
        taken = set(self._theirs.values())
        for own, name in pairs:
            if own not in self._theirs and name not in taken:
                self._theirs[own] = name
                taken.add(name)

    def _is_of_bot(self, row: Canonical, options: Options) -> bool:
        """Whether the id of a run of the lake is that which this bot's has by itself."""
        found = (found_before(row, f"{self._kind}:{name}") for name in (TOTALS, "runs", "archived runs"))
        return any(self._own.read(told, options) == row["run_id"] for told in found if told is not None)


def as_run(made: RowMap, row: Row, options: Options) -> Canonical | None:
    """A run, or totals, in canonical columns without what was found; None of one that does not fit."""
    try:
        return Mapper(replace(made, keep_found=False), options, "")(row)
    except InvalidRowError:
        return None  # it is refused where it should land
