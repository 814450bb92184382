"""Backtest runs."""

from lake.spec.columns import EXTRA, STRATEGY, TIMEFRAME, document, moment, number, percent, text, whole
from lake.spec.dataset import Dataset, Partition, Period
from lake.spec.rules import InOrder

DATASET = Dataset(
    name="backtests",
    meaning="one backtest run: its parameters and totals; its trades are in trades, under its run_id",
    columns=(
        text("run_id", "names the run", required=True),
        text("name", "name for people"),
        text("venue", "the exchange, empty where unknown", required=True),
        text("symbol", "canonical symbol, where the run had one"),
        TIMEFRAME,
        STRATEGY,
        document("parameters", "of the strategy and the run"),
        moment("start_time", "of the tested period"),
        moment("end_time", "of the tested period"),
        whole("total_signals", "signals given", minimum=0),
        whole("trades", "trades made", minimum=0),
        whole("wins", "winners", minimum=0),
        whole("losses", "losers", minimum=0),
        percent("win_rate", "share of winners"),
        number("profit_factor", "gross profit over gross loss"),
        percent("total_pnl_percent", "result"),
        moment("created_at", "when it was run", required=True),
        EXTRA,
    ),
    key=("run_id",),
    event_time="created_at",
    known_at="created_at",
    partition=Partition("created_at", Period.YEAR),
    sort=("created_at", "run_id"),
    generated_id="run_id",
    defaults={"venue": "", "created_at": "now"},
    rules=(InOrder("start_time", "end_time"),),
)
