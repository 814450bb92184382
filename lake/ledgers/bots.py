"""Bots: their configuration with its history, state to restart from, guards, metrics and daily figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from threading import RLock
from typing import Any

import numpy as np
import orjson
import polars as pl

from lake.clock import MICROS_PER_MINUTE, now_micros
from lake.errors import InvalidRowError, LifeCycleError, UsageError
from lake.kernels.guards import Drawdown, drawdown, halts
from lake.ledgers import daily_figures
from lake.ledgers.base import Ledger, changed, given
from lake.ledgers.newest_state import NewestStates
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import read
from lake.spec import registry
from lake.spec.decode import as_read
from lake.spec.numbers import finite
from lake.spec.patch import folder
from lake.spec.rows import row_checker
from lake.spec.times import from_micros, to_micros
from lake.store.hot.entry import Row

_STATES = registry.get("bot_states")
_RUNNING = ("is_running", "started_at", "stopped_at")  # what it does, not how it is configured

_OF_NOW = MICROS_PER_MINUTE  # a snapshot that is no older than this is one of now


class Bots(Ledger):
    """Configures bots, keeps their state, and halts them; ``lk.bots``.

    Where a bot id is left out it is the one that the lake was opened with.
    """

    dataset = "bot_configs"

    def __init__(self, writer: Writer, engine: Engine) -> None:
        super().__init__(writer, engine)
        self._newest = NewestStates(writer.store)
        self._lock = RLock()  # a state is made on top of the one before it

    def configure(self, bot_id: str | None = None, /, **config: Any) -> Receipt:
        """Set columns of a bot's configuration; the others stay, and what was before is kept in its history.

        The same again changes nothing. None takes a value away.

        Raises:
            InvalidRowError: a value does not fit.
            UsageError: nothing is given, or ``history``, which the lake writes.
        """
        bot, said = self._told_bot(bot_id, config), given(None, config)
        if "history" in said:
            raise UsageError("the history is kept by the lake", where="bots.configure")
        said.setdefault("updated_at", now_micros())

        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                return {**said, "bot_id": bot}
            made = folder(self._ds)(known, said)
            if {**made, "updated_at": 0} == {**known, "updated_at": 0}:
                return None
            if all(
                made.get(n) == known.get(n) for n in made.keys() | known.keys() if n not in (*_RUNNING, "updated_at")
            ):
                return said
            before = {n: v for n, v in known.items() if n != "history"}
            return {**said, "history": [*orjson.loads(known.get("history", "[]")), before]}

        return changed((bot,), *self._writer.change("bot_configs", (bot,), fold))

    def history(self, bot_id: str | None = None) -> list[dict[str, Any]]:
        """Every configuration that a bot had, oldest first; the last is the one it has now.

        They are kept in the row itself, so compaction, vacuum and retention take none away.
        """
        known = self._config(self._bot(bot_id))
        if known is None:
            return []
        now = {name: value for name, value in known.items() if name != "history"}
        shown = as_read(registry.get("bot_configs"), [*orjson.loads(known.get("history", "[]")), now])
        return [{name: value for name, value in row.items() if name != "history"} for row in shown]

    def start(self, bot_id: str | None = None, *, at: Any = None) -> Receipt:
        """Say that a bot runs from now on."""
        return self._run(self._bot(bot_id), {"is_running": True, "started_at": _moment(at)})

    def stop(self, bot_id: str | None = None, *, at: Any = None) -> Receipt:
        """Say that a bot runs no more."""
        return self._run(self._bot(bot_id), {"is_running": False, "stopped_at": _moment(at)})

    def _run(self, bot: str, said: Mapping[str, Any]) -> Receipt:
        def fold(known: Row | None) -> Mapping[str, Any] | None:
            if known is None:
                raise self._unknown(bot)
            return None if known.get("is_running") is said["is_running"] else said

        return changed((bot,), *self._writer.change("bot_configs", (bot,), fold))

    def save_state(
        self, bot_id: str | None = None, /, state: Any = None, *, equity: float | None = None, **fields: Any
    ) -> Receipt:
        """Save a snapshot to restart from, and look at the drawdown guard.

        Peak equity and drawdown follow from the equity and the snapshot before; without an equity they follow from
        the bot's configured capital and ``total_pnl``, else they stay. The first peak is at least that capital. When
        the drawdown reaches the configured ``drawdown_guard_pct`` trading is halted, with the reason, and stays so
        until :meth:`resume`; money that was taken out is a fall like any other, and where the peak is 0 or less the
        drawdown is 100 %: no guard lets a bot without money trade. A snapshot of now (at most a minute
        old) is the newest also where the one before is dated ahead of the clock, which then was wrong: it is dated
        right after that one.

        Args:
            bot_id: the bot.
            state: the bot's own state, anything that JSON can hold. Of text that is a JSON object or array that is
                kept; other text comes back as it was given, also "null" or "5".
            equity: the bot's money now, in the quote currency.
            fields: other columns; ``snapshot_time`` is now when left out.

        Raises:
            InvalidRowError: a value does not fit, or a state with NaN or infinity, which JSON cannot hold.
            UsageError: an equity that is no finite number, or no bot id.
        """
        bot = self._told_bot(bot_id, fields)
        equity, total_pnl = _finite("equity", equity), _finite("total_pnl", fields.get("total_pnl"))
        said = {**fields, "bot_id": bot, "state": _quoted(state), "total_pnl": total_pnl}
        with self._writer.alone(), self._lock:
            checked = row_checker(_STATES)(said)
            if "null" in checked.get("state", "null"):  # what it writes for NaN too
                _refuse_nan(state, "bot_states.state")
            before = self._latest(bot) or {}
            row = {name: value for name, value in said.items() if str(name).lower() not in _STATES.time_aliases}
            row["snapshot_time"] = _after(before, checked["snapshot_time"])
            return self._writer.write_rows(_STATES, [{**self._guarded(row, before, equity), **row}], strict=True)

    def _latest(self, bot: str) -> Row | None:
        """The newest snapshot as stored; inside a transaction as that sees it."""
        own = [row for row in self._writer.unlanded(_STATES.name) if row["bot_id"] == bot]
        found = [row for row in (*reversed(own), self._newest.find(bot)) if row is not None]
        return max(found, key=itemgetter("snapshot_time"), default=None)

    def _guarded(self, row: Mapping[str, Any], before: Row, equity: float | None) -> dict[str, Any]:
        """Peak, drawdown and halt of a snapshot, on top of the one before it."""
        kept = ("peak_equity", "current_drawdown_pct", "trading_halted", "halt_reason")
        found = {name: before[name] for name in kept if name in before}
        config = self._config(row["bot_id"]) or {}
        if equity is None and "capital" in config and row.get("total_pnl") is not None:
            equity = config["capital"] + row["total_pnl"]
        if equity is not None:
            peak, percent = drawdown(equity, before.get("peak_equity", config.get("capital")))
            found.update(peak_equity=peak, current_drawdown_pct=percent)
            guard = config.get("drawdown_guard_pct")
            if guard and halts(percent, guard) and not before.get("trading_halted"):
                found.update(trading_halted=True, halt_reason=f"drawdown {percent:.2f} % reached the guard {guard:g} %")
        return {"trading_halted": False, **found}

    def resume(self, bot_id: str | None = None, reason: str = "", *, at: Any = None) -> Receipt:
        """Let a halted bot trade again: the peak is its equity from now on, so that the guard measures anew.

        Without equity above 0 the next snapshot with one of 0 or less halts it again.

        Raises:
            LifeCycleError: it is not halted.
            UnknownRowError: it has no state.
        """
        bot = self._bot(bot_id)
        with self._writer.alone(), self._lock:
            before = self._latest(bot)
            if before is None:
                raise self._unknown(bot)
            if not before.get("trading_halted"):
                raise LifeCycleError("trading is not halted", where=f"bots, {bot}")
            now = max(_moment(at), before["snapshot_time"] + 1)
            row = {**before, "snapshot_time": now, "trading_halted": False, "halt_reason": f"resumed: {reason}"}
            if "peak_equity" in before:
                known = Drawdown(before["peak_equity"], before.get("current_drawdown_pct", 0.0))
                row["peak_equity"], row["current_drawdown_pct"] = drawdown(known.equity)
            return self._writer.write_rows(_STATES, [row], strict=True)

    def latest_state(self, bot_id: str | None = None) -> dict[str, Any] | None:
        """The newest snapshot of a bot, its ``state`` as it was given; None when there is none.

        Inside a transaction it may be one that was saved in it.
        """
        found = self._latest(self._bot(bot_id))
        if found is None:
            return None
        row = {column.name: found.get(column.name) for column in _STATES.columns}
        state = None if row["state"] is None else orjson.loads(row["state"])
        return {**row, "snapshot_time": from_micros(found["snapshot_time"]), "state": state}

    def metric(self, bot_id: str | None = None, /, **fields: Any) -> Receipt:
        """Note a bot's figures of one moment: price, position, unrealized_pnl, indicators, ...; ``time`` is now."""
        return self._writer.write_rows(
            registry.get("bot_metrics"), [{"bot_id": self._told_bot(bot_id, fields), **fields}], strict=True
        )

    def status(self, bot_id: str | None = None) -> pl.DataFrame:
        """How bots stand: configuration, newest state, guard; the view bot_status. All bots when none is named."""
        return read(self._engine, "bot_status", None if bot_id is None else {"bot_id": bot_id})

    def performance(self, day: date | str, bot_id: str | None = None, *, time_zone: str = "UTC") -> pl.DataFrame:
        """The figures of one day, and of all days up to it, computed from the trades: a row for each bot.

        Of one mode, the same on all days of a bot: ``live`` if it ever closed a live trade with a known result, else
        ``paper``; trades of the other mode are in no figure. The Sharpe ratio is the one that trade_statistics_by_bot
        shows at the day's end. ``max_drawdown`` is in % of capital and peak, trade by trade up
        to that day: bot_performance's ``max_drawdown_percent``; it is NULL unless the bot's capital is configured.

        Args:
            day: in the zone.
            bot_id: only this bot; every bot that had closed a trade by then when left out.
            time_zone: such as Europe/Berlin.

        Raises:
            UsageError: no such day or zone.
        """
        found = daily_figures.of_days(self._engine, self._writer.store.location, day, day, time_zone)
        return found if bot_id is None else found.filter(pl.col("bot_id") == self._bot(bot_id))

    def snapshot_performance(self, day: date | str, bot_id: str | None = None, *, time_zone: str = "UTC") -> Receipt:
        """Write :meth:`performance` of any day to performance_snapshots: one row for a bot and day, however often.

        Trades of no bot have no row.
        """
        bot = None if bot_id is None else self._bot(bot_id)
        figures = self.performance(day, bot, time_zone=time_zone)
        first, last = daily_figures.span(day, day, time_zone)
        asked = {"date": first} if bot is None else {"date": first, "bot_id": bot}
        stored = read(self._engine, "performance_snapshots", asked)
        rows = daily_figures.to_keep(figures, stored, first, last).to_dicts()
        return self._writer.write_rows(registry.get("performance_snapshots"), rows, strict=True)

    def refresh_snapshots(self, since: date | str | None = None, *, time_zone: str = "UTC") -> Receipt:
        """Bring performance_snapshots up to date: write the days that are missing, and those whose figures changed.

        Each bot has a row for every day from its first closing to yesterday. A day changes when one of its trades, or
        one before, is corrected, comes in late, or when the bot closes its first live trade. A day that is before the
        first closing by a correction becomes one of zeros. Trades of no bot have no row. A second run changes nothing.
        Stored days whose trades retention has removed stay as they are, and later days go on from there.

        Args:
            since: only from this day on; at the earliest from the one that the settings retain the dataset from.
            time_zone: such as Europe/Berlin.

        Raises:
            UsageError: no such day or zone.
        """
        first, last = daily_figures.span(since, None, time_zone)
        kept = self._writer.store.settings.retention_days.get("performance_snapshots")
        if kept is not None:
            first = max(first, datetime.now(UTC).date() - timedelta(days=kept))
        stored = read(self._engine, "performance_snapshots")
        figures = daily_figures.of_days(self._engine, self._writer.store.location, first, last, time_zone)
        figures = daily_figures.to_keep(figures, stored, first, last)
        rows = daily_figures.outdated(figures, stored)
        return self._writer.write("performance_snapshots", rows) + Receipt(unchanged=figures.height - rows.height)

    def _config(self, bot: str) -> Row | None:
        return self._writer.change("bot_configs", (bot,), lambda _: None)[0]

    def _told_bot(self, bot_id: Any, fields: dict[str, Any]) -> str:
        """The bot, named first or among the fields, from which it is taken."""
        named = fields.pop("bot_id", None)
        if bot_id in (None, ""):
            return self._bot(named)
        if named not in (None, "") and str(bot_id) != str(named):
            raise UsageError(f"two bots are named, {bot_id!r} and another", where="bot_id", value=named)
        return self._bot(bot_id)

    def _bot(self, bot_id: Any) -> str:
        bot = str(bot_id) if isinstance(bot_id, int) else bot_id or self._writer.bot
        if not isinstance(bot, str) or not bot:
            raise UsageError("which bot?", where="bot_id", todo="Name it, or open the lake with a bot_id.")
        return bot


