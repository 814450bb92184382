"""What a dataset is: columns with types, units and meanings, key, times, partition, retention."""

from __future__ import annotations

import enum
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import polars as pl

from lake.errors import SpecError, UnknownColumnError

CHANGED_INPUTS = "changed_inputs"
_TIME_NAMES = frozenset({"date", "datetime", "timestamp", "time"})


class Type(enum.Enum):
    """Logical type of a column."""

    STRING = "string"
    INT = "int64"
    FLOAT = "float64"
    BOOL = "bool"
    TIMESTAMP = "timestamp"  # microseconds since 1970, UTC
    DATE = "date"
    JSON = "json"  # text that holds one JSON value


class Period(enum.Enum):
    """Length of the time slice that one partition holds."""

    NONE = "none"
    MONTH = "month"
    YEAR = "year"
    BY_TIMEFRAME = "by timeframe"  # candles: up to 15m by month, above by year


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, type and what it means to a trader.

    ``choices`` closes a string column to those values; ``minimum`` and ``maximum`` bound a
    number, both inclusive; what is ``above`` a number is not equal to it; ``required`` columns may not be null.
    NaN stands for an unknown value, as pandas has it; in an ``exact`` column it is refused.
    """

    name: str
    type: Type
    meaning: str
    unit: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    exact: bool = False

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name != self.name.lower():
            raise SpecError("a column name is lower_case_with_underscores", value=self.name)
        if not self.meaning or "\n" in self.meaning:
            raise SpecError("every column has a one-line meaning", where=self.name)
        if self.choices and self.type is not Type.STRING:
            raise SpecError("only a string column has choices", where=self.name)
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise SpecError(f"minimum {self.minimum} is above maximum {self.maximum}", where=self.name)
        if self.above is not None and (self.minimum is not None or self.type is not Type.FLOAT):
            raise SpecError("a number with decimals is above something, or has a minimum", where=self.name)

    @property
    def is_link(self) -> bool:
        """Whether it is the id of something else, where there is any: an empty one is none."""
        return self.type is Type.STRING and not self.required and self.name.endswith("_id")

    @property
    def least(self) -> float | None:
        """The smallest value that fits, None where every one does."""
        return self.minimum if self.above is None else math.nextafter(self.above, math.inf)

    def bounds(self) -> str:
        """What fits, in words: ``at least 0 and at most 1``; empty where every number does."""
        low = "" if self.minimum is None else f"at least {self.minimum:g}"
        above = "" if self.above is None else f"above {self.above:g}"
        high = "" if self.maximum is None else f"at most {self.maximum:g}"
        return " and ".join(part for part in (low, above, high) if part)


class Rule(Protocol):
    """What the values of one row owe each other; :mod:`lake.spec.rules` has them."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns that it looks at."""
        ...

    def check(self, dataset: str, row: Mapping[str, Any]) -> None:
        """Raise InvalidRowError for a canonical row that breaks it."""
        ...

    def may_be_broken(self, names: Collection[str]) -> bool:
        """Whether a row that has values of just these columns may break it."""
        ...

    def kept_where(self, names: Collection[str]) -> str:
        """A Python expression over the ``row`` of just these columns: where it is true, the row keeps the rule.

        "False" where :meth:`check` is to be asked in any case.
        """
        ...

    def reasons(self) -> pl.Expr:
        """Over a canonical table: why a row breaks it, null or empty where it does not."""
        ...


@dataclass(frozen=True, slots=True)
class Partition:
    """How rows are laid out in folders: by plain columns, then by a slice of a time that never changes."""

    time: str | None = None
    period: Period = Period.NONE
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.time is None) is not (self.period is Period.NONE):
            raise SpecError("a partition period needs a time column, and the other way round", value=self.time)


@dataclass(frozen=True, slots=True)
class Link:
    """How rows of another dataset and of this one name each other: their ``column`` holds its ``own``."""

    dataset: str
    column: str
    own: str


