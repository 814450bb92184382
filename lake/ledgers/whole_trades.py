"""Trades told whole, as they are known now: completed, and written without taking back what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lake.clock import now_micros
from lake.ledgers import trade_results as results
from lake.ledgers.base import changed
from lake.ledgers.receipt import Receipt
from lake.ledgers.same_id import Kind, write_apart
from lake.ledgers.trade_tables import checked_table, sorted_table
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.tables import as_polars
from lake.store.hot.entry import Row

_DS = registry.get("trades")


def record_one(writer: Writer, trade: Mapping[str, Any]) -> Receipt:
    """Write one trade in the place of what is known of it.

    Raises:
        InvalidRowError: it does not fit.
        LifeCycleError: it is another one than the trade of its id, or takes its life back.
    """
    if trade.get("trade_id") is None:
        return writer.write_rows(_DS, [_completed(trade, None)], strict=True)
    key = (str(trade["trade_id"]),)
    return changed(key, *writer.change(_DS.name, key, _KIND.fold(trade, writer.bot), is_new=True))


def record_many(writer: Writer, engine: Engine, trades: Sequence[Mapping[str, Any]]) -> Receipt:
    """Write trades in the place of what is known of them; those that :func:`record_one` refuses are quarantined."""
    return write_apart(writer, engine, _KIND, trades)


def record_table(writer: Writer, engine: Engine, table: Any) -> Receipt:
    """:func:`record_many` of a table, for which no row is looked at alone that need not be.

    Nobody changes a trade between the look at what is known and the write.

    Raises:
        UsageError: it is no table.
        InvalidRowError: it lacks a required column.
    """
    if writer.open_transaction() is None:
        checked = checked_table(table, writer.bot)
        with writer.undisturbed() as is_alone:
            if is_alone:
                writer.look(_DS)
                apart, single = sorted_table(engine, checked)
                done = writer.write_frame(_DS, apart)
                return done + record_many(writer, engine, single) if single else done
    return record_many(writer, engine, as_polars(table).to_dicts())


def _completed(trade: Mapping[str, Any], known: Row | None) -> dict[str, Any]:
    """A trade with its result; a closed one was closed now, or when it was first recorded as closed."""
    made = results.completed(_DS, trade)
    if made.get("status") == "closed" and made.get("closed_at") is None:
        first = known.get("closed_at") if known is not None and known["status"] == "closed" else None
        made["closed_at"] = first or now_micros()
    return made


def _refuse_back(known: Row, row: Mapping[str, Any]) -> None:
    results.refuse_back(_DS, known, row)


_KIND = Kind(_DS, results.IDENTITY, _refuse_back, _completed)
