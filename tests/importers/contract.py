"""What every import of a store must keep, whatever its kind: asked of each sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lake.importers.base import Options
from lake.importers.report import ImportReport
from lake.importers.run import import_from


def imported(lk: Any, kind: str, source: Path | str, **options: Any) -> ImportReport:
    """The report of an import that was planned, done and done again.

    The plan says what the import then does, everything balances, the second import changes nothing, and the source and
    what lies beside it are as they were.
    """
    said = Options(**options)
    before = _files(source)
    plan = import_from(lk, kind, str(source), said, dry_run=True)
    done = import_from(lk, kind, str(source), said)
    assert _outcome(plan) == _outcome(done)
    assert done.balanced, done.text()
    lk.drain()
    version, refused = lk.version(), quarantined(lk)
    again = import_from(lk, kind, str(source), said)
    lk.drain()
    assert again.balanced, again.text()
    assert again.totals["landed"] == 0, again.text()
    assert again.totals["refused"] == done.totals["refused"]
    assert (lk.version(), quarantined(lk)) == (version, refused)
    assert _files(source) == before
    return done


def quarantined(lk: Any) -> list[tuple[str, str, Any]]:
    """Dataset, reason and row of all that was refused."""
    return [(entry["dataset"], entry["reason"], entry["row"]) for entry in lk.writer.quarantine.read()]


def rows(lk: Any, dataset: str, *columns: str) -> list[Any]:
    """Values of some columns of all rows, in order: of one column alone, or as tuples."""
    found = lk.frame(f"SELECT {', '.join(columns)} FROM {dataset} ORDER BY ALL").rows()
    return [row[0] for row in found] if len(columns) == 1 else found


def notes(report: ImportReport) -> str:
    """All that is told besides the numbers."""
    return "\n".join(note for table in report.tables for note in table.notes)


def differences(report: ImportReport) -> list[tuple[str, Any, Any]]:
    """Column, what is kept and what is said otherwise."""
    return [(d.column, d.kept, d.found) for table in report.tables for d in table.differences]


def _outcome(report: ImportReport) -> list[Any]:
    names = ("table", "dataset", "found", "landed", "changed", "unchanged", "refused", "reasons", "differences_found")
    sums = ("column", "found", "refused", "repeated", "differing")
    return [
        [*(getattr(table, name) for name in names), *([getattr(s, name) for name in sums] for s in table.sums)]
        for table in report.tables
    ]


def _files(source: Path | str) -> dict[str, tuple[int, bytes]]:
    """Everything in the source's folder: that nothing was written, touched or left beside it, but the lake."""
    path = Path(source)
    if not path.exists():
        return {}
    folder = path if path.is_dir() else path.parent
    files = [file for file in folder.rglob("*") if file.is_file() and folder / "lake" not in file.parents]
    return {str(file): (file.stat().st_mtime_ns, file.read_bytes()) for file in files}
