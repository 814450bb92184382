"""Executed trades in PostgreSQL: the table trades, and what the bot made of it, trade_stats_cache."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.base import Check, Notes, Options, Refused, Row, Table
from lake.importers.kinds.executed_trades import TRADES, met_by
from lake.importers.reading.database import Database, database, require
from lake.importers.report import Difference
from lake.importers.rules import found, moment
from lake.importers.unread import naming_unread
from lake.importers.values import known_number

_TRADES, _CACHE = "trades", "trade_stats_cache"
_PERIOD = ("period", "stat_type", "stats_type", "stat_key", "cache_key", "key", "name")
_MADE = moment("updated_at", "calculated_at", "last_updated", "created_at")
_ALL = frozenset({"all_time", "alltime", "all", "total", "overall", "lifetime"})
_DAYS = re.compile(r"(?:last_?)?(\d{1,4})_?d(?:ays?)?")
_CENT, _HUNDREDTH = 0.0051, 0.0051  # pnl is told to the cent; rates and ratios are rounded to two digits
_NUMBERS = {
    "total_trades": 0.0, "wins": 0.0, "losses": 0.0, "win_rate": _HUNDREDTH, "total_pnl": _CENT, "avg_win": _CENT,
    "avg_loss": _CENT, "profit_factor": _HUNDREDTH, "best_trade_pnl": _CENT, "worst_trade_pnl": _CENT,
}  # fmt: skip
_OTHER_NAMES = {
    "total_trades": ("trades", "trade_count"), "wins": ("winning_trades",), "losses": ("losing_trades",),
    "total_pnl": ("total_pnl_usd", "pnl"), "best_trade_pnl": ("best_trade",), "worst_trade_pnl": ("worst_trade",),
}  # fmt: skip


class TradesPostgres:
    """Reads the table trades in PostgreSQL."""

    name = "trades-postgres"
    summary = "table trades in PostgreSQL, with trade_stats_cache as a check"

    def tables(self, source: str, _options: Options) -> Iterable[Table | Check]:
        """The trades, and the statistics that are compared with them."""
        db = database(source)
        known = require(db, (_TRADES, _CACHE), kind=self.name)
        yield from naming_unread(db, known, _tables(db, known))


def _tables(db: Database, known: Collection[str]) -> Iterator[Table | Check]:
    if _TRADES in known:
        order = [name for name in ("exit_time", "id") if name in db.columns(_TRADES)]
        rows, met = partial(db.rows, _TRADES, order_by=order), met_by(TradesPostgres.name)
        yield Table(_TRADES, (met.map(TRADES),), rows, db.count(_TRADES), look=met.look)
    if _CACHE in known:
        compare = partial(_differences, db if _TRADES in known else None)
        yield Check(_CACHE, "trades", partial(_cached, db), compare, needs_lake=False)


@dataclass(frozen=True)
class _Closed:
    """What of a trade counts for statistics: when it was closed, in the store's own clock, and its result."""

    at: Any
    pnl: float


def _differences(db: Database | None, _lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Difference]:
    """Where the statistics are not those of the trades in the same database, as of when they were made."""
    if db is None:
        return
    trades = list(_closed(db, options))
    for row in rows:
        period = str(found(row, _PERIOD)[1])
        ours = _statistics(_within(trades, row, _days(period), options))
        for name, apart in _NUMBERS.items():
            value = known_number(_said(row, name))
            if value is not None and math.isfinite(ours[name]) and abs(ours[name] - value) > apart:
                yield Difference("trade_statistics", period, name, ours[name], value)


def _cached(db: Database, notes: Notes) -> Iterator[Row | Refused]:
    """The statistics that can be compared; of the others it is told that they were not."""
    for row in db.rows(_CACHE, notes):
        period = str(found(row, _PERIOD)[1])
        why = _not_understood(row, period)
        if why:
            notes.tell(f"not compared: statistics of {period!r}, {why}")
        yield Refused(row, why) if why else row


def _not_understood(row: Row, period: str) -> str:
    if not _is_all(period) and _days(period) is None:
        return "a period that is not understood"
    if _days(period) is not None and found(row, _MADE.names)[1] is None:
        return "days before a time that is not told"
    return "" if any(_said(row, name) is not None for name in _NUMBERS) else "of which no number is understood"


def _word(period: str) -> str:
    return re.sub(r"[\s-]+", "_", period.strip().lower())


def _is_all(period: str) -> bool:
    return _word(period) in _ALL


def _days(period: str) -> int | None:
    """How many days before the statistics were made they are of; None when of all."""
    days = _DAYS.fullmatch(_word(period))
    return int(days[1]) if days else None


def _said(row: Row, name: str) -> Any:
    return found(row, (name, *_OTHER_NAMES.get(name, ())))[1]


def _closed(db: Database, options: Options) -> Iterator[_Closed]:
    for row in db.rows(_TRADES, Notes()):
        try:
            at, pnl = TRADES.columns["closed_at"].read(row, options), TRADES.columns["pnl"].read(row, options)
        except InvalidRowError:
            continue  # it is refused where it should land
        if at is not None and pnl is not None:
            yield _Closed(at, pnl)


def _within(trades: Iterable[_Closed], row: Row, days: int | None, options: Options) -> list[float]:
    made = _MADE.read(row, options)
    last = [trade for trade in trades if made is None or trade.at <= made]
    since = None if days is None or made is None else made - timedelta(days=days)
    return [trade.pnl for trade in last if since is None or trade.at >= since]


def _statistics(results: Sequence[float]) -> dict[str, float]:
    """As the bot counts: a trade that made nothing is a loss, and without losses there is no profit factor."""
    wins, losses = [r for r in results if r > 0], [r for r in results if r <= 0]
    won, lost = math.fsum(wins), -math.fsum(losses)
    return {
        "total_trades": len(results),
        "wins": len(wins),
        "losses": len(losses),
        "win_rate": 100.0 * len(wins) / len(results) if results else 0.0,
        "total_pnl": won - lost,
        "avg_win": won / len(wins) if wins else 0.0,
        "avg_loss": -lost / len(losses) if losses else 0.0,
        "profit_factor": won / lost if lost else math.inf if won else 0.0,
        "best_trade_pnl": max(results, default=0.0),
        "worst_trade_pnl": min(results, default=0.0),
    }
