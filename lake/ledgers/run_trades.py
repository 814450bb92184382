"""The trades of a backtest, in whatever form they are given, as one canonical table with their results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import polars as pl

from lake.errors import InvalidRowError, UsageError
from lake.ledgers.trade_tables import with_results
from lake.spec import registry
from lake.spec.dataset import Type
from lake.spec.decode import rows_to_frame
from lake.spec.frames import check_frame, dicts
from lake.spec.rows import converter, json_text, row_checker
from lake.spec.tables import as_polars

_DS = registry.get("trades")
SHARED = ("venue", "symbol", "strategy", "timeframe")  # what trades have from their run, or a run from its trades
_Columns = dict[str, list[Any]]
_APART = {"trades": 0, "wins": 0, "losses": 0, "win_rate": 0.051, "profit_factor": 0.0051, "total_pnl_percent": 0.0051}


def table_of(trades: Any, run_id: str, run: Mapping[str, Any], bot: str) -> pl.DataFrame:
    """Trades of a run as rows of the dataset trades.

    Their id is the run's with their own, or with their place where they have none. Where they do not say it, their
    status is closed, and symbol, venue, strategy and timeframe are the run's. A closed one without pnl gets it from its
    prices; a closed_at that is not given stays unknown.

    Args:
        trades: dicts, or a table.
        run_id: of the run.
        run: its columns.
        bot: who writes.

    Raises:
        InvalidRowError: a trade does not fit, or has the id of another one; its place is named.
        UsageError: one trade, where several are wanted.
    """
    given = _columns(trades)
    height = len(next(iter(given.values()), ()))
    checked = _checked(_filled(given, height, run_id, run, bot), height)
    _refuse_twice(checked["trade_id"])
    return _with_results(checked)


def _columns(trades: Any) -> _Columns:
    """Column -> its values, null where a row has none."""
    if isinstance(trades, Mapping):
        raise UsageError("trades of a run are several", where="backtests.record", todo="Give a list or a table.")
    if not isinstance(trades, Sequence):
        return {series.name: series.to_list() for series in as_polars(trades)}
    rows = list(trades)
    if not all(type(row) is dict or isinstance(row, Mapping) for row in rows):
        dicts(_DS, rows)  # says which one is none
    names = list(dict.fromkeys(chain.from_iterable(rows))) or ["symbol"]
    try:
        values = zip(*map(itemgetter(*names, names[0]), rows), strict=True)  # twice the first: then it is a tuple
        return {name: list(column) for name, column in zip(names, values, strict=False)}
    except KeyError:
        return {name: [row.get(name) for row in rows] for name in names}


def _filled(given: _Columns, height: int, run_id: str, run: Mapping[str, Any], bot: str) -> _Columns:
    """The columns with what a trade has from its run."""
    nothing = [None] * height

    def filled(name: str, values: Sequence[Any]) -> list[Any]:
        known = given.get(name, nothing)
        return [found if found is not None else value for found, value in zip(known, values, strict=True)]

    opened = filled("opened_at", given.get("closed_at", nothing))
    made = {
        "trade_id": _ids(given.get("trade_id", nothing), run_id),
        "status": filled("status", ["closed"] * height),
        "created_at": filled("created_at", opened),
        **{name: filled(name, [run[name]] * height) for name in SHARED if run.get(name)},
        "bot_id": [value or bot for value in given.get("bot_id", nothing)],
        "mode": ["backtest"] * height,
        "run_id": [run_id] * height,
    }
    return {**given, **made}


def _ids(own: Sequence[Any], run_id: str) -> list[Any]:
    """The ids of trades, each below its run; what is no id is left to the check of the rows."""
    prefix, convert = f"{run_id}/", converter(_DS, _DS.column("trade_id"))

    def named(number: int, own_id: Any) -> Any:
        try:
            text = str(number if own_id is None else convert(own_id) or number)
        except InvalidRowError:
            return own_id
        return text if text.startswith(prefix) else prefix + text

    return [named(number, own_id) for number, own_id in enumerate(own)]


def _refuse_twice(ids: pl.Series) -> None:
    twice = ids.is_duplicated()
    if twice.any():
        number = int(twice.arg_true()[-1])
        todo = "Leave trade_id out, or give each trade of the run its own."
        where = f"trade {number}, trades.trade_id"
        raise InvalidRowError("another trade of the run has this id", where=where, value=ids[number], todo=todo)


def _checked(columns: _Columns, height: int) -> pl.DataFrame:
    """All rows in canonical form: as a table when it can be one and every row of it fits, else one by one."""
    frame = _typed(columns)
    if frame is not None:
        try:
            checked = check_frame(_DS, frame)
        except InvalidRowError:
            pass  # which row it is, is told below
        else:
            if checked.bad.is_empty():
                return checked.good
    rows = dicts(_DS, [{name: values[number] for name, values in columns.items()} for number in range(height)])
    return rows_to_frame(_DS, [_row(row, number) for number, row in enumerate(rows)])


def _typed(columns: _Columns) -> pl.DataFrame | None:
    """The columns as a table; None when one of them mixes kinds of values, or holds what only a row can have."""
    series = []
    for name, values in columns.items():
        column = _DS.by_name.get(name)
        try:
            if column is not None and column.type is Type.JSON:
                texts = [None if value is None else json_text(value) for value in values]
                series.append(pl.Series(name, texts, dtype=pl.String))
            else:
                kind = pl.Float64 if column is not None and column.type is Type.FLOAT else None
                series.append(pl.Series(name, values, dtype=kind, strict=True))
        except (TypeError, ValueError, OverflowError, InvalidRowError, pl.exceptions.PolarsError):
            return None
        if series[-1].dtype.is_nested() or series[-1].dtype == pl.Object:
            return None
    return pl.DataFrame(series)


def _row(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    try:
        return row_checker(_DS)(row)
    except InvalidRowError as error:
        where = f"trade {number}, {error.where}"
        raise InvalidRowError(error.what, where=where, value=error.value, todo=error.todo) from None


def _with_results(trades: pl.DataFrame) -> pl.DataFrame:
    done = with_results(trades)
    for name in ("pnl", "pnl_percent"):
        number = done[name].is_finite().fill_null(value=True).arg_min()
        if number is not None and not math.isfinite(done[name][number] or 0.0):
            todo = "Check its prices, quantity and leverage."
            raise InvalidRowError("no finite result", where=f"trade {number}, trades.{name}", todo=todo)
    return done


def totals(trades: pl.DataFrame) -> dict[str, Any]:
    """The totals of closed trades whose result is known.

    Args:
        trades: with status, pnl and pnl_percent.

    >>> totals(pl.DataFrame({"status": "closed", "pnl": [2.0, -1.0], "pnl_percent": [1.0, -0.5]}))["profit_factor"]
    2.0
    """
    done = trades.filter((pl.col("status") == "closed") & pl.col("pnl").is_finite())
    results = done["pnl"]
    won, lost = results.filter(results > 0), results.filter(results < 0)
    profit, loss = math.fsum(won.to_list()), -math.fsum(lost.to_list())
    return {
        "trades": len(results),
        "wins": len(won),
        "losses": len(lost),
        "win_rate": 100.0 * len(won) / len(results) if len(results) else None,
        "profit_factor": profit / loss if loss else None,
        "total_pnl_percent": math.fsum(done["pnl_percent"].drop_nulls().to_list()),
    }


def differing(stated: Mapping[str, Any], trades: pl.DataFrame) -> dict[str, tuple[float, float]]:
    """Totals that a run states otherwise than its trades do, by more than rounding: name -> (stated, of its trades).

    A run without trades contradicts nothing.

    >>> differing({"trades": 3, "wins": 1}, pl.DataFrame({"status": "closed", "pnl": [2.0], "pnl_percent": [1.0]}))
    {'trades': (3, 1)}
    """
    if trades.is_empty():
        return {}
    found = totals(trades)
    both = {name: (stated[name], found[name]) for name in _APART if None not in (stated.get(name), found[name])}
    return {name: (said, told) for name, (said, told) in both.items() if abs(said - told) > _APART[name]}


def facts(trades: pl.DataFrame) -> dict[str, Any]:
    """What a run has from its trades: the period they cover, and what is the same in all of them."""
    if trades.is_empty():
        return {}
    found = {name: trades[name][0] for name in SHARED if trades[name].n_unique() == 1 and trades[name][0] is not None}
    return {**found, "start_time": trades["opened_at"].min(), "end_time": trades["closed_at"].max()}
