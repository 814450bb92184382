"""What an import found, and what became of it: found = landed + unchanged + refused, and sums before and after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from lake.importers.wording import counted

KEPT_DIFFERENCES = 1_000  # of a table; the others are counted
_SAMPLES = 20  # differences that the text names; the JSON has all that are kept
_CENT = 0.005
_MONEY = ("pnl", "daily_pnl", "realized_pnl", "actual_pnl", "total_pnl", "fees", "commission")
_OTHERWISE = "For rows of another shape `lake import generic SOURCE --suggest` drafts a column map."
_TOLD = "data_quality"  # where what a store derived of its rows goes
_TINY = 1e-6  # of quantities: below what any exchange trades


@dataclass(frozen=True, slots=True)
class Difference:
    """Two sources that tell the same story in different words; what was there first is kept, unless only it had ended.

    Attributes:
        dataset, key, column: which value.
        kept: what the lake holds.
        found: what the other source says.
    """

    dataset: str
    key: str
    column: str
    kept: Any
    found: Any

    def text(self) -> str:
        """One line."""
        return f"{self.dataset} {self.key} {self.column}: kept {self.kept!r}, the other says {self.found!r}"


@dataclass(frozen=True, slots=True)
class Sum:
    """A column's total before and after.

    Attributes:
        column: dataset and column.
        found: total over all rows of the source.
        refused: of rows that were refused.
        repeated: of rows that say again what another row of the source says.
        differing: of values that the lake keeps otherwise: this source's less the lake's.
        in_lake: total over the lake's rows that came of them, read back; None in a dry run.
        since: by how much other writers changed values between the import's write and its reading back.
    """

    column: str
    found: float
    refused: float
    repeated: float
    differing: float
    in_lake: float | None
    since: float = 0.0

    @property
    def expected(self) -> float:
        """What the lake should hold."""
        return self.found - self.refused - self.repeated - self.differing + self.since

    @property
    def equal(self) -> bool:
        """Whether it holds that: money to the cent, all else to a millionth, or to the last bits of a large total."""
        return self.in_lake is None or abs(self.expected - self.in_lake) <= self._least

    @property
    def is_otherwise(self) -> bool:
        """Whether the lake is meant to hold another total: a rule changed values, or another source's are kept."""
        return abs(self.differing) > self._least

    @property
    def _least(self) -> float:
        largest = max(map(abs, (self.found, self.differing, self.in_lake or 0.0)))
        return max(_CENT if self.is_money else _TINY, 1e-12 * largest)

    @property
    def is_money(self) -> bool:
        """Whether it is an amount of money."""
        return self.column.rpartition(".")[2] in _MONEY

    def shown(self, value: float) -> str:
        """A total for people: money with cents, all else with what digits it has, up to eight."""
        if self.is_money:
            return f"{value:,.2f}"
        digits = f"{value:,.8f}".rstrip("0").rstrip(".")
        return "0" if digits == "-0" else digits


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table.

    Attributes:
        table: what the source calls it.
        dataset: where its rows went.
        found: rows read.
        landed: rows that made a row of the lake, or changed one; in a dry run, that would.
        changed: those of them that changed one.
        unchanged: rows that the lake, or an earlier row of the source, holds already.
        refused: rows that do not fit, kept in quarantine with their reasons.
        reasons: reason -> rows.
        differences: what the lake has from another source, and this one tells otherwise (the first of them).
        differences_found: how many there are.
        sums: totals before and after.
        notes: what else is to be known.
        failed: whether not all of it could be read.
        changed_since: rows of which other writers changed a value of a sum between the import's write and its reading
            back.
    """

    table: str
    dataset: str
    found: int = 0
    landed: int = 0
    changed: int = 0
    unchanged: int = 0
    refused: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    differences: Sequence[Difference] = ()
    differences_found: int = 0
    sums: Sequence[Sum] = ()
    notes: Sequence[str] = ()
    failed: bool = False
    changed_since: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every row is accounted for, and every sum is equal."""
        return self.found == self.landed + self.unchanged + self.refused and all(s.equal for s in self.sums)


