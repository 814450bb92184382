"""Rows that would take the place of another one, since they have its id."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lake.errors import InvalidRowError, LifeCycleError
from lake.ledgers.base import changed
from lake.ledgers.current import Key
from lake.ledgers.demands import refuse_another
from lake.ledgers.receipt import Receipt, Rejection
from lake.ledgers.transaction import Fold, Transaction, Whole
from lake.ledgers.writer import BULK_ROWS, Writer
from lake.query.engine import Engine
from lake.spec.dataset import Dataset
from lake.spec.rows import converter, row_checker
from lake.store.hot.entry import Row


def _nothing_else(_: Row, __: Mapping[str, Any]) -> None:
    pass


def _as_given(row: Mapping[str, Any], _: Row | None) -> Mapping[str, Any]:
    return row


@dataclass(frozen=True, slots=True)
class Kind:
    """What is told whole under an id.

    Attributes:
        ds: its dataset, whose key is an id.
        names: columns that tell one thing from another, beside its bot. What a row does not say of them stays as known.
        refuse: raises LifeCycleError for what else may not follow on a known row.
        complete: a row with what follows from it and from the known one, which has bot_id, ``names`` and those columns
            that say whether and when it ended.
    """

    ds: Dataset
    names: tuple[str, ...]
    refuse: Callable[[Row, Mapping[str, Any]], None] = _nothing_else
    complete: Callable[[Mapping[str, Any], Row | None], Mapping[str, Any]] = _as_given

    def fold(self, row: Mapping[str, Any], bot: str) -> Fold:
        """What puts a row in the place of the known one; it raises what :func:`refuse_another` and ``refuse`` do."""

        def fold(known: Row | None) -> Whole:
            made = self.complete(row, known)
            if known is not None:
                made = self.following(known, made, bot)
            return Whole(row_checker(self.ds)(made if made.get("bot_id") or not bot else {**made, "bot_id": bot}))

        return fold

    def following(self, known: Row, row: Mapping[str, Any], bot: str) -> dict[str, Any]:
        """A completed row that takes the place of the known one, with what it does not say and must not lose.

        Raises:
            LifeCycleError: it is of another bot, another thing, or what ``refuse`` refuses.
        """
        refuse_another(self.ds, known, row, self.names, bot)
        self.refuse(known, row)
        return kept(known, row, ("bot_id", *self.names, *self.ds.undated(row)))


def write_apart(writer: Writer, engine: Engine, kind: Kind, rows: Sequence[Mapping[str, Any]]) -> Receipt:
    """Write rows, without those that are of another bot or another thing than the row that has their id.

    These are quarantined and reported. The same id twice among the rows counts too. In a transaction each row is
    a change, which is made again at its end where others have changed its row meanwhile.
    """
    done, refused = _made(writer, engine, kind, rows)
    if not refused:
        return done
    writer.quarantine.add(kind.ds.name, [(rejection.row, rejection.reason) for rejection in refused])
    return done.with_rejections(refused)


def _made(
    writer: Writer, engine: Engine, kind: Kind, rows: Sequence[Mapping[str, Any]]
) -> tuple[Receipt, list[Rejection]]:
    transaction = writer.open_transaction()
    if transaction is not None:
        return _changed_within(transaction, writer, kind, rows)
    if len(rows) >= BULK_ROWS:
        with writer.undisturbed() as is_alone:
            if is_alone:
                writer.look(kind.ds)
                return _written(writer, engine, kind, rows)
    while True:  # again where another thread has meanwhile made a version that one of them cannot follow
        with suppress(LifeCycleError), writer.alone(), writer.transaction():  # alone, so that the receipt comes true
            return _made(writer, engine, kind, rows)


def _written(
    writer: Writer, engine: Engine, kind: Kind, rows: Sequence[Mapping[str, Any]]
) -> tuple[Receipt, list[Rejection]]:
    refused: list[Rejection] = []
    known = _KnownRows(kind, writer.bot)
    known.load(engine, rows)
    good = []
    for row in rows:
        try:
            good.append(known.taking(row))
        except LifeCycleError as error:
            refused.append(Rejection(row, str(error)))
    return writer.write(kind.ds.name, good), refused


def _changed_within(
    transaction: Transaction, writer: Writer, kind: Kind, rows: Sequence[Mapping[str, Any]]
) -> tuple[Receipt, list[Rejection]]:
    ds, counts = kind.ds, Counter[str]()
    keys: list[Key] = []
    refused: list[Rejection] = []
    writer.look(ds)
    transaction.look_up(ds, [(row_id,) for row_id in _ids(ds, rows)])
    for row in rows:
        row_id = row.get(ds.key[0])
        try:
            if row_id is None:
                receipt = writer.write_rows(ds, [kind.complete(row, None)], strict=True)
            else:
                key = (str(row_id),)
                receipt = changed(key, *transaction.change(ds, key, kind.fold(row, writer.bot)))
        except (InvalidRowError, LifeCycleError) as error:
            refused.append(Rejection(row, str(error)))
        else:
            counts.update(receipt.as_dict())
            keys += receipt.keys
    return Receipt(counts["inserted"], counts["updated"], counts["unchanged"], keys=keys), refused


def _ids(ds: Dataset, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({str(row[ds.key[0]]) for row in rows if row.get(ds.key[0]) is not None})


def kept(known: Mapping[str, Any], row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A whole row with what it does not say of ``names``, as it is known."""
    return {**row, **{n: known[n] for n in names if row.get(n) is None and known.get(n) is not None}}


@dataclass
class _KnownRows:
    """What is known of the ids among some rows, and what these say themselves, one after the other."""

    kind: Kind
    bot: str
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        ds = self.kind.ds
        ended = [ds.ends_at] if ds.ends_at else []
        return ("bot_id", *self.kind.names, *(ds.open_when or ()), *ended, *ds.clocks)

    def load(self, engine: Engine, rows: Sequence[Mapping[str, Any]]) -> None:
        """Look the ids up together."""
        ds = self.kind.ds
        ids, key = _ids(ds, rows), ds.key[0]
        if ids:
            columns = ", ".join((key, *self.columns))
            sql = f"SELECT {columns} FROM {ds.name} WHERE {key} IN (SELECT unnest(?::VARCHAR[]))"
            self.rows.update({row[key]: row for row in engine.frame(sql, [ids]).to_dicts()})

    def taking(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """A row with what it does not say as it is known; from now on it is known itself.

        Raises:
            LifeCycleError: it is refused.
        """
        kind, row_id = self.kind, row.get(self.kind.ds.key[0])
        before = None if row_id is None else self.rows.get(str(row_id))
        row = kind.complete(row, before)
        if row_id is None:
            return row
        try:
            if before is not None:
                row = kind.following(before, row, self.bot)
            self.rows[str(row_id)] = _said(kind.ds, row, self.columns)
        except InvalidRowError:  # it is refused with its reason when it is written
            pass
        return row


def _said(ds: Dataset, row: Mapping[str, Any], names: Iterable[str]) -> Row:
    given = {name: row.get(name) for name in (*ds.key, *names)}
    defaults = {name: value for name, value in (ds.defaults or {}).items() if value != "now"}
    said = {n: defaults.get(n) if value is None else value for n, value in given.items()}
    return {n: converter(ds, ds.column(n))(value) for n, value in said.items() if value is not None}
