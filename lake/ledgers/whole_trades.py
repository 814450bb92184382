"""Trades told whole, as they are known now: completed, and written without taking back what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lake.clock import now_micros
from lake.ledgers import trade_results as results
from lake.ledgers.base import changed
from lake.ledgers.demands import refuse_another
from lake.ledgers.receipt import Receipt
from lake.ledgers.same_id import kept, write_apart
from lake.ledgers.transaction import Whole
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import registry
from lake.spec.rows import row_checker
from lake.store.hot.entry import Row

_DS = registry.get("trades")
_KEPT = ("bot_id", _DS.event_time, *results.IDENTITY)


def record_one(writer: Writer, trade: Mapping[str, Any]) -> Receipt:
    """Write one trade in the place of what is known of it.

    Raises:
        InvalidRowError: it does not fit.
        LifeCycleError: it is another one than the trade of its id, or takes its life back.
    """
    if trade.get("trade_id") is None:
        return writer.write_rows(_DS, [_completed(trade, None)], strict=True)
    trade_id = str(trade["trade_id"])

    def fold(known: Row | None) -> Whole:
        made = _completed(trade, known)
        if known is not None:
            refuse_another(_DS, known, made, results.IDENTITY, writer.bot)
            _refuse_back(known, made)
            made = kept(known, made, _KEPT)
        return Whole(row_checker(_DS)(made))

    return changed((trade_id,), *writer.change(_DS.name, (trade_id,), fold, is_new=True))


def record_many(writer: Writer, engine: Engine, trades: Sequence[Mapping[str, Any]]) -> Receipt:
    """Write trades in the place of what is known of them; those that :func:`record_one` refuses are quarantined."""
    with writer.alone():
        writer.look(_DS)
        rows = [_completed(trade, _known(writer, trade)) for trade in trades]
        return write_apart(writer, engine, _DS, rows, results.IDENTITY, _refuse_back)


def _known(writer: Writer, trade: Mapping[str, Any]) -> Row | None:
    trade_id = trade.get("trade_id")
    return None if trade_id is None else writer.known(_DS, (str(trade_id),))


def _completed(trade: Mapping[str, Any], known: Row | None) -> dict[str, Any]:
    """A trade with its result; a closed one was closed now, or when it was first recorded as closed."""
    made = results.completed(_DS, trade)
    if made.get("status") == "closed" and made.get("closed_at") is None:
        first = known.get("closed_at") if known is not None and known["status"] == "closed" else None
        made["closed_at"] = first or now_micros()
    return made


def _refuse_back(known: Row, row: Mapping[str, Any]) -> None:
    results.refuse_back(_DS, known, row)
