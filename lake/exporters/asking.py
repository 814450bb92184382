"""A selection as SQL over one snapshot: a relation that keeps its moment however long the export takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lake.errors import QueryError, UnknownColumnError, UsageError
from lake.exporters.base import Selection
from lake.exporters.pieces import pieces
from lake.query.engine import Relation
from lake.query.fitting import batches, identifier, plain
from lake.query.views import views
from lake.spec import registry, symbols, timeframes
from lake.spec.dataset import Dataset
from lake.spec.schema import PERIOD
from lake.spec.times import from_micros, to_micros

BATCH_ROWS = 65_536
_DAY_MICROS = 86_400_000_000
_MOST_DAYS = 95_000_000  # from 1970: 260,000 years either way


@dataclass(frozen=True)
class Asked:
    """What is exported, not read yet.

    Attributes:
        name: dataset, view, or ``query``.
        dataset: whose rows they are; None for views and queries.
        relation: the rows, with all columns that are needed to put them in order.
        columns: those that are exported.
    """

    name: str
    dataset: Dataset | None
    relation: Relation
    columns: tuple[str, ...]

    @property
    def shown(self) -> Relation:
        """The columns that are exported."""
        return self.relation.project(self._list)

    def parts(self) -> Iterator[Relation]:
        """The rows piece by piece: a dataset's in the order of time, each piece small enough to be sorted."""
        if self.dataset is None:
            yield self.shown
            return
        for piece in pieces(self.dataset, self.relation):
            yield piece.project(self._list)

    def total(self) -> int | None:
        """How many rows there are; None for a query, which would have to be run twice."""
        if self.dataset is None:
            return None
        return int(self.relation.aggregate("count(*) AS n").fetchall()[0][0])

    @property
    def _list(self) -> str:
        return ", ".join(identifier(name) for name in self.columns)


def ask(source: Any, selection: Selection) -> Asked:
    """The rows of a selection.

    Args:
        source: an open lake, or a lake as it was (``lk.at(...)``).
        selection: which.

    Raises:
        UnknownDatasetError: there is no such dataset or view.
        UnknownColumnError: a column that it does not have.
        UsageError: a column that it has, or that is chosen, more than once.
        QueryError: the condition or statement cannot be run.
    """
    if selection.sql:
        found = source.sql(selection.sql)
        return Asked("query", None, found, _chosen("the query", found.columns, selection))
    dataset = None if selection.name in views() else registry.get(selection.name)
    conditions, values = _conditions(selection, dataset)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    found = source.sql(f"SELECT * FROM {selection.name}{where}", values)
    return Asked(selection.name, dataset, found, _chosen(selection.name, found.columns, selection, dataset))


def arrow(asked: Relation, rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
    """The batches of a piece; empty ones are left out."""
    return (batch for batch in batches(asked, rows) if batch.num_rows)


def plain_batches(asked: Relation) -> Iterator[pa.RecordBatch]:
    """The batches of a piece in plain types, with times that have a date.

    Raises:
        QueryError: a time at infinity, or past all dates that other programs have.
    """
    for batch in arrow(plain(asked)):
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_temporal(column.type) and column.null_count < len(column):
                _require_dates(name, column)
        yield batch


def _require_dates(name: str, column: pa.Array) -> None:
    days = 1 if pa.types.is_date(column.type) else _DAY_MICROS
    numbers = column.cast(pa.int32() if days == 1 else pa.int64())
    most = max(abs(bound) for bound in pc.min_max(numbers).as_py().values())
    if most > _MOST_DAYS * days:
        what = "a time at infinity, or past all dates"
        raise QueryError(what, where=name, todo=f"Leave it out (WHERE isfinite({name})), or cast it to VARCHAR.")


def _chosen(name: str, there: list[str], selection: Selection, dataset: Dataset | None = None) -> tuple[str, ...]:
    strange = [column for column in selection.columns if column not in there]
    if strange:
        raise UnknownColumnError(f"no column {strange[0]!r}", where=name, todo=f"It has: {', '.join(there)}.")
    chosen = selection.columns or tuple(n for n in there if dataset is None or n != PERIOD)
    repeated = [name for name, count in Counter(column.lower() for column in chosen).items() if count > 1]
    if repeated:
        todo = "Choose each once, or give them names of their own (`AS`)."
        raise UsageError("several columns have one name", where=name, value=repeated[0], todo=todo)
    return chosen


def _conditions(selection: Selection, dataset: Dataset | None) -> tuple[list[str], list[Any]]:
    values: list[Any] = []
    conditions = [f"({selection.where}\n)"] if selection.where else []
    if selection.narrowed and dataset is None:
        raise UsageError(
            "only a dataset is narrowed down by symbol, timeframe, venue or time", where=selection.name,
            todo="Give the condition with where.",
        )  # fmt: skip
    for column, given in _equal(selection):
        if dataset is not None:
            dataset.column(column)
        conditions.append(f"{identifier(column)} IN ({', '.join('?' * len(given))})")
        values += given
    for bound, operator in ((selection.start, ">="), (selection.end, "<")):
        if bound is not None and dataset is not None:
            conditions.append(f"{identifier(dataset.event_time)} {operator} ?")
            values.append(from_micros(to_micros(bound, where="export, start and end")))
    return conditions, values


def _equal(selection: Selection) -> Iterator[tuple[str, list[str]]]:
    if selection.symbols:
        yield "symbol", [symbols.canonical(s) for s in selection.symbols]
    if selection.timeframe:
        yield "timeframe", [timeframes.parse(selection.timeframe)]
    if selection.venue is not None:
        yield "venue", [selection.venue]
