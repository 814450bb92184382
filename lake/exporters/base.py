"""What an export is: which rows, where they go, and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lake.errors import UsageError

Tell = Callable[[int], None]  # told how many more rows are written


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: of a dataset or view, narrowed down, or of a query.

    Attributes:
        name: of the dataset or view.
        sql: a read-only statement instead.
        where: an SQL condition on the dataset's or view's columns.
        columns: only these; all of a dataset but ``period`` when left out.
        symbols: only of these.
        timeframe: only of this one.
        venue: only of this one; None takes all.
        start, end: of a dataset's event time; start is inside, end is not.

    >>> Selection()
    Traceback (most recent call last):
    lake.errors.UsageError: export: what? Give the name of a dataset or view, or sql.
    """

    name: str = ""
    sql: str = ""
    where: str = ""
    columns: tuple[str, ...] = ()
    symbols: tuple[str, ...] = ()
    timeframe: str = ""
    venue: str | None = None
    start: Any = None
    end: Any = None

    def __post_init__(self) -> None:
        if bool(self.name) is bool(self.sql):
            what = "a name or sql, not both" if self.name else "what?"
            raise UsageError(what, where="export", todo="Give the name of a dataset or view, or sql.")
        if self.sql and (self.where or self.narrowed):
            raise UsageError("a query says itself which rows", where="export", todo="Put the conditions into the SQL.")

    @property
    def narrowed(self) -> bool:
        """Whether a symbol, timeframe, venue or time is asked for."""
        times = (self.start, self.end, self.venue)
        return bool(self.symbols or self.timeframe) or any(given is not None for given in times)


@dataclass(frozen=True, slots=True)
class Target:
    """Where rows go.

    Attributes:
        to: a file, a folder, or ``postgresql://...``.
        format: see :data:`lake.exporters.run.FORMATS`; by the ending or address when left out.
        table: of a database; the dataset's or view's name when left out. ``schema.table`` in PostgreSQL.
        replace: put it in the place of what is there.
        append: add to the table that is there.
    """

    to: str | Path
    format: str = ""
    table: str = ""
    replace: bool = False
    append: bool = False

    def __post_init__(self) -> None:
        if not str(self.to):
            raise UsageError("where to?", where="export", todo="Name a file, a folder or a database.")
        if self.replace and self.append:
            raise UsageError("replace and append exclude each other", where="export")


@dataclass(frozen=True, slots=True)
class Written:
    """What a format wrote: rows, and files or tables."""

    rows: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported.

    Attributes:
        what: the dataset or view; ``query`` for SQL.
        format: of the target.
        to: the target, without a password.
        rows: how many were written.
        files: the files, or the table, that hold them.
        seconds: how long it took.
    """

    what: str
    format: str
    to: str
    rows: int
    files: tuple[str, ...]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def text(self) -> str:
        """For people.

        >>> print(ExportReport("trades", "csv", "t.csv", 1200, ("t.csv",), 0.1).text())
        trades: 1,200 rows to t.csv (csv)
        """
        count = f", {len(self.files):,} files" if len(self.files) > 1 else ""
        return f"{self.what}: {self.rows:,} row{'' if self.rows == 1 else 's'} to {self.to} ({self.format}{count})"