def _after(before: Row, at: int) -> int:
    """When a snapshot is dated: one of now follows the one before it, by whatever clock that was dated.

    Of the very same time it takes its place.
    """
    now, last = now_micros(), before.get("snapshot_time", -1)
    return last + 1 if last > now and last > at >= now - _OF_NOW else at


def _finite(name: str, value: Any) -> float | None:
    found = None if value is None else finite(value)
    if found is None and value is not None:
        raise UsageError("a finite number is wanted", where=name, value=value)
    return found


def _quoted(state: Any) -> Any:
    """A state as JSON keeps it: text that reads as a number, flag, text or null of JSON is in quotes, as other text."""
    if not isinstance(state, str):
        return state
    try:
        held = orjson.loads(state)
    except orjson.JSONDecodeError:  # the row's check puts it in quotes, or refuses half a character
        return state
    return state if isinstance(held, dict | list) else orjson.dumps(state).decode()


def _refuse_nan(value: Any, where: str) -> None:
    """Refuse what JSON would make null of, naming its place."""
    if is_dataclass(value):
        value = {column.name: getattr(value, column.name) for column in fields(value)}
    if isinstance(value, Mapping):
        for name, found in value.items():
            _refuse_nan(found, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, found in enumerate(value):
            _refuse_nan(found, f"{where}[{number}]")
    elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
        _refuse_nan(value.tolist(), where)
    elif isinstance(value, float | np.floating | Decimal) and not math.isfinite(value):
        raise InvalidRowError(
            "JSON has no NaN and no infinity", where=where, value=value, todo="Give None for what is not known."
        )


def _moment(at: Any) -> int:
    return now_micros() if at is None else to_micros(at, where="at")
