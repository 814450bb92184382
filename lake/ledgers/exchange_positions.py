"""Positions as an exchange shows them, in its own words or those of ccxt, sorted by where they stand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lake.errors import InvalidRowError, UsageError
from lake.kernels import pnl as kernel
from lake.query.engine import Engine
from lake.spec import registry, symbols
from lake.spec.rows import converter
from lake.spec.times import from_micros

_DS = registry.get("positions")
_WHERE = "positions.sync"
_CCXT = {  # ccxt's names of what a position has
    "contracts": "quantity",
    "entryPrice": "entry_price",
    "markPrice": "current_price",
    "unrealizedPnl": "unrealized_pnl",
    "stopLossPrice": "stop_loss",
    "takeProfitPrice": "tp1",
}
_CLOSED_LATER = """
SELECT DISTINCT symbol, side FROM positions
WHERE status = 'closed' AND bot_id = ? AND venue = ? AND synced_at > ?
"""
Place = tuple[str, str]  # symbol, side


def by_place(snapshot: Iterable[Any]) -> dict[Place, Mapping[str, Any]]:
    """What is held, by symbol and side, in the names of the dataset; what is flat is left out.

    ccxt counts in contracts: the quantity is what they are worth of the base currency, by ``contractSize``, and for
    an inverse market, whose contracts are of quote currency, by the entry price too.

    Raises:
        UsageError: it is no list of positions, or one lacks its symbol, side or quantity, or is there twice.
        InvalidRowError: a quantity that is none.
    """
    found: dict[Place, Mapping[str, Any]] = {}
    if isinstance(snapshot, Mapping | str) or not isinstance(snapshot, Iterable):
        raise UsageError("a snapshot is a list of positions", where=_WHERE, value=snapshot)
    for given in snapshot:
        if not isinstance(given, Mapping) or not given.get("symbol"):
            raise UsageError("a position is a dict with a symbol", where=_WHERE, value=given)
        quantity = _quantity(given)
        if not quantity:
            continue
        row = {_CCXT.get(str(name), str(name)): value for name, value in given.items()} | {"quantity": quantity}
        side = "LONG" if kernel.direction(row.get("side")) > 0 else "SHORT"
        place = (symbols.canonical(row["symbol"]), side)
        if place in found:
            raise UsageError("the snapshot has a position twice", where=_WHERE, value=place)
        found[place] = row
    return found


def closed_later(engine: Engine, bot: str, venue: str, moment: int) -> set[Place]:
    """Where a bot's positions were closed after a moment: what an older snapshot shows there is over."""
    found = engine.frame(_CLOSED_LATER, [bot, venue, from_micros(moment)])
    return {(symbol, side) for symbol, side in found.iter_rows()}


def _quantity(given: Mapping[str, Any]) -> float:
    quantity = _number("quantity", given.get("quantity"))
    if quantity is not None:
        return quantity
    contracts = _number("quantity", given.get("contracts"))
    if contracts is None:
        raise UsageError("a position without its quantity", where=_WHERE, value=given)
    size = _number("quantity", given.get("contractSize"))
    if not contracts or size is None:
        return contracts
    if not size:
        raise InvalidRowError("a contract has a size above 0", where="positions.contractSize", value=size)
    if not _is_inverse(str(given["symbol"])):
        return contracts * size
    entry = _number("entry_price", given.get("entryPrice"))
    if not entry:
        todo = "Give entryPrice, or the quantity in base currency."
        raise InvalidRowError("contracts in quote currency have a price", where="positions.entry_price", todo=todo)
    return contracts * size / entry


def _number(column: str, value: Any) -> float | None:
    if value is None:
        return None
    found: float | None = converter(_DS, _DS.column(column))(value)
    return found


def _is_inverse(symbol: str) -> bool:
    """Whether ccxt's symbol, such as BTC/USD:BTC, settles in its base currency.

    >>> _is_inverse("BTC/USD:BTC-240628"), _is_inverse("BTC/USDT:USDT"), _is_inverse("BTCUSDT")
    (True, False, False)
    """
    pair, _, settled = symbol.partition(":")
    return bool(settled) and settled.partition("-")[0] == pair.partition("/")[0]
