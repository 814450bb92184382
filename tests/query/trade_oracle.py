"""The figures of docs/metrics.md once more, in plain Python and empyrical: to hold the views to."""

from __future__ import annotations

import gzip
import json
import math
import random
import statistics
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import empyrical
import pandas as pd

Trade = dict[str, Any]
START = datetime(2026, 1, 1, tzinfo=UTC)


def random_trades(seed: int, n: int, days: float = 60, **fields: Any) -> list[Trade]:
    """Closed trades of two bots with ties in time, breakevens, some without stop, pnl_percent or opening time."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        opened = START + timedelta(minutes=round(rng.uniform(0, days * 1440)))
        entry = rng.uniform(50, 150)
        found.append(
            {
                "trade_id": f"t{seed}-{i:05d}",
                "bot_id": rng.choice(["alpha", "beta"]),
                "symbol": rng.choice(["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
                "strategy": rng.choice(["trend", "range", None]),
                "timeframe": rng.choice(["5m", "1h"]),
                "side": rng.choice(["LONG", "SHORT"]),
                "status": "closed",
                "mode": "live",
                "quantity": rng.uniform(0.1, 5),
                "leverage": rng.choice([1.0, 10.0]),
                "entry_price": entry,
                "stop_loss": rng.choice([None, entry, entry * rng.uniform(0.9, 1.1)]),
                "fees": rng.choice([0.0, 0.4, 1.25]),
                "pnl": rng.choice([0.0, *(round(rng.gauss(1, 40), 2) for _ in range(6))]),
                "pnl_percent": rng.choice([None, math.nan, rng.gauss(0.1, 3)]),
                "created_at": opened,
                "opened_at": rng.choice([None, opened, opened, opened]),
                "closed_at": opened + timedelta(minutes=rng.choice([0, 5, 5, 60, 600, 4000])),
                **fields,
            }
        )
    return found


def freqtrade_export(path: Path) -> tuple[list[Trade], dict[str, Any]]:
    """Trades of a freqtrade backtest export, and what freqtrade itself made of them."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    (run,) = json.loads(text)["strategy"].values()
    trades = [
        {
            "trade_id": f"{i:06d}",
            "symbol": t["pair"],
            "side": "SHORT" if t["is_short"] else "LONG",
            "status": "closed",
            "mode": "backtest",
            "bot_id": "freqtrade",
            "quantity": t["amount"],
            "entry_price": t["open_rate"],
            "stop_loss": t["initial_stop_loss_abs"],
            "pnl": t["profit_abs"],
            "pnl_percent": 100 * t["profit_ratio"],
            "created_at": datetime.fromisoformat(t["open_date"]),
            "opened_at": datetime.fromisoformat(t["open_date"]),
            "closed_at": datetime.fromisoformat(t["close_date"]),
        }
        for i, t in enumerate(run["trades"])
    ]
    return trades, run


def figures(
    trades: Sequence[Trade],
    *,
    zone: str = "UTC",
    periods: float = 365,
    capital: float | None = None,
) -> dict[str, Any]:
    """All figures of closed trades, each by its definition."""
    ordered = in_order(trades)
    pnl = [t["pnl"] for t in ordered]
    wins, losses = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
    return {
        "trades": len(pnl),
        "wins": len(wins),
        "losses": len(losses),
        "breakevens": pnl.count(0),
        "win_rate": 100 * len(wins) / len(pnl),
        "total_pnl": math.fsum(pnl),
        "gross_profit": math.fsum(wins),
        "gross_loss": math.fsum(losses),
        "fees": math.fsum(t.get("fees") or 0 for t in ordered),
        "profit_factor": math.fsum(wins) / -math.fsum(losses) if losses else None,
        "expectancy": statistics.fmean(pnl),
        "avg_win": statistics.fmean(wins) if wins else None,
        "avg_loss": statistics.fmean(losses) if losses else None,
        "payoff_ratio": statistics.fmean(wins) / -statistics.fmean(losses) if wins and losses else None,
        "largest_win": max(wins, default=None),
        "largest_loss": min(losses, default=None),
        "sqn": quality(pnl),
        **multiples(ordered),
        "avg_hold_minutes": times(ordered)["avg_hold_minutes"],
        **drawdown(by_day(ordered, zone), capital),
        **risk(ordered, zone, periods),
    }


def sequences(trades: Sequence[Trade]) -> dict[str, Any]:
    """What hangs on the order of closed trades."""
    pnl = [t["pnl"] for t in in_order(trades)]
    last = [sum(1 for _ in run) * sign for sign, run in groupby(pnl, key=lambda p: (p > 0) - (p < 0))][-1]
    return {
        "longest_win_streak": longest(p > 0 for p in pnl),
        "longest_loss_streak": longest(p < 0 for p in pnl),
        "current_streak": last,
        "exposure": times(trades)["exposure"],
    }


