"""What an importer is: a kind of store, its tables, and what their rows become here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from lake.errors import SpecError, UsageError
from lake.importers.report import Difference
from lake.spec import registry, timeframes

BATCH_ROWS = 10_000  # rows of a batch of records: each is looked up in the lake together
_NOTES = 100  # of a table
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Options:
    """What the caller knows about a store and its rows do not say.

    Attributes:
        bot_id: the bot whose history it is.
        venue: exchange.
        symbol: of rows that name none.
        quote: quote asset of symbols that are only a base: with ``USDT``, ``HIGH`` is ``HIGHUSDT``.
        timeframe: of rows that name none.
        tz: zone of times without one (``UTC``, ``Europe/Berlin``); the kind says which it takes else, or asks for one.
        mode: ``live``, ``paper`` or ``backtest``, where the store does not say.
        strategy: of rows that name none.
        percent: ``fraction`` where results in percent are stored as shares, 0.02 for 2 %; ``percent``, when left out.
        dataset: in which rows belong, where the store does not say.
        map_file: the TOML column map of a generic import.
        second_hour: whether a local time in an hour that the clock has twice means the second; rules are asked so.
        allow_pickle: whether a pickled model may be loaded, which runs whatever code is in it.

    >>> Options(mode="real")
    Traceback (most recent call last):
    lake.errors.UsageError: mode: unknown mode (got 'real'). One of live, paper, backtest.
    """

    bot_id: str = ""
    venue: str = ""
    symbol: str = ""
    quote: str = ""
    timeframe: str = ""
    tz: str = ""
    mode: str = ""
    strategy: str = ""
    percent: str = ""
    dataset: str = ""
    map_file: Path | None = None
    second_hour: bool = False
    allow_pickle: bool = False

    def __post_init__(self) -> None:
        if self.mode not in {"", "live", "paper", "backtest"}:
            raise UsageError("unknown mode", where="mode", value=self.mode, todo="One of live, paper, backtest.")
        if self.percent not in {"", "percent", "fraction"}:
            todo = "One of percent, fraction."
            raise UsageError("unknown way to store percent", where="percent", value=self.percent, todo=todo)
        if self.timeframe:
            timeframes.parse(self.timeframe)
        if self.dataset:
            registry.get(self.dataset)


@dataclass(frozen=True, slots=True)
class Rule:
    """How one of our columns is made of a row: the columns that it looks at, and what it makes of them.

    ``read`` takes a row as it was found and the options; it returns None for what is not there, and raises
    InvalidRowError for what cannot be understood. ``many``, of a rule that looks at one column, takes all values of it
    as they were found: what it returns is null wherever a value is not surely what ``read`` makes of it, and None when
    that is nowhere sure.
    """

    names: tuple[str, ...]
    read: Callable[[Row, Options], Any]
    many: Callable[[Sequence[Any], Options], pl.Series | None] | None = None


@dataclass(frozen=True)
class RowMap:
    """What rows of a table become in one dataset.

    Attributes:
        dataset: its name.
        columns: our column -> rule.
        sums: our column -> the source's column, or the names that it has in one version or another; their totals before
            and after are compared.
        when: which rows become one of this dataset; all, when left out.
        keep_found: whether the row as found is kept beside; not where that would say the same twice.
        held: the source's columns that one of ours holds as they are found, and ``extra`` need not keep again.
        apart: given the lake's row of the same key and one of the source, this one under a key of its own where they
            are not one; None where they are.
        numbered: whether a row with the id of another of its table, which tells it otherwise, gets the id with a digest
            of what it tells and lands, where the id is made of facts that several rows may share; refused, when left
            out.
        is_local: whether its own rules say that times are local, without the caller.
        written: our column -> what reads its numbers, where they are not written plainly.
        words: the source's columns in which a word for none is one of the words that a rule knows.
        decided: our columns whose rules know what the lake has: what they make takes its place, and is no difference.
        gives_way: given the lake's row of the same key, whether one of the source takes its place: of that row nothing
            is left then, and nothing is a difference.
        wanted: our columns of which it is told where no row has what they are made of, as of those that are summed.
    """

    dataset: str
    columns: Mapping[str, Rule]
    sums: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    when: Callable[[Row], bool] | None = None
    keep_found: bool = True
    held: frozenset[str] = frozenset()
    numbered: bool = False
    is_local: bool = False
    apart: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any] | None] | None = None
    written: Mapping[str, Callable[[str, Any], float]] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    decided: frozenset[str] = frozenset()
    gives_way: Callable[[Mapping[str, Any]], bool] | None = None
    wanted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ds = registry.get(self.dataset)
        for name in [*self.columns, *self.sums]:
            if name not in ds.by_name:
                raise SpecError("the map names a column that the dataset does not have", where=self.dataset, value=name)


class Notes:
    """What is to be told of a table besides its rows: that a file breaks off, that two totals disagree."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.failed = False
        self._more = 0

    def tell(self, text: str, *, failed: bool = False) -> None:
        """Add a sentence, the first hundred of them; ``failed`` when not everything could be read."""
        self.failed |= failed
        if text in self.texts:
            return
        if len(self.texts) < _NOTES:
            self.texts.append(text)
        else:
            self._more += 1
            self.texts[_NOTES:] = [f"... and {self._more:,} more such notes"]


