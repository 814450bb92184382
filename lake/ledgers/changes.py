"""Changes of rows: of some columns of one; of many of one dataset that land together, as one entry of the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lake.errors import UnknownRowError
from lake.ledgers.current import Key, key_given
from lake.ledgers.receipt import Receipt
from lake.ledgers.transaction import Fold, folded
from lake.ledgers.writer import Writer
from lake.spec import registry
from lake.store.hot.entry import Entry, Row

Made = tuple[Row | None, Row | None]


def patch_row(writer: Writer, name: str, key: Any, changes: Mapping[str, Any]) -> Receipt:
    """Change some columns of one row of a dataset.

    Raises:
        UnknownRowError: there is no such row.
        InvalidRowError: a value does not fit.
    """
    given = key_given(registry.get(name), key)

    def fold(row: Row | None) -> Mapping[str, Any]:
        if row is None:
            raise UnknownRowError("no such row", where=name, value=key, todo="Write it whole first.")
        return changes

    before, after = writer.change(name, given, fold)
    return Receipt(unchanged=1, keys=(given,)) if before == after else Receipt(updated=1, keys=(given,))


def change_many(writer: Writer, name: str, folds: Mapping[Key, Fold]) -> list[Made]:
    """:meth:`Writer.change` of many rows; all of them land, or none. Settled rows are looked up together.

    Args:
        writer: lands them.
        name: of the dataset.
        folds: key of the row -> takes the current version and returns what changes, or None.

    Returns:
        The version before and the one made, None when none was made; in the order of ``folds``.
    """
    ds = registry.get(name)
    transaction = writer.open_transaction()
    if transaction is not None:
        writer.look(ds)
        transaction.look_up(ds, folds)
        return [transaction.change(ds, key, fold) for key, fold in folds.items()]
    made: list[Made] = []

    def plan() -> list[Entry]:
        rows_before = ((key, newest(key)) for key in folds)
        made[:] = [(row, folded(ds, row, folds[key])) for key, row in rows_before]
        rows = [after for _, after in made if after is not None]
        return [Entry(ds.name, rows)] if rows else []

    with writer.hot().log.turn.held():
        writer.look(ds)
        newest = writer.basis.newest(ds, folds, writer.hot().current)
        writer.hot().land(plan)
    return made
