"""The views over ten million trades, and those over five million decisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import polars as pl

import lake
from benchmarks.base import Bench, Result, check, medians, shown

_CHUNK = 1_000_000
_DAY = 86_400_000_000
_START = 1_735_689_600_000_000  # 2025-01-01
_TRADES = ("trade_statistics", "trade_statistics_by_symbol", "trade_statistics_by_strategy", "trade_statistics_by_bot")
_DECISIONS = ("prompt_performance", "confidence_calibration")


def trades(bench: Bench) -> Result:
    """Every statistics view once, one after another; their times are added up."""
    rows = bench.sized(10_000_000, least=10_000)
    with lake.open(bench.folder / "lake") as lk:
        _fill(lk, "trades", rows, _some_trades)
        counted = lk.frame("SELECT sum(trades) FROM trade_statistics WHERE period = 'all'").item()
        check(counted == rows, f"trades counted: {counted} of {rows}")
        return _result("statistics_views", f"all statistics views over {rows:,} trades", lk, _TRADES, 1.5)


def decisions(bench: Bench) -> Result:
    """The prompt and the calibration view, one after another."""
    rows = bench.sized(5_000_000, least=10_000)
    with lake.open(bench.folder / "lake") as lk:
        _fill(lk, "decisions", rows, _some_decisions)
        counted = lk.frame("SELECT sum(decisions) FROM prompt_performance").item()
        check(counted == rows, f"decisions counted: {counted} of {rows}")
        return _result("decision_views", f"prompt and calibration views over {rows:,} decisions", lk, _DECISIONS, 1.0)


def empty(bench: Bench) -> Result:
    """Every view of an empty lake; the slowest counts."""
    with lake.open(bench.folder / "lake") as lk:
        works = {name: partial(lk.read, name) for name in lake.views()}
        found = medians(works, rounds=5)
    slowest = max(found, key=found.__getitem__)
    return Result(
        "empty_views",
        "any view of an empty lake",
        "<= 50 ms",
        f"{found[slowest] * 1000:.1f} ms ({slowest}), median {np.median(list(found.values())) * 1000:.1f} ms",
        met=found[slowest] <= 0.05,
        numbers=found,
    )


def _result(name: str, work: str, lk: lake.Lake, views: Sequence[str], target: float) -> Result:
    found = medians({view: partial(lk.read, view) for view in views}, rounds=3)
    total = sum(found.values())
    return Result(
        name, work, f"<= {target} s", f"{total:.2f} s", shown(found, "s"), None, total <= target, {"seconds": found}
    )


def _fill(lk: lake.Lake, dataset: str, rows: int, some: Callable[[int, int], pl.DataFrame]) -> None:
    for first in range(0, rows, _CHUNK):
        lk.write(dataset, some(first, min(_CHUNK, rows - first)))
    lk.compact(dataset)


def _ids(prefix: str, first: int, count: int) -> pl.Series:
    return pl.select(
        pl.format(prefix + "{}", pl.int_range(first, first + count).cast(pl.String).str.zfill(9))
    ).to_series()


def _picked(rng: np.random.Generator, prefix: str, kinds: int, count: int) -> pl.Series:
    names = pl.Series([f"{prefix}{n}" for n in range(kinds)])
    return names.gather(rng.integers(0, kinds, count))


def _some_trades(first: int, count: int) -> pl.DataFrame:
    """Round trips over two years: 50 symbols, 3 strategies, 2 bots, a stop at 1 %."""
    rng = np.random.default_rng(first)
    opened = _START + (first + np.arange(count)) * 6_000_000 + rng.integers(0, 1_000_000, count)
    entry, moved = rng.uniform(1.0, 100.0, count), rng.normal(0.0005, 0.02, count)
    return pl.DataFrame(
        {
            "trade_id": _ids("t", first, count),
            "bot_id": _picked(rng, "bot", 2, count),
            "symbol": _picked(rng, "COIN", 50, count) + "USDT",
            "side": "LONG",
            "status": "closed",
            "mode": "live",
            "strategy": _picked(rng, "strategy", 3, count),
            "quantity": 2.0,
            "entry_price": entry,
            "exit_price": entry * (1 + moved),
            "stop_loss": entry * 0.99,
            "fees": entry * 0.002,
            "pnl": entry * (2 * moved - 0.002),
            "pnl_percent": 100 * (moved - 0.001),
            "created_at": _moments(opened),
            "opened_at": _moments(opened),
            "closed_at": _moments(opened + rng.integers(1, 1440, count) * 60_000_000),
        }
    )


def _some_decisions(first: int, count: int) -> pl.DataFrame:
    """Decisions over two years: 20 symbols, 8 prompts, 3 models, four of five resolved."""
    rng = np.random.default_rng(first)
    at = _START + (first + np.arange(count)) * 12_000_000
    sure, known = rng.uniform(0.4, 1.0, count), rng.uniform(0, 1, count) < 0.8
    right = rng.uniform(0, 1, count) < sure - 0.1
    made = np.where(right, 1.0, -1.0) * rng.uniform(0, 3, count)
    return pl.DataFrame(
        {
            "decision_id": _ids("d", first, count),
            "bot_id": _picked(rng, "bot", 2, count),
            "symbol": _picked(rng, "COIN", 20, count) + "USDT",
            "recommendation": pl.Series(["LONG", "SHORT", "HOLD"]).gather(rng.integers(0, 3, count)),
            "confidence": sure,
            "prompt_version": _picked(rng, "v", 8, count),
            "model_version": _picked(rng, "model", 3, count),
            "latency_ms": rng.integers(300, 9000, count),
            "input_tokens": rng.integers(500, 4000, count),
            "output_tokens": rng.integers(50, 900, count),
            "cost_usd": rng.uniform(0.001, 0.05, count),
            "traded": known,
            "analyzed_at": _moments(at),
            "outcome_correct": pl.Series(right).set(pl.Series(~known), None),
            "actual_pnl": pl.Series(made * 10).set(pl.Series(~known), None),
            "actual_pnl_percent": pl.Series(made).set(pl.Series(~known), None),
            "outcome_recorded_at": pl.Series(_moments(at + _DAY)).set(pl.Series(~known), None),
        }
    )


def _moments(micros: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pl.Series:
    return pl.Series(micros).cast(pl.Datetime("us", "UTC"))
