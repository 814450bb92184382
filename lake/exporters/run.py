"""One export from end to end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lake.errors import UsageError
from lake.exporters import binance, freqtrade, parquet, postgres, sqlite, texts
from lake.exporters.asking import Asked, ask
from lake.exporters.base import ExportReport, Selection, Target, Tell, Written
from lake.spec.addresses import is_server, shown


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an export is: for a progress bar.

    Attributes:
        rows: written so far.
        count: how many there are; None when that is not known.
    """

    rows: int
    count: int | None


@dataclass(frozen=True, slots=True)
class Format:
    """One format: what writes it, the endings that mean it, and whether rows can be added to what is there."""

    write: Callable[[Asked, Target, Tell], Written]
    endings: tuple[str, ...] = ()
    can_append: bool = False
    is_table: bool = False


FORMATS = MappingProxyType(
    {
        "parquet": Format(parquet.write, (".parquet", ".pq")),
        "csv": Format(texts.write_csv, (".csv", ".csv.gz")),
        "jsonl": Format(texts.write_jsonl, (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")),
        "sqlite": Format(sqlite.write, (".sqlite", ".sqlite3", ".db"), can_append=True, is_table=True),
        "postgres": Format(postgres.write, can_append=True, is_table=True),
        "freqtrade": Format(freqtrade.write_feather),
        "freqtrade-json": Format(freqtrade.write_json),
        "binance": Format(binance.write),
    }
)


def export(
    source: Any,
    selection: Selection | str,
    target: Target | str | Path,
    *,
    progress: Callable[[Progress], None] | None = None,
) -> ExportReport:
    """Write rows of a lake to a file, folder or database, whole or not at all, in bounded memory.

    All rows are of one moment, however long it takes. Rows of a dataset come in the order of their times.

    Args:
        source: an open lake, or a lake as it was (``lk.at(...)``).
        selection: which rows; a text names a dataset or view.
        target: where to; a text is a file with a known ending, or ``postgresql://...``.
        progress: called after every batch.

    Raises:
        UsageError: an unknown format, or an option that does not go with it.
        UnknownDatasetError: there is no such dataset or view.
        StorageError: something is there already and is not to be replaced, or it cannot be written.
        QueryError: the query, or a condition, cannot be run.

    >>> import lake, tempfile
    >>> with lake.open(tempfile.mkdtemp()) as lk:
    ...     receipt = lk.trades.open(symbol="BTC/USDT", side="LONG", quantity=1.0, entry_price=100.0)
    ...     export(lk, "trades", tempfile.mkdtemp() + "/trades.csv").rows
    1
    """
    began = time.perf_counter()
    wanted = Selection(selection) if isinstance(selection, str) else selection
    place = target if isinstance(target, Target) else Target(target)
    name = format_of(place)
    asked = ask(source, wanted)
    written = FORMATS[name].write(asked, place, _Teller(asked, progress))
    lasted = round(time.perf_counter() - began, 3)
    return ExportReport(asked.name, name, shown(str(place.to)), written.rows, written.places, lasted)


def format_of(target: Target) -> str:
    """The format of a target.

    Raises:
        UsageError: an unknown one, one that nothing tells, or options that it does not take.
    """
    if "://" in str(target.to) and not is_server(str(target.to)):
        todo = "Export to a file, and copy that."
        raise UsageError("exports go to local files and to PostgreSQL", where="export", value=str(target.to), todo=todo)
    name = target.format or _told_by(str(target.to))
    if name not in FORMATS:
        what = "unknown format" if name else "which format?"
        value = name or str(target.to)
        raise UsageError(what, where="export", value=value, todo=f"Give --format: one of {', '.join(FORMATS)}.")
    form = FORMATS[name]
    if target.append and not form.can_append:
        raise UsageError(f"nothing is added to {name} files", where="export", todo="Replace them (`--replace`).")
    if target.table and not form.is_table:
        raise UsageError(f"{name} has no tables", where="export", value=target.table, todo="Leave out --table.")
    if (name == "postgres") is not is_server(str(target.to)):
        raise UsageError(f"{name} goes elsewhere", where="export", value=shown(str(target.to)), todo="Check --format.")
    return name


def _told_by(to: str) -> str:
    if is_server(to):
        return "postgres" if to.startswith("postgres") else ""
    return next((name for name, form in FORMATS.items() if form.endings and to.lower().endswith(form.endings)), "")


class _Teller:
    """Adds up the rows that are written, and tells."""

    def __init__(self, asked: Asked, progress: Callable[[Progress], None] | None) -> None:
        self._progress = progress
        self._count = asked.total() if progress is not None else None
        self._rows = 0

    def __call__(self, rows: int) -> None:
        self._rows += rows
        if self._progress is not None:
            self._progress(Progress(self._rows, self._count))
