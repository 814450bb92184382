"""Changes of many rows of one dataset that land together: one entry of the log, one sync."""

from __future__ import annotations

from collections.abc import Mapping

from lake.ledgers.current import Key
from lake.ledgers.transaction import Fold, folded
from lake.ledgers.writer import Writer
from lake.spec import registry
from lake.store.hot.entry import Entry, Row

Made = tuple[Row | None, Row | None]


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