@dataclass(frozen=True)
class Refused:
    """A piece of a source that is no row: text that cannot be parsed, an entry of another shape."""

    found: Any
    reason: str


@dataclass(frozen=True)
class Known:
    """A row that tells what others do: the lake's of another shape, as fills tell an order's, or one of its own table.

    It counts as unchanged.
    """

    found: Row


@dataclass(frozen=True)
class Undone:
    """Rows of the lake that were made of what rows of a table show to be something else.

    Attributes:
        map: what they were made by, of a dataset whose key is one text.
        label: under which they were kept as they were found.
        names: their keys, of rows of the table.
        why: they are none, for the report.
    """

    map: RowMap
    label: str
    names: Callable[[Sequence[Row], Options], Iterable[str]]
    why: str


@dataclass(frozen=True)
class Table:
    """One table of records in a store.

    Attributes:
        name: what the store calls it.
        maps: what a row becomes; the first says what becomes of the row in the report.
        rows: the rows from the beginning, at each call anew; told things of the table in the notes. One that the table
            has again may come as Known.
        count: how many there are, for progress; None when that is not known beforehand.
        opened: called with the lake (None when there is none yet) before rows are read, for rows that are made of what
            is there too.
        label: under which found rows are kept, when not under the name: the name may tell files apart.
        before: called with the lake and rows before they land, for files that belong to them; never in a plan.
        look: called with the lake (None when there is none yet) and rows before they are mapped, for rules that ask
            what is there.
        completed: given a lake and rows before all that, the same rows: each with what it no longer tells and the lake
            knows, or as Known.
        moved: the rows of the tables of the same maps to and from which rows of this one move when they end.
        undone: what rows show to be none, once they have landed; it is taken out of the lake where nobody changed it.
    """

    name: str
    maps: tuple[RowMap, ...]
    rows: Callable[[Notes], Iterator[Row | Refused | Known]]
    count: int | None = None
    label: str = ""
    before: Callable[[Any, Sequence[Row]], None] | None = None
    look: Callable[[Any, Sequence[Row], Options], None] | None = None
    completed: Callable[[Any, Sequence[Row], Options], Iterable[Row | Known]] | None = None
    opened: Callable[[Any, Options], None] | None = None
    moved: Callable[[Notes], Iterator[Row | Refused | Known]] | None = None
    undone: Undone | None = None


@dataclass(frozen=True)
class Frames:
    """Candles of one file or query, ready for the lake.

    Attributes:
        good: rows in the columns of ``candles``.
        refused: rows that do not fit: ``reason`` and ``row`` (the row as JSON text).
        found: rows read: always ``good`` and ``refused`` together.
    """

    good: pl.DataFrame
    refused: pl.DataFrame
    found: int


@dataclass(frozen=True)
class CandleTable:
    """One table of candles in a store; read as frames, since there are many.

    Attributes:
        name: what the store calls it.
        frames: the candles from the beginning, at each call anew.
        count: how many there are, for progress.
    """

    name: str
    frames: Callable[[Notes], Iterator[Frames]]
    count: int | None = None


@dataclass(frozen=True)
class Check:
    """Numbers that a store derived from rows which it holds elsewhere: they are compared, and kept as they are told.

    They become findings of ``data_quality``, which no statistics count.

    Attributes:
        name: what the store calls them.
        about: the dataset whose rows they were derived from.
        rows: the rows from the beginning; told things of them in the notes.
        compare: which of our values differ, given an open lake (None in the plan of a new one), the rows and options;
            when left out, nothing is compared, and there may be as many rows as there are.
        needs_lake: whether there is nothing to compare with in the plan of a new lake.
        needs_rows: whether it is about rows that the same import lands, so that a plan cannot compare it.
        told_by: the name under which a row carries a digest of what it tells, where it carries besides what may change:
            the file that it is in. Rows of one digest are one.
    """

    name: str
    about: str
    rows: Callable[[Notes], Iterator[Row | Refused]]
    compare: Callable[[Any, Sequence[Row], Options], Iterable[Difference]] | None = None
    needs_lake: bool = True
    needs_rows: bool = False
    told_by: str = ""


class Importer(Protocol):
    """A kind of store. Importers are stateless."""

    @property
    def name(self) -> str:
        """What ``lake import`` calls it."""

    @property
    def summary(self) -> str:
        """One line: which store it reads."""

    def tables(self, source: str, options: Options, /) -> Iterable[Table | CandleTable | Check]:
        """The tables that are in a store.

        Args:
            source: a path, or an address of a server.
            options: what the store does not say.

        Raises:
            SourceError: there is no such store, or it is of another kind.
            UsageError: an option that it needs is missing.
        """
