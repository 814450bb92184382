"""Backtests of a signal bot: runs with their trades, archived runs, and the totals of the newest run of each symbol."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

from lake.errors import InvalidRowError, SourceError
from lake.importers.base import Check, Known, Notes, Options, Refused, Row, RowMap, Rule, Table
from lake.importers.keeping import kept
from lake.importers.kinds.backtest_files import UNKNOWN, BacktestFile, backtest_files, listed, runs, totals
from lake.importers.kinds.signal_bot import (
    CLOSED,
    ENTRY,
    EXIT_REASON,
    NEEDED_SIDE,
    OUTCOME,
    PERCENT,
    SYMBOL,
    TIMEFRAME,
)
from lake.importers.kinds.totalled_runs import APART, TOTALS, TotalledRuns, as_run, tells_of
from lake.importers.nested import item, together
from lake.importers.report import Difference
from lake.importers.rules import (
    constant,
    first_of,
    found,
    gathered,
    identity,
    moment,
    number,
    option,
    price,
    result,
    text,
    whole,
    within,
)
from lake.importers.values import known_number
from lake.importers.wording import counted

_TIME = moment("timestamp", "run_at", "created_at")
_MADE = first_of(_TIME, moment("end"), moment("written"))
_RUN = identity("run", SYMBOL, TIMEFRAME, first_of(_TIME, text("content")))
_WINS, _LOSSES = ("wins", "total_win", "winning_trades"), ("losses", "total_loss", "losing_trades")
_RATE, _PNL, _COUNT = ("win_rate",), ("total_pnl_pct", "total_profit_pct", "total_pnl"), ("total_trades",)
_COUNTED = "counted"  # of a run that does not say how many trades it had
_COMPARED = {"trades": (*_COUNT, _COUNTED), "win_rate": _RATE, "total_pnl_percent": _PNL}
_KEPT = frozenset({"timestamp", "end", "written", *_COUNT, *_RATE, *_PNL})
_NAMED = 5  # in a note
_TOLD_BY, _ID = "content", "run_id"

RUNS = RowMap(
    "backtests",
    {
        "run_id": _RUN,
        "name": first_of(text("name"), text("SYM_TF")),
        "venue": option("venue"),
        "symbol": SYMBOL,
        "timeframe": TIMEFRAME,
        "strategy": first_of(text("strategy", "strategy_name"), option("strategy")),
        "parameters": gathered("period_days", "period", "parameters"),
        "start_time": moment("start"),
        "end_time": moment("end"),
        "total_signals": whole("total_signals"),
        "trades": whole(*_COUNT, "trades_listed"),
        "wins": whole(*_WINS),
        "losses": whole(*_LOSSES),
        "win_rate": number(*_RATE),
        "profit_factor": number("profit_factor"),
        "total_pnl_percent": result(*_PNL),
        "created_at": _MADE,
    },
    sums={"total_pnl_percent": _PNL, "trades": (*_COUNT, "trades_listed")},
    held=frozenset({"file", "content", "written", "start", "end", "trades_listed"}),
)


def _of_run(rule: Rule) -> Rule:
    return within("run", rule)


_OPENED = moment("timestamp", "entry_time", "opened_at")
TRADES = RowMap(
    "trades",
    {
        "trade_id": identity("trade", _of_run(_RUN), number("place")),
        "symbol": Rule(("symbol", "run"), lambda row, options: SYMBOL.read({**row["run"], **row}, options)),
        "side": NEEDED_SIDE,
        "status": constant("closed"),
        "mode": constant("backtest"),
        "strategy": first_of(_of_run(text("strategy", "strategy_name")), option("strategy")),
        "timeframe": _of_run(TIMEFRAME),
        "quantity": number("quantity"),
        "entry_price": ENTRY,
        "exit_price": price("exit_price"),
        "stop_loss": price("sl_price", "stop_loss"),
        "take_profit": first_of(price("tp_price", "take_profit"), item(0, "tp_prices")),
        "pnl_percent": result(*PERCENT),
        "exit_reason": EXIT_REASON,
        "run_id": _of_run(_RUN),
        "created_at": first_of(_OPENED, _of_run(_MADE)),
        "opened_at": _OPENED,
        "closed_at": CLOSED,
        "extra": together(outcome=OUTCOME),
    },
    sums={"pnl_percent": PERCENT, "quantity": "quantity"},
    held=frozenset({"run", "place"}),
)


class Backtests:
    """Reads backtest_results.json, ict_backtest_results.json, and folders of results and archives."""

    name = "backtests"
    summary = "a signal bot's backtest results: files, folders of them, and archives"

    def tables(self, source: str, options: Options) -> Iterable[Table | Check]:
        """Runs and trades, of results and of archives; totals, those without a run as runs, the others compared."""
        files = backtest_files(source)
        newest = [file for file in files if not file.day]
        known = _Known(files, options)
        met = TotalledRuns(self.name, RUNS, known.linked)
        made = replace(TRADES, columns={**TRADES.columns, "run_id": _of_run(met.met_id)})
        if not known.count and len(files) == 1 and known.notes.texts == [] and known.refused:
            raise SourceError(UNKNOWN, where=source, todo="Is it of another kind, such as freqtrade?")
        for name, some in (("", newest), ("archived ", [file for file in files if file.day])):
            if some:
                yield Table(f"{name}runs", (met.map(RUNS),), partial(_run_rows, some), look=met.runs)
                yield Table(f"{name}trades", (made,), partial(_trade_rows, some))
        if known.alone:
            rows, completed = partial(_totals, files, known.alone), partial(_compared, self.name)
            yield Table(TOTALS, (met.map(RUNS),), rows, look=met.totals, completed=completed)
        if known.both:
            rows = partial(_totals, files, known.both)
            yield Check(TOTALS, RUNS.dataset, rows, known.differences, needs_lake=False, told_by=_TOLD_BY)


def _run_rows(files: Sequence[BacktestFile], notes: Notes) -> Iterator[Row | Refused]:
    wrong: list[str] = []
    undated = 0
    for run in runs(files, notes):
        if isinstance(run, Refused):
            yield run
            continue
        undated += found(run, ("end", *_TIME.names))[1] is None
        trades = listed(run)
        said = found(run, _COUNT)[1]
        if trades and isinstance(said, int) and said != len(trades):
            wrong.append(f"{run['file']} says {said:,} and lists {len(trades):,}")
        yield _without_trades(run)
    if undated:
        notes.tell(f"{counted(undated, 'run names no time', 'runs name no time')}: that of the file or folder is taken")
    if wrong:
        more = ", ..." if len(wrong) > _NAMED else ""
        named = "; ".join(wrong[:_NAMED])
        notes.tell(f"in {counted(len(wrong), 'run')} the number of trades is not that of those listed: {named}{more}")


def _without_trades(run: Row) -> Row:
    """A run with the number of the trades that it lists."""
    count = {"trades_listed": len(listed(run))} if isinstance(run.get("trades"), list) else {}
    return {**{name: value for name, value in run.items() if name != "trades"}, **count}


def _trade_rows(files: Sequence[BacktestFile], _notes: Notes) -> Iterator[Row | Refused]:
    for run in runs(files, Notes()):  # what cannot be read is told with the runs
        if isinstance(run, Refused):
            continue
        around = {name: value for name, value in run.items() if name != "trades"}
        for place, trade in enumerate(listed(run), 1):
            yield (
                {**trade, "run": around, "place": place} if isinstance(trade, dict) else Refused(trade, "not an object")
            )


def _totals(files: Sequence[BacktestFile], wanted: frozenset[str], notes: Notes) -> Iterator[Row | Refused]:
    for row in totals(files, notes):
        if isinstance(row, Refused) or row[_TOLD_BY] in wanted:
            yield row


def _compared(kind: str, lk: Any, rows: Sequence[Row], options: Options) -> Iterator[Row | Known]:
    """Totals without a run; those that were compared with theirs before, whose file is gone, make none."""
    contents = [row[_TOLD_BY] for row in rows]
    before = kept(lk, RUNS.dataset, f"{kind}:{TOTALS}", options.bot_id, (_TOLD_BY, contents))
    yield from (Known(row) if row[_TOLD_BY] in before else row for row in rows)


def _counted(run: Row) -> int | None:
    """How many trades a run lists, or else has won and lost."""
    if isinstance(run.get("trades"), list):
        return len(listed(run))
    wins, losses = found(run, _WINS)[1], found(run, _LOSSES)[1]
    return wins + losses if isinstance(wins, int) and isinstance(losses, int) else None


class _Known:
    """Which runs the files hold, and for which of the totals there is one: a new one, or surely one of the archive.

    Attributes:
        linked: the id of a run -> that of its totals, as if they had landed.

    Args:
        files: those of the store.
        options: what the caller said.
    """

    def __init__(self, files: Sequence[BacktestFile], options: Options) -> None:
        self.notes, self.refused, self.count = Notes(), 0, 0
        self._options = options
        self._runs: dict[tuple[str, str], list[Row]] = {}
        newest = [file for file in files if not file.day]
        for run in runs(newest or files, self.notes):
            if isinstance(run, Refused):
                self.refused += 1
                continue
            self.count += 1
            self._runs.setdefault(_pair(run), []).append(self._kept(run))
        told = {row[_TOLD_BY]: row for row in totals(files, Notes()) if not isinstance(row, Refused)}
        self.count += len(told)
        lone = [row for row in told.values() if _pair(row) not in self._runs]
        self._archived = self._of_archive(lone, files) if lone and newest else {}
        self.both = frozenset(n for n, row in told.items() if n in self._archived or _pair(row) in self._runs)
        self.alone = frozenset(told) - self.both
        pairs = [(as_run(RUNS, row, options), self._nearest(row)) for name, row in told.items() if name in self.both]
        self.linked = {run[_ID]: row["run_id"] for row, run in pairs if row is not None and run[_ID] is not None}

    def differences(self, _lk: Any, rows: Sequence[Row], _options: Options) -> Iterator[Difference]:
        """What totals say otherwise than the run of their symbol and timeframe that is nearest in time."""
        for row in rows:
            run = self._nearest(row)
            for column, theirs in _COMPARED.items():
                held, said = (known_number(found(one, theirs)[1]) for one in (run, row))
                if held is not None and said is not None and abs(held - said) > APART[column]:
                    yield Difference("backtests", row["SYM_TF"], column, held, said)

    def _kept(self, run: Row) -> Row:
        name = None
        with suppress(InvalidRowError):  # it is refused where it should land
            name = _RUN.read(run, self._options)
        return {_ID: name, _COUNTED: _counted(run), **{name: run[name] for name in run.keys() & _KEPT}}

    def _of_archive(self, lone: Sequence[Row], files: Sequence[BacktestFile]) -> dict[str, Row]:
        """The archived runs that some totals are surely of, by what the totals tell."""
        wanted = [(row[_TOLD_BY], made) for row in lone if (made := as_run(RUNS, row, self._options)) is not None]
        done: dict[str, Row] = {}
        for run in runs([file for file in files if file.day], Notes()):
            made = None if isinstance(run, Refused) else as_run(RUNS, _without_trades(run), self._options)
            if not isinstance(run, Refused) and made is not None:
                done |= {name: self._kept(run) for name, row in wanted if tells_of(row, made)}  # the newest is last
        return done

    def _nearest(self, row: Row) -> Row:
        of_archive = self._archived.get(row[_TOLD_BY])
        return of_archive or min(self._runs[_pair(row)], key=partial(self._between, row))

    def _between(self, row: Row, run: Row) -> float:
        try:
            apart: timedelta = _MADE.read(row, self._options) - _MADE.read(run, self._options)
        except InvalidRowError:
            return math.inf  # it is refused where it should land
        return abs(apart.total_seconds())


def _pair(row: Row) -> tuple[str, str]:
    return str(row.get("symbol")), str(row.get("timeframe"))
