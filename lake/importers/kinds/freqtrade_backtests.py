"""Backtests of freqtrade: runs, their trades, and the fills of these."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from lake.importers.base import Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.kinds.freqtrade_results import ResultFile, Run, orders_of
from lake.importers.mapping import IMPORTED
from lake.importers.merging import is_same
from lake.importers.rules import (
    constant,
    first_of,
    flag,
    gathered,
    identity,
    moment,
    number,
    one_of,
    option,
    percent,
    price,
    symbol,
    text,
    whole,
)
from lake.importers.values import number_in

_SETTINGS = (
    "timeframe_detail", "timerange", "pairlist", "stake_amount", "stake_currency", "starting_balance", "dry_run_wallet",
    "max_open_trades", "max_open_trades_setting", "enable_protections", "stoploss", "trailing_stop",
    "trailing_stop_positive", "trailing_stop_positive_offset", "trailing_only_offset_is_reached", "use_custom_stoploss",
    "minimal_roi", "use_exit_signal", "exit_profit_only", "exit_profit_offset", "ignore_roi_if_entry_signal",
    "trading_mode", "margin_mode", "freqaimodel", "freqai_identifier", "config",
)  # fmt: skip
_OPENED = moment("open_timestamp", "open_date", "open_s")
_CLOSED = moment("close_timestamp", "close_date", "close_s")
_TRADE_ID = identity("trade", text("run_id"), whole("place"))
_WORDS = {"BUY": "BUY", "SELL": "SELL"}


def is_short(row: Row) -> bool:
    """Whether a trade is one."""
    return bool(row.get("is_short"))


SIDE = Rule(("is_short",), lambda row, _options: "SHORT" if is_short(row) else "LONG")
STOP = first_of(price("initial_stop_loss_abs", "initial_stop_loss"), price("stop_loss_abs", "stop_loss"))
TAGS = gathered("enter_tag", "buy_tag")


def extreme(*, favorable: bool) -> Rule:
    """The best or worst rate while a trade was open."""
    high, low = price("max_rate"), price("min_rate")
    return Rule(
        ("max_rate", "min_rate", "is_short"),
        lambda row, options: (high if favorable is not is_short(row) else low).read(row, options),
    )


def _fees(row: Row, options: Options) -> float | None:
    """Rates on both ends, and what funding cost: freqtrade's is positive when it was received."""
    amount, entry = (number_in(row, name) for name in ("amount", "open_rate"))
    opening, closing = (rate.read(row, options) for rate in (_OPENING, _CLOSING))
    if amount is None or entry is None or opening is None:
        return None
    paid: float = entry * opening + (number_in(row, "close_rate") or 0.0) * (closing or 0.0)
    return amount * paid - (number_in(row, "funding_fees") or 0.0)


_OPENING, _CLOSING = number("fee_open", "open_fee"), number("fee_close", "close_fee")  # the latter of results of 2020
FEES = Rule(("amount", "open_rate", "close_rate", *_OPENING.names, *_CLOSING.names, "funding_fees"), _fees)
_PAIR = symbol("only_pair")
RUNS = RowMap(
    "backtests",
    {
        "run_id": text("run_id_here"),
        "name": text("file"),
        "venue": text("exchange"),
        "symbol": Rule(("only_pair",), lambda row, options: _PAIR.read(row, options) if row["only_pair"] else None),
        "timeframe": first_of(text("timeframe", "ticker_interval"), option("timeframe")),
        "strategy": text("strategy"),
        "parameters": gathered(*_SETTINGS),
        "start_time": moment("backtest_start_ts", "backtest_start"),
        "end_time": moment("backtest_end_ts", "backtest_end"),
        "total_signals": whole("counted_signals"),
        "trades": whole("counted_trades"),
        "wins": whole("counted_wins"),
        "losses": whole("counted_losses"),
        "win_rate": percent("counted_win_rate"),
        "profit_factor": number("counted_profit_factor"),
        "total_pnl_percent": percent("profit_total"),
        "created_at": moment("backtest_run_start_ts", "backtest_start_time", "backtest_end_ts", "last_close"),
    },
)
_LANDED = (
    "SELECT run_id, strategy, trades, wins, losses, start_time, end_time, total_pnl_percent, extra FROM backtests "
    "WHERE list_contains(?, strategy) AND contains(extra, '\"freqtrade:') ORDER BY run_id"
)
_FACTS = ("strategy", "trades", "wins", "losses", "start_time", "end_time", "total_pnl_percent")
_BEGUN = ("backtest_start_time", "backtest_run_start_ts")
TRADES = RowMap(
    "trades",
    {
        "trade_id": _TRADE_ID,
        "run_id": text("run_id"),
        "venue": text("exchange"),
        "symbol": symbol("pair"),
        "side": SIDE,
        "status": constant("closed"),
        "mode": constant("backtest"),
        "strategy": text("strategy"),
        "timeframe": text("timeframe"),
        "quantity": number("amount"),
        "leverage": price("leverage"),
        "entry_price": number("open_rate"),
        "exit_price": number("close_rate"),
        "stop_loss": STOP,
        "fees": FEES,
        "pnl": number("profit_abs"),
        "pnl_percent": percent("profit_ratio", "profit_percent"),
        "exit_reason": text("exit_reason", "sell_reason"),
        "conditions": TAGS,
        "max_favorable": extreme(favorable=True),
        "max_adverse": extreme(favorable=False),
        "created_at": _OPENED,
        "opened_at": _OPENED,
        "closed_at": _CLOSED,
    },
    sums={"pnl": "profit_abs", "quantity": "amount"},
)