def in_order(trades: Sequence[Trade]) -> list[Trade]:
    return sorted(trades, key=lambda t: (t["closed_at"], t["pnl"], t["trade_id"]))


def by_trade(trades: Sequence[Trade], zone: str) -> list[tuple[date, float]]:
    """The day and the result of each trade."""
    return [(day(t["closed_at"], zone), t["pnl"]) for t in in_order(trades)]


def by_day(trades: Sequence[Trade], zone: str) -> list[tuple[date, float]]:
    """Each day with a closing, and its result."""
    days = groupby(by_trade(trades, zone), key=lambda step: step[0])
    return [(d, math.fsum(pnl for _, pnl in steps)) for d, steps in days]


def longest(flags: Any) -> int:
    return max((sum(1 for _ in run) for flag, run in groupby(flags) if flag), default=0)


def quality(values: list[float]) -> float | None:
    if len(values) < 2 or statistics.stdev(values) < 1e-11:
        return None
    return math.sqrt(len(values)) * statistics.fmean(values) / statistics.stdev(values)


def multiples(trades: Sequence[Trade]) -> dict[str, Any]:
    r = [
        t["pnl"] / (abs(t["entry_price"] - t["stop_loss"]) * t["quantity"])
        for t in trades
        if t.get("stop_loss") is not None and t["stop_loss"] != t["entry_price"]
    ]
    percents = [p for t in trades if (p := t.get("pnl_percent")) is not None and not math.isnan(p)]
    return {
        "r_trades": len(r),
        "expectancy_r": statistics.fmean(r) if r else None,
        "sqn_r": quality(r),
        "avg_pnl_percent": statistics.fmean(percents) if percents else None,
    }


def times(trades: Sequence[Trade]) -> dict[str, Any]:
    """Exposure by merging the positions' times one after the other."""
    spans = sorted((t["opened_at"], t["closed_at"]) for t in trades if t.get("opened_at"))
    if not spans:
        return {"avg_hold_minutes": None, "exposure": None}
    covered, end = timedelta(), spans[0][0]
    for opened, closed in spans:
        covered += max(timedelta(), closed - max(opened, end))
        end = max(end, closed)
    whole = end - spans[0][0]
    return {
        "avg_hold_minutes": statistics.fmean((c - o).total_seconds() / 60 for o, c in spans),
        "exposure": 100 * (covered / whole) if whole else None,
    }


def day(moment: datetime, zone: str) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def drawdown(steps: Sequence[tuple[date, float]], capital: float | None) -> dict[str, Any]:
    """The deepest fall of the running sum, after each step, below its peak, which is 0 before the first one."""
    start = steps[0][0]
    equity, peak, peak_day, deepest, worst = 0.0, 0.0, start, 0.0, (start, 0, 0.0)
    path = []
    for number, (today, pnl) in enumerate(steps):
        equity = math.fsum([equity, pnl])
        if equity >= peak - 1e-11:
            peak, peak_day = max(peak, equity), today
        if peak - equity > deepest + 1e-11:
            deepest, worst = peak - equity, (peak_day, number, peak)
        path.append((today, equity))
    until = next((d for d, e in path[worst[1] :] if e >= worst[2] - 1e-11), path[-1][0])
    return {
        "max_drawdown": deepest,
        "max_drawdown_days": (until - worst[0]).days if deepest else 0,
        "max_drawdown_percent": 100 * deepest / (capital + worst[2]) if capital else None,
    }


def risk(trades: Sequence[Trade], zone: str, periods: float) -> dict[str, Any]:
    """Sharpe and Sortino by empyrical, of daily results on a base that does not matter."""
    results = by_day(trades, zone)
    daily = pd.Series([pnl for _, pnl in results], index=pd.to_datetime([d for d, _ in results]))
    daily = daily.reindex(pd.date_range(daily.index[0], daily.index[-1]), fill_value=0.0)
    returns = daily / 1000.0
    deepest = drawdown(results, None)["max_drawdown"]
    several = len(returns) > 1
    sharpe = empyrical.sharpe_ratio(returns, annualization=periods) if several and returns.std() > 1e-12 else None
    sortino = empyrical.sortino_ratio(returns, annualization=periods) if several and (returns < 0).any() else None
    return {
        "days": len(returns),
        "sharpe_ratio": sharpe,
        "sortino_ratio": sortino,
        "calmar_ratio": periods * daily.mean() / deepest if deepest else None,
    }
