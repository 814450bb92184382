"""Backtests of a signal bot: runs with their trades, archived runs, and the totals of the newest run of each symbol."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from lake.errors import InvalidRowError, SourceError
from lake.importers.base import Check, Notes, Options, Refused, Row, RowMap, Rule, Table
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
from lake.importers.kinds.totalled_runs import TOLD_BY, TOTALS, TotalledRuns
from lake.importers.mapping import plain, refusal
from lake.importers.nested import item, together
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
from lake.importers.wording import counted

_TIME = moment("timestamp", "run_at", "created_at")
_DATED = first_of(_TIME, moment("end"))
_MADE = first_of(_DATED, moment("written"))
_RUN = identity("run", SYMBOL, TIMEFRAME, first_of(_TIME, text("content")))
_TOTALS = identity("run", SYMBOL, TIMEFRAME, text("content"))
_WINS, _LOSSES = ("wins", "total_win", "winning_trades"), ("losses", "total_loss", "losing_trades")
_RATE, _PNL, _COUNT = ("win_rate",), ("total_pnl_pct", "total_profit_pct", "total_pnl"), ("total_trades",)
_NAMED = 5  # in a note


def _id(row: Row, options: Options) -> str:
    """Of a run, or of totals: those may be made in the moment of another run than theirs, and of other totals."""
    made: str = (_TOTALS if "SYM_TF" in row else _RUN).read(row, options)
    return made


RUNS = RowMap(
    "backtests",
    {
        "run_id": Rule((*_RUN.names, "SYM_TF"), _id),
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
        "extra": together(bot_id=option("bot_id")),  # the dataset has no such column, and totals are of a bot's runs
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
        """Runs and trades, of results and of archives; totals compared with their runs, or runs where none is known."""
        files = backtest_files(source)
        newest = [file for file in files if not file.day]
        known = self._known(source, files, options)
        made, made_at = known.map(RUNS), first_of(_OPENED, _of_run(known.made_at(_MADE)))
        columns = {**TRADES.columns, "run_id": _of_run(known.met_id), "created_at": made_at}
        trades = replace(TRADES, columns=columns, decided=frozenset({"created_at"}))
        for name, some in (("", newest), ("archived ", [file for file in files if file.day])):
            if some:
                yield Table(f"{name}runs", (made,), partial(_run_rows, some), look=known.look)
                yield Table(f"{name}trades", (trades,), partial(_trade_rows, some))
        rows = partial(_compared, files, known)
        yield Check(TOTALS, RUNS.dataset, rows, known.differences, needs_lake=False, told_by=TOLD_BY)
        if known.lone:
            yield Table(TOTALS, (made,), lambda _: iter(known.lone), look=known.look, completed=known.completed)

    def _known(self, source: str, files: Sequence[BacktestFile], options: Options) -> TotalledRuns:
        """The runs and totals that the files hold; SourceError of one file that is no backtest."""
        known, notes, count, strange = TotalledRuns(self.name, RUNS, _DATED, options), Notes(), 0, 0
        for run in runs(files, notes):
            if isinstance(run, Refused):
                strange += 1
            else:
                count += 1
                known.add(_without_trades(run))
        for row in totals(files, Notes()):
            count += 1
            known.add(row)
        if len(files) == 1 and not notes.texts and strange and not count:
            raise SourceError(UNKNOWN, where=source, todo="Is it of another kind, such as freqtrade?")
        return known


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


def _compared(files: Sequence[BacktestFile], known: TotalledRuns, notes: Notes) -> Iterator[Row | Refused]:
    """All totals; those that do not fit could be compared with nothing."""
    known.tell_into(notes)
    for row in totals(files, notes):
        try:
            known.told(row)
        except InvalidRowError as error:
            yield Refused(plain(row), refusal(error))
        else:
            yield row