def _commission(row: Row, _options: Options) -> float | None:
    rate = "fee_open" if row.get("ft_is_entry") else "fee_close"
    amount, paid, share = (number_in(row, name) for name in ("amount", "safe_price", rate))
    return None if amount is None or paid is None or share is None else amount * paid * share


FILLS = RowMap(
    "fills",
    {
        "fill_id": identity("fill", text("run_id"), whole("place"), whole("number")),
        "trade_id": _TRADE_ID,
        "venue": text("exchange"),
        "symbol": symbol("pair"),
        "side": one_of(_WORDS, "ft_order_side"),
        "quantity": number("amount"),
        "price": number("safe_price"),
        "commission": Rule(("amount", "safe_price", "fee_open", "fee_close"), _commission),
        "commission_asset": text("stake_currency"),
        "is_entry": flag("ft_is_entry"),
        "mode": constant("backtest"),
        "signal_reason": text("ft_order_tag"),
        "executed_at": moment("order_filled_timestamp"),
    },
    sums={"quantity": "amount"},
    when=lambda row: row.get("order_filled_timestamp") is not None,
)


def tables(path: Path, among: dict[str, str] | None = None) -> Iterable[Table]:
    """Runs, trades and orders of one result file; named after it, where there are several.

    Args:
        path: of the file.
        among: digest of a list of trades -> the first file of the folder that holds it; None of a file alone.
    """
    file, several = ResultFile(path), among is not None
    prefix = f"{path.name} " if several else ""
    run_id = Rule(("run_id_here",), lambda row, _options: file.landed.get(row["run_id_here"], row["run_id_here"]))
    runs = replace(RUNS, columns={**RUNS.columns, "run_id": run_id})
    label, look = f"{file.stem} backtests", partial(_look, file)
    is_list = bool(file.reading[0]) and file.is_list
    other = among.setdefault(file.digest, path.name) if among is not None and is_list else path.name
    yield Table(f"{prefix}backtests", (runs,), partial(_runs, file, other), label=label, look=look)
    yield Table(f"{prefix}trades", (TRADES,), partial(_trades, file), label=f"{file.stem} trades")
    if any(run.tally.orders for run in file.reading[0]):
        yield Table(f"{prefix}orders", (FILLS,), partial(_orders, file), label=f"{file.stem} orders")


def _look(file: ResultFile, lk: Any, rows: Sequence[Row], options: Options) -> None:
    """Find runs that the lake has under another id, for the .meta.json that names them came or went meanwhile."""
    if lk is None:
        return
    there = lk.frame(_LANDED, [list({str(row["strategy"]) for row in rows})]).rows(named=True)
    known = {one["run_id"] for one in there}
    for row in rows:
        if row["run_id_here"] not in known:
            same = next((one["run_id"] for one in there if _is_same(one, row, file.stem, options)), None)
            file.landed |= {row["run_id_here"]: same} if same is not None else {}


def _is_same(there: Row, row: Row, stem: str, options: Options) -> bool:
    """Whether a run of the lake is of this file and tells the same, and neither is named after another beginning."""
    told = orjson.loads(there["extra"])[IMPORTED].get(f"freqtrade:{stem} backtests")
    if not isinstance(told, dict) or len({_named(told), _named(row)} - {None}) > 1:
        return False
    return all(is_same(there[name], RUNS.columns[name].read(row, options)) for name in _FACTS)


def _named(row: Row) -> tuple[str, ...] | None:
    """What tells a run from another of its configuration; None where nothing does."""
    begun = next((row[name] for name in _BEGUN if row.get(name)), None)
    return (str(row["run_id"]), str(begun)) if row.get("run_id") and begun else None


def _runs(file: ResultFile, other: str, notes: Notes) -> Iterator[Row]:
    runs, told = file.reading
    if other != file.path.name:
        notes.tell(f"it holds the same as {other}, byte for byte: a strategy of its own, by its name")
    for sentence in told.texts:
        notes.tell(sentence)
    notes.failed |= told.failed
    for run in runs:
        yield run.row(file.stem)


def _trades(file: ResultFile, notes: Notes) -> Iterator[Row | Refused]:
    for run, place, trade in file.trades(notes):
        if isinstance(trade, Refused):
            yield trade
        else:
            of_run = {"strategy": run.strategy, "timeframe": run.told.get("timeframe"), **_place(file, run, place)}
            yield {**{name: value for name, value in trade.items() if name != "orders"}, **of_run}


def _orders(file: ResultFile, notes: Notes) -> Iterator[Row | Refused]:
    for run, place, trade in file.trades(notes):
        if isinstance(trade, Refused):
            continue
        of_trade: dict[str, Any] = {name: trade.get(name) for name in ("pair", "fee_open", "fee_close", "is_short")}
        of_run = {"stake_currency": run.told.get("stake_currency"), **_place(file, run, place)}
        for position, order in enumerate(orders_of(trade)):
            is_order = isinstance(order, dict)
            told = {**of_trade, **of_run, "number": position}
            yield {**order, **told} if is_order else Refused({"order": order, **told}, "not an object")


def _place(file: ResultFile, run: Run, place: int) -> dict[str, Any]:
    """Where a trade stands: in which run, at which place of its list, and on which exchange."""
    run_id = file.landed.get(run.run_id, run.run_id)
    return {"run_id": run_id, "place": place, **({"exchange": run.exchange} if run.exchange else {})}
