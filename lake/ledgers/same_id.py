"""Rows that would take the place of another one, since they have its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lake.errors import InvalidRowError, LifeCycleError
from lake.ledgers.demands import refuse_another
from lake.ledgers.receipt import Receipt, Rejection
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec.dataset import Dataset
from lake.spec.rows import converter
from lake.store.hot.entry import Row


def write_apart(
    writer: Writer, engine: Engine, ds: Dataset, rows: Sequence[Mapping[str, Any]], names: Iterable[str]
) -> Receipt:
    """Write rows, without those that are of another bot or differ in one of ``names`` from a row that has their id.

    These are quarantined and reported. The same id twice among the rows counts too.

    Args:
        writer, engine: of the lake.
        ds: their dataset, whose key is an id.
        rows: as given.
        names: of the columns that tell one thing from another.
    """
    names = tuple(names)
    known = _known(writer, engine, ds, rows, ("bot_id", *names))
    good, refused = [], []
    for row in rows:
        row_id = row.get(ds.key[0])
        try:
            if row_id is not None and str(row_id) in known:
                refuse_another(ds, known[str(row_id)], row, names, writer.bot)
            elif row_id is not None:
                known[str(row_id)] = _said(ds, row, ("bot_id", *names))
        except LifeCycleError as error:
            refused.append(Rejection(row, str(error)))
            continue
        except InvalidRowError:  # it is refused with its reason when it is written
            pass
        good.append(row)
    done = writer.write(ds.name, good)
    if not refused:
        return done
    writer.quarantine.add(ds.name, [(rejection.row, rejection.reason) for rejection in refused])
    return done + Receipt(rejected=len(refused), rejections=refused)


def _known(
    writer: Writer, engine: Engine, ds: Dataset, rows: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> dict[str, Row]:
    key = ds.key[0]
    ids = sorted({str(row[key]) for row in rows if row.get(key) is not None})
    if not ids:
        return {}
    sql = f"SELECT {key}, {', '.join(names)} FROM {ds.name} WHERE {key} IN (SELECT unnest(?::VARCHAR[]))"
    known: dict[str, Row] = {row[key]: row for row in engine.frame(sql, [ids]).to_dicts()}
    transaction = writer.open_transaction()
    if transaction is not None:  # queries do not see what it has written so far
        own = {row_id: transaction.get(ds, (row_id,)) for row_id in ids}
        known.update({row_id: row for row_id, row in own.items() if row is not None})
    return known


def _said(ds: Dataset, row: Mapping[str, Any], names: Iterable[str]) -> Row:
    said = {name: row[name] for name in (*ds.key, *names) if row.get(name) is not None}
    return {name: converter(ds, ds.column(name))(value) for name, value in said.items()}
