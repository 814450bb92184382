"""Barrier labels: how positions would have ended, from candles; ``lake.label_events``.

An outcome means what it means for a phantom (:mod:`lake.kernels.phantom`); what finer candles, starts inside a
candle and gaps do is in :mod:`lake.kernels.barrier`. Further:

- The outcome is the sign of the net result: win, loss, breakeven. An exit at the price of the moved stop stays
  breakeven, whatever it costs (one that opens beyond it does not); one by time is timeout.
- A missing candle before the end makes it unknown, exit_reason gap, all else null. While candles that tell its
  end have not come yet, or none of its symbol are given, every column is null.
- Without a stop there is no R: realized_rr, mfe_r, mae_r, one_r_hit, two_r_hit are null. Hits of targets that it
  has not are null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels import barrier
from lake.kernels.barrier_bars import lives_of
from lake.kernels.barrier_loops import EVEN, GAP, STOPPED, TARGET, TIMEOUT
from lake.kernels.barrier_types import Events, Lives
from lake.kernels.rounding import slack
from lake.learn.label_candles import Market, finer_markets, market_of
from lake.learn.label_rows import TARGETS, arrays, events_frame, refuse

_TIME = pl.Datetime("us", "UTC")
#: The columns of a label, after event_id.
LABEL: dict[str, Any] = {
    "outcome": pl.String, "exit_reason": pl.String, "exit_price": pl.Float64, "exit_time": _TIME,
    "pnl_percent": pl.Float64, "realized_rr": pl.Float64, "tp1_hit": pl.Boolean, "tp2_hit": pl.Boolean,
    "tp3_hit": pl.Boolean, "be_moved": pl.Boolean, "one_r_hit": pl.Boolean, "two_r_hit": pl.Boolean,
    "time_to_tp1_sec": pl.Float64, "time_to_exit_sec": pl.Float64, "max_favorable": pl.Float64,
    "max_adverse": pl.Float64, "ambiguous": pl.Boolean, "mfe_r": pl.Float64, "mae_r": pl.Float64, "bars": pl.Int64,
}  # fmt: skip
_IN_R = ("realized_rr", "one_r_hit", "two_r_hit", "mfe_r", "mae_r")
_OUTCOMES = {0: "win", 1: "breakeven", 2: "loss", 3: "timeout"}
_REASONS = {STOPPED: "sl", EVEN: "breakeven", TIMEOUT: "timeout", 10: "tp1", 11: "tp2", 12: "tp3"}


@dataclass(frozen=True, slots=True)
class Costs:
    """What trading takes.

    Attributes:
        fees: of the notional, at the entry and at the exit each: 0.001 is 0.1 %.
        slippage: by how much of the price an exit at the market is filled worse: stop, moved stop, timeout.
    """

    fees: float = 0.0
    slippage: float = 0.0

    def __post_init__(self) -> None:
        given: dict[str, Any] = {"fees": self.fees, "slippage": self.slippage}
        for name, rate in given.items():
            if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < 1:
                raise UsageError("a rate is at least 0 and below 1", where=name, value=rate, todo="0.001 is 0.1 %.")


def label_events(
    candles: Any,
    events: Any,
    *,
    finer: Any = None,
    fees: float = 0.0,
    slippage: float = 0.0,
    break_even: bool = True,
) -> pl.DataFrame:
    """How each event ended along candles: one row an event, in the order given.

    What an outcome is stands at the head of :mod:`lake.learn.labels`.

    Args:
        candles: closed ones of one timeframe: symbol, open_time (with a time zone), open, high, low, close; may have
            venue, and timeframe, else the most frequent spacing is their length.
        events: event_id, symbol, side (LONG, SHORT), entry_price, start_time; may have stop_loss, tp1, tp2, tp3,
            timeout_at, break_even, and venue; without one: candles without, else of the only venue with its symbol.
        finer: candles of finer timeframes: a table, several, or {timeframe: table}.
        fees: rate of the notional a side, 0.001 for 0.1 %.
        slippage: rate by which exits at the market (stop, moved stop, timeout) are filled worse.
        break_even: of events that do not say it: whether the stop moves to the entry at the first of several targets.

    Returns:
        event_id, outcome, exit_reason (sl, breakeven, tp1 to tp3, timeout, gap), exit_price (after slippage),
        exit_time, pnl_percent and realized_rr (net of fees and slippage), tp1_hit, tp2_hit, tp3_hit, be_moved,
        one_r_hit, two_r_hit, time_to_tp1_sec, time_to_exit_sec, max_favorable and max_adverse (gross prices),
        ambiguous, mfe_r (0 or above) and mae_r (0 or below) in R, bars (candles lived through, the last included, the
        rest of the one it began in where finer candles cover it).

    Raises:
        InvalidRowError: an event that cannot be followed, or an impossible candle, by name; or naive times.
        UsageError: a column is missing, or a rate that is none.
        MissingExtraError: numba is not installed.

    >>> from datetime import datetime, UTC
    >>> at = [datetime(2024, 1, 1, 0, minute, tzinfo=UTC) for minute in range(3)]
    >>> candles = pl.DataFrame({"symbol": ["BTCUSDT"] * 3, "open_time": at, "open": [100.0, 101.0, 103.0],
    ...     "high": [101.5, 103.5, 104.5], "low": [99.5, 100.5, 102.5], "close": [101.0, 103.0, 104.0]})
    >>> events = pl.DataFrame({"event_id": ["a"], "symbol": ["BTC/USDT"], "side": ["LONG"], "entry_price": [100.0],
    ...     "stop_loss": [98.0], "tp1": [104.0], "start_time": at[:1]})
    >>> label_events(candles, events, fees=0.001).select("outcome", "exit_price", "realized_rr", "bars").row(0)
    ('win', 104.0, 1.898, 3)
    """
    costs = Costs(fees, slippage)
    base = market_of(candles)
    frame = events_frame(events, break_even=break_even)
    refuse(frame)
    found = follow(base, finer_markets(finer, base), frame)
    return outcomes(frame, *found, costs)


def follow(base: Market, finer: Sequence[Market], frame: pl.DataFrame) -> tuple[Events, Lives]:
    """Sound events, and what became of them."""
    events = arrays(frame)
    lives = lives_of(events)
    for (venue, symbol), rows in by_series(frame):
        name = base.name_of(venue, symbol)
        bars = base.bars(name)
        if bars is not None:
            more = [found for market in finer if (found := market.bars(name)) is not None]
            barrier.follow([bars, *more], events, rows, lives)
    return events, lives


def by_series(frame: pl.DataFrame) -> list[tuple[tuple[str, str], Any]]:
    """(venue, symbol) -> numbers of the events of it."""
    parts = frame.select("venue", "symbol").with_row_index("row").group_by("venue", "symbol", maintain_order=True)
    found = parts.agg(pl.col("row"))
    names = found.select("venue", "symbol").rows()
    return [
        ((venue, symbol), rows.to_numpy().astype(np.int64))
        for (venue, symbol), rows in zip(names, found["row"], strict=True)
    ]


def outcomes(frame: pl.DataFrame, events: Events, lives: Lives, costs: Costs) -> pl.DataFrame:
    """The label of each event."""
    sign = 1.0 - 2.0 * events.side
    is_market = np.isin(lives.code, (STOPPED, EVEN, TIMEOUT))
    gross = sign * lives.price
    filled = np.where(is_market, gross * (1 - sign * costs.slippage), gross)
    result = sign * filled - sign * events.entry - costs.fees * (events.entry + filled)
    risk = np.abs(events.entry - events.stop)
    ahead, behind = lives.best - sign * events.entry, lives.worst - sign * events.entry
    off = slack(lives.best, events.entry, events.stop)
    is_even = (lives.code == EVEN) & (gross == events.entry)
    kind = np.select([lives.code == TIMEOUT, is_even], [3, 1], 1 - np.sign(np.nan_to_num(result)))
    has = ~np.isnan(events.targets)
    last = 2 - np.argmax(has[:, ::-1], axis=1)
    reason = np.where(lives.code == TARGET, 10 + last, lives.code)
    one, two, three = (has[:, n].astype(np.int8) for n in range(3))
    rank = (one, one + two, one + two + three)  # of each target among those it has
    made = pl.DataFrame(
        {
            "outcome": kind.astype(np.int8), "exit_reason": reason.astype(np.int8),
            "exit_price": filled, "exit_time": lives.at, "pnl_percent": 100.0 * result / events.entry,
            "realized_rr": result / risk, **{f"{name}_hit": rank[n] <= lives.hit for n, name in enumerate(TARGETS)},
            "be_moved": events.break_even & (lives.hit > 0) & (rank[2] > 1),
            "one_r_hit": ahead >= risk - off, "two_r_hit": ahead >= 2 * risk - off,
            "time_to_tp1_sec": (lives.tp1 - events.start) / 1e6, "time_to_exit_sec": (lives.at - events.start) / 1e6,
            "max_favorable": sign * lives.best, "max_adverse": sign * lives.worst, "ambiguous": lives.ambiguous,
            "mfe_r": ahead / risk, "mae_r": behind / risk, "bars": lives.bars,
        }
    )  # fmt: skip
    return _shown(frame["event_id"], made, lives.code, has, ~np.isnan(risk))


def _shown(ids: pl.Series, made: pl.DataFrame, code: Any, has: Any, has_stop: Any) -> pl.DataFrame:
    """The label with codes in words, and nulls where there is nothing to say."""
    is_over = pl.Series(np.isin(code, (STOPPED, EVEN, TARGET, TIMEOUT)))
    is_gap = pl.Series(code == GAP)
    told: dict[str, Any] = dict.fromkeys(LABEL, is_over)
    told |= {name: is_over & pl.Series(has_stop) for name in _IN_R}
    told |= {f"{name}_hit": is_over & pl.Series(has[:, n]) for n, name in enumerate(TARGETS)}
    told["time_to_tp1_sec"] = is_over & (made["time_to_tp1_sec"] >= 0)
    made = made.with_columns(
        pl.col("outcome").replace_strict(_OUTCOMES, return_dtype=pl.String, default=None),
        pl.col("exit_reason").replace_strict(_REASONS, return_dtype=pl.String, default=None),
        pl.col("exit_time").cast(_TIME),
    )
    words = {"outcome": "unknown", "exit_reason": "gap"}
    columns = []
    for name, kind in LABEL.items():
        other = pl.when(is_gap).then(pl.lit(words[name])) if name in words else pl.lit(None)
        columns.append(pl.when(told[name]).then(pl.col(name)).otherwise(other).cast(kind).alias(name))
    return made.select(ids.alias("event_id"), *columns)