@dataclass(frozen=True, slots=True)
class Inputs:
    """The columns of a row that say what was known when it was decided, and when that was.

    What one of them was then is kept in the column ``changed_inputs`` when it is changed: :mod:`lake.spec.inputs`.

    Attributes:
        columns: the inputs; the event time is one of them.
        decided_at: time columns, of which the first that is known tells when it was decided.
        pending: column -> values for which nothing is decided yet, so that any input may change.
    """

    columns: tuple[str, ...]
    decided_at: tuple[str, ...]
    pending: Mapping[str, tuple[object, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """The whole truth about one dataset; schema, table, empty view, docs and validation come from it.

    Attributes:
        name: plural noun, the table's name in SQL.
        meaning: one line: what one row is.
        columns: in their stored order; ``period`` (the partition slice) is added behind them.
        key: columns that together name one row.
        event_time: column with the time the row is about.
        known_at: SQL expression over the row: when a bot could first have known it.
        partition: see :class:`Partition`.
        sort: order of rows inside a file.
        mutable: False for rows that are only ever added or corrected as a whole.
        open_when: column -> values for which a row is still open and stays in the hot live table.
        retention_days: rows older than this may be retired; None keeps all.
        ends_at: time column with a row's end, from which its age counts where it is later than the event time.
        kept_by: open rows of other datasets that need a row: it is not retired while one of them names it.
        goes_with: rows of another dataset that a row is part of: where it names one, it is not retired by its own age,
            but with that one.
        in_use_when: column -> values for which a row is in use: it is not retired.
        newest_of: column of each of whose values the newest row is not retired: it says how things stand.
        generated_id: the key column that gets a UUIDv7 when the caller gives none.
        defaults: values for columns that the caller left out; ``"now"`` in a time column is the clock.
        rules: what the values of one row owe each other, asked when it is written.
        inputs: what was known when a row was decided, of which later changes are told apart; None where nothing is.
        row_group_rows: most rows of a row group: what one row is found among has to be decoded.
        file_rows: most rows of a file, None for no bound but its size: of a file the bounds of all groups are read.
        only_known: whether fields that it does not declare are refused, though it has ``extra`` for what is found
            beside a row.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    event_time: str
    known_at: str
    partition: Partition
    sort: tuple[str, ...] = ()
    mutable: bool = True
    open_when: Mapping[str, tuple[object, ...]] | None = None
    retention_days: int | None = None
    ends_at: str | None = None
    kept_by: tuple[Link, ...] = ()
    goes_with: Link | None = None
    in_use_when: Mapping[str, tuple[object, ...]] | None = None
    newest_of: str | None = None
    generated_id: str | None = None
    defaults: Mapping[str, object] | None = None
    rules: tuple[Rule, ...] = ()
    inputs: Inputs | None = None
    row_group_rows: int = 16_384
    file_rows: int | None = None
    only_known: bool = False

    def __post_init__(self) -> None:
        names = [c.name for c in self.columns]
        if len(set(names)) != len(names):
            raise SpecError("a column is declared twice", where=self.name, value=names)
        used = [*self.key, self.event_time, *self.sort, *self.partition.columns, *(self.open_when or ())]
        used += [c for rule in self.rules for c in sorted(rule.columns)]
        used += [*(link.own for link in self.kept_by), *(self.in_use_when or ())]
        used += [name for name in (self.newest_of, self.goes_with and self.goes_with.own) if name]
        if self.inputs is not None:
            used += [*self.inputs.columns, *self.inputs.decided_at, *self.inputs.pending, CHANGED_INPUTS]
        used += [c for c in (self.partition.time, self.generated_id, self.ends_at) if c] + list(self.defaults or ())
        for name in used:
            if name not in names:
                raise SpecError(
                    "the specification names a column that it does not declare", where=self.name, value=name
                )
        for name in self.key:
            if not self.column(name).required:
                raise SpecError("a key column must be required", where=f"{self.name}.{name}")

    @cached_property
    def keeps_unknown(self) -> bool:
        """Whether fields that it does not declare are kept, in ``extra``."""
        return "extra" in self.by_name and not self.only_known

    @cached_property
    def by_name(self) -> dict[str, Column]:
        """Columns by name."""
        return {c.name: c for c in self.columns}

    def column(self, name: str) -> Column:
        """The column of that name.

        Raises:
            UnknownColumnError: the dataset has none of that name.
        """
        try:
            return self.by_name[name]
        except KeyError:
            raise UnknownColumnError(
                f"no column {name!r}", where=self.name, todo=f"It has: {', '.join(self.by_name)}."
            ) from None

    @cached_property
    def time_aliases(self) -> frozenset[str]:
        """Other names under which callers give the event time, in lower case; a dataset's own columns are none."""
        return _TIME_NAMES - frozenset(self.by_name)

    @cached_property
    def clocks(self) -> tuple[str, ...]:
        """Columns that are the time of writing where a row does not say them; none of the key's."""
        return tuple(n for n, v in (self.defaults or {}).items() if v == "now" and n not in self.key)

    def undated(self, row: Mapping[str, Any]) -> list[str]:
        """Those of :attr:`clocks` that a row as given says under no name."""
        names = [name for name in self.clocks if row.get(name) is None]
        if self.event_time in names and any(
            str(n).lower() in self.time_aliases for n, value in row.items() if value is not None
        ):
            names.remove(self.event_time)
        return names

    @property
    def partitioned_by(self) -> tuple[str, ...]:
        """Names of the folder levels, outermost first."""
        slices = () if self.partition.period is Period.NONE else ("period",)
        return (*self.partition.columns, *slices)
