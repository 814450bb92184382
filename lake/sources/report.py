"""What an ingest did, file by file: rows in = landed + updated + duplicate + quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from lake.store.removed import Removed

_SHOWN = 10  # reasons of a file in the text
COUNTS = ("rows_in", "landed", "updated", "duplicate", "quarantined")


@dataclass(frozen=True, slots=True)
class FileReport:
    """One file.

    Attributes:
        path: as it was found.
        source: the kind of file, ``""`` when it is not known.
        status: ``done``, ``already there`` (an earlier ingest finished the same content), ``skipped`` (in a folder, and
            no candles or trades), ``failed`` (see ``error``).
        rows_in: rows read: candles, metrics, or trades that are folded into candles.
        landed: rows whose key is new in the lake; a trade landed when its candle did.
        updated: rows that replaced other values of their key.
        duplicate: rows that the lake, or a row of these files, holds already.
        quarantined: rows refused, kept with their reasons.
        reasons: reason -> rows, for the quarantined, the left out, and those that replaced rows of other files.
        error: one sentence, or ``""``.
        trades: how many of the rows read are trades, folded into candles; 0 for a file of candles.
        refused_before: rows of a file that is already there, where an earlier ingest refused all of them (``reasons``).
    """

    path: str
    source: str
    status: str
    rows_in: int = 0
    landed: int = 0
    updated: int = 0
    duplicate: int = 0
    quarantined: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    error: str = ""
    trades: int = 0
    refused_before: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every row read is accounted for."""
        return self.rows_in == self.landed + self.updated + self.duplicate + self.quarantined

    @property
    def refused(self) -> bool:
        """Whether it has rows, and all were refused, now or by an earlier ingest."""
        return self.refused_before > 0 or 0 < self.rows_in == self.quarantined


@dataclass(frozen=True, slots=True)
class IngestReport:
    """All files of one ingest.

    Attributes:
        files: one by one.
        candles_made: how many candles were made of their trades.
        removed: where files are already there, what retention has removed: rows of theirs may be among it.
    """

    files: tuple[FileReport, ...]
    candles_made: int = 0
    removed: tuple[Removed, ...] = ()

    @property
    def totals(self) -> dict[str, int]:
        """Sums over the files, and the number of files by status."""
        sums = {name: sum(getattr(f, name) for f in self.files) for name in (*COUNTS, "trades")}
        return {
            "files": len(self.files),
            **sums,
            "candles_made": self.candles_made,
            **Counter(f.status for f in self.files),
        }

    @property
    def failed(self) -> tuple[FileReport, ...]:
        """Files that could not be read."""
        return tuple(f for f in self.files if f.status == "failed")

    @property
    def refused(self) -> tuple[FileReport, ...]:
        """Files of which no row could be taken, now or before: the timeframe or the unit of time is another."""
        return tuple(f for f in self.files if f.refused)

    @property
    def balanced(self) -> bool:
        """Whether every row of every file is accounted for."""
        return all(f.balanced for f in self.files)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        files, removed = [asdict(f) for f in self.files], [asdict(r) for r in self.removed]
        return {"totals": self.totals, "balanced": self.balanced, "files": files, "removed": removed}

    def text(self, *, every_file: bool = False) -> str:
        """Totals, then the files that need a look (or every one).

        >>> print(IngestReport((FileReport("a.csv", "binance", "done", 3, 2, 0, 1),)).text())
        1 files: 3 rows in = 2 landed + 0 updated + 1 duplicate + 0 quarantined
        """
        totals = self.totals
        sums = " + ".join(f"{totals[name]:,} {name}" for name in COUNTS[1:])
        lines = [f"{len(self.files)} files: {totals['rows_in']:,} rows in = {sums}"]
        if totals["trades"]:
            lines.append(f"{totals['trades']:,} of the rows are trades, which made {self.candles_made:,} candles")
        states = {f.status for f in self.files} - {"done"}
        lines += [f"{state}: {sum(f.status == state for f in self.files)} files" for state in sorted(states)]
        lines += [f"{removed}: --again reads files that were there anew" for removed in self.removed]
        if self.refused:
            lines.append(f"refused whole: {len(self.refused)} files")
        for file in self.files:
            if every_file or file.status == "failed" or file.reasons:
                lines.append(_line(file))
        return "\n".join(lines)


def _line(file: FileReport) -> str:
    if file.status == "failed":
        return f"  failed  {file.error}"
    counts = ", ".join(f"{getattr(file, name):,} {name}" for name in COUNTS if getattr(file, name))
    reasons = "; ".join(_reasons(file.reasons))
    state = "refused" if file.refused else file.status
    counts = f"{file.refused_before:,} rows, all refused before" if file.refused_before else counts
    return f"  {state}  {file.path}: {counts or '0 rows'}" + (f" ({reasons})" if reasons else "")


def _reasons(reasons: Mapping[str, int]) -> list[str]:
    """The most frequent reasons, and how many rows have another one."""
    ordered = sorted(reasons.items(), key=lambda item: -item[1]) if len(reasons) > _SHOWN else list(reasons.items())
    shown = [f"{count:,} x {reason}" for reason, count in ordered[:_SHOWN]]
    rest = ordered[_SHOWN:]
    return [*shown, f"{sum(count for _, count in rest):,} x something else"] if rest else shown