@dataclass(frozen=True, slots=True)
class ImportReport:
    """All tables of one import."""

    kind: str
    source: str
    dry_run: bool
    tables: tuple[TableReport, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the tables."""
        names = ("found", "landed", "changed", "unchanged", "refused", "differences_found")
        return {name: sum(getattr(table, name) for table in self.tables) for name in names}

    @property
    def balanced(self) -> bool:
        """Whether everything is accounted for."""
        return all(table.balanced for table in self.tables)

    @property
    def failed(self) -> bool:
        """Whether something could not be read to its end."""
        return any(table.failed for table in self.tables)

    @property
    def fits_nothing(self) -> bool:
        """Whether there are rows, and all of them were refused: it may be a store of another kind.

        What is kept beside rows as it is told, whatever it is, does not count, where there are rows.
        """
        rows = [table for table in self.tables if table.found and table.dataset != _TOLD] or self.tables
        return 0 < sum(table.found for table in rows) == sum(table.refused for table in rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        tables = [
            {
                **asdict(table),
                "balanced": table.balanced,
                "sums": [_as_dict(s) for s in table.sums],
            }
            for table in self.tables
        ]
        told = {"kind": self.kind, "source": self.source, "dry_run": self.dry_run, "balanced": self.balanced}
        told |= {"failed": self.failed, "fits_nothing": self.fits_nothing}
        return {**told, "totals": self.totals, "tables": tables}

    def text(self) -> str:
        """For people.

        >>> print(ImportReport("journal", "j.json", False, (TableReport("trades", "trades", 3, 1, 0, 1, 1),)).text())
        journal j.json: 3 rows found = 1 landed (0 of them changed) + 1 unchanged + 1 refused
          trades -> trades: 3 found, 1 landed, 1 unchanged, 1 refused
        """
        totals = self.totals
        what = "would land" if self.dry_run else "landed"
        landed = f"{totals['landed']:,} {what} ({totals['changed']:,} of them changed)"
        rest = f"{totals['unchanged']:,} unchanged + {totals['refused']:,} refused"
        lines = [f"{self.kind} {self.source}: {counted(totals['found'], 'row')} found = {landed} + {rest}"]
        for table in self.tables:
            lines += _lines(table)
        if not self.balanced:
            lines.append("It does not balance: see the sums and counts above.")
        if self.fits_nothing:
            lines.append(f"All of it was refused: is it of another kind? {_OTHERWISE}")
        return "\n".join(lines)


def _as_dict(total: Sum) -> dict[str, Any]:
    return {**asdict(total), "expected": total.expected, "equal": total.equal, "is_otherwise": total.is_otherwise}


def _lines(table: TableReport) -> Iterable[str]:
    counts = [f"{getattr(table, n):,} {n}" for n in ("found", "landed", "unchanged", "refused") if getattr(table, n)]
    yield f"  {table.table} -> {table.dataset}: {', '.join(counts) or 'empty'}"
    for total in table.sums:
        yield f"    {_sum_line(total)}"
    if table.changed_since:
        yield f"    changed by other writers since this import wrote or met them: {counted(table.changed_since, 'row')}"
    for reason, count in Counter(table.reasons).most_common():
        yield f"    refused {count:,} x {reason}"
    for difference in table.differences[:_SAMPLES]:
        yield f"    differs: {difference.text()}"
    if table.differences_found > _SAMPLES:
        yield f"    ... {counted(table.differences_found, 'difference')} in all"
    for note in table.notes:
        yield f"    note: {note}"


def _sum_line(total: Sum) -> str:
    parts = [f"{total.shown(total.found)} found"]
    others = [(name, getattr(total, name)) for name in ("refused", "repeated", "differing")]
    parts += [f"{total.shown(value)} {name}" for name, value in [*others, ("changed since", total.since)] if value]
    if total.in_lake is not None:
        parts.append(f"{total.shown(total.in_lake)} in the lake, {_verdict(total)}")
    return f"sum of {total.column}: {', '.join(parts)}"


def _verdict(total: Sum) -> str:
    """Of a sum that was read back: a total that was meant to become another is not called equal."""
    if not total.equal:
        return "NOT EQUAL"
    why = ["the rules of the column and the differences below"] if total.is_otherwise else []
    why += ["what other writers changed since"] if total.since else []
    return f"as {' and '.join(why)} have it" if why else "equal"
