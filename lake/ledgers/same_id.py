"""Rows that would take the place of another one, since they have its id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lake.errors import InvalidRowError, LifeCycleError
from lake.ledgers.demands import refuse_another
from lake.ledgers.receipt import Receipt, Rejection
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec.dataset import Dataset
from lake.spec.rows import converter
from lake.store.hot.entry import Row

Refuse = Callable[[Row, Mapping[str, Any]], None]


def write_apart(
    writer: Writer,
    engine: Engine,
    ds: Dataset,
    rows: Sequence[Mapping[str, Any]],
    names: Iterable[str],
    refuse: Refuse | None = None,
) -> Receipt:
    """Write rows, without those that are of another bot or differ in one of ``names`` from a row that has their id.

    These are quarantined and reported. The same id twice among the rows counts too. What a row does not say of
    ``names``, and its bot, stay as they are known.

    Args:
        writer, engine: of the lake.
        ds: their dataset, whose key is an id.
        rows: as given.
        names: of the columns that tell one thing from another.
        refuse: raises LifeCycleError for what else may not follow on a known row; it has bot_id, ``names`` and those
            columns that say whether it is open.
    """
    refused: list[Rejection] = []
    with writer.alone():
        known = _KnownRows(ds, tuple(names), writer.bot, refuse)
        known.load(writer, engine, rows)
        good = []
        for row in rows:
            try:
                good.append(known.taking(row))
            except LifeCycleError as error:
                refused.append(Rejection(row, str(error)))
        done = writer.write(ds.name, good)
    if not refused:
        return done
    writer.quarantine.add(ds.name, [(rejection.row, rejection.reason) for rejection in refused])
    return done + Receipt(rejected=len(refused), rejections=refused)


def kept(known: Mapping[str, Any], row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A whole row with what it does not say of ``names``, as it is known."""
    return {**row, **{n: known[n] for n in names if row.get(n) is None and known.get(n) is not None}}


@dataclass
class _KnownRows:
    """What is known of the ids among some rows, and what these say themselves, one after the other."""

    ds: Dataset
    names: tuple[str, ...]
    bot: str
    refuse: Refuse | None
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        return ("bot_id", *self.names, *(self.ds.open_when or ()))

    def load(self, writer: Writer, engine: Engine, rows: Sequence[Mapping[str, Any]]) -> None:
        """Look the ids up together, in a transaction as that sees them."""
        key = self.ds.key[0]
        ids = sorted({str(row[key]) for row in rows if row.get(key) is not None})
        if not ids:
            return
        sql = (
            f"SELECT {key}, {', '.join(self.columns)} FROM {self.ds.name} WHERE {key} IN (SELECT unnest(?::VARCHAR[]))"
        )
        self.rows.update({row[key]: row for row in engine.frame(sql, [ids]).to_dicts()})
        transaction = writer.open_transaction()
        if transaction is not None:  # queries do not see what it has written so far
            own = {row_id: transaction.get(self.ds, (row_id,)) for row_id in ids}
            self.rows.update({row_id: row for row_id, row in own.items() if row is not None})

    def taking(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row with what it does not say as it is known; from now on it is known itself.

        Raises:
            LifeCycleError: it is refused.
        """
        row_id = row.get(self.ds.key[0])
        if row_id is None:
            return row
        before = self.rows.get(str(row_id))
        try:
            if before is not None:
                refuse_another(self.ds, before, row, self.names, self.bot)
                if self.refuse is not None:
                    self.refuse(before, row)
                row = kept(before, row, ("bot_id", *self.names))
            self.rows[str(row_id)] = _said(self.ds, row, self.columns)
        except InvalidRowError:  # it is refused with its reason when it is written
            pass
        return row


def _said(ds: Dataset, row: Mapping[str, Any], names: Iterable[str]) -> Row:
    given = {name: row.get(name) for name in (*ds.key, *names)}
    said = {n: (ds.defaults or {}).get(n) if value is None else value for n, value in given.items()}
    return {n: converter(ds, ds.column(n))(value) for n, value in said.items() if value is not None}
