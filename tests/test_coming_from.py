"""Every line of docs/coming-from.md runs."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import lake
from lake.cli import main
from lake.kernels import market
from lake.learn import weights
from tests.helpers import trade
from tests.learn import models_made

PAGE = Path(__file__).parents[1] / "docs" / "coming-from.md"
START = 1_767_225_600_000_000  # 2026-01-01


def rows() -> dict[str, list[tuple[str, str]]]:
    """Section -> (what was there, the code that does it here)."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| ") and not line.startswith("| there "):
            there, here = (cell.strip() for cell in re.match(r"\| (.*?) \| (.*) \|$", line).groups())  # type: ignore[union-attr]
            found.setdefault(section, []).append((there, here))
    return found


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    """A bot's lake with two days of candles, some closed trades and a tag."""
    with lake.open(tmp_path / "lake", bot_id="b1") as opened:
        candles = market.candles("BTCUSDT", START, 2 * 1440, price=100.0, seed=1).drop("symbol", "venue", "timeframe")
        opened.candles.write(candles, "1m", symbol="BTCUSDT")
        opened.trades.record(
            [trade(n, entry_price=100.0, exit_price=101.0, quantity=1.0, side="LONG") for n in range(5)]
        )
        opened.tag("audit")
        yield opened


def examples() -> pl.DataFrame:
    """Labelled rows with the columns that the frame of a data set has beside its features."""
    rows = models_made.rows(
        60, symbol="BTCUSDT", kind=["phantom", "trade"] * 30, flag_flash_crash=[False] * 59 + [True]
    )
    return rows.with_columns(weight_recency=pl.Series(weights.recency(rows["decision_time"], timedelta(days=90))))


def run_code(code: str, lk: lake.Lake, folder: Path) -> Any:
    """Run one cell: a command, a query, or Python."""
    code = code.replace("{folder}", str(folder))
    if code.startswith("lake "):
        done = CliRunner().invoke(main, [*shlex.split(code)[1:], "--lake", lk.location.uri])
        assert done.exit_code == 0 or (done.exit_code == 1 and "doctor" in code), done.output
        return done.output
    if code.startswith("SELECT "):
        return lk.frame(code)
    bars = market.candles("BTCUSDT", START, 20, price=100.0, seed=2).select("open", "high", "low", "close", "volume")
    step = {"3m": 3, "15m": 15}.get(code.split('"')[1] if '"' in code else "", 15)
    times = pl.datetime_range(
        pl.datetime(2026, 1, 1, time_zone="UTC"), interval=f"{step}m", closed="left",
        end=pl.datetime(2026, 1, 1, time_zone="UTC") + pl.duration(minutes=20 * step), eager=True,
    )  # fmt: skip
    frame = bars.with_columns(times.alias("open_time"))
    names = {"lk": lk, "alk": lake.AsyncLake(lk), "lake": lake, "frame": frame, "frames": {"BTCUSDT": frame}}
    names |= {"examples": examples(), "history": [trade("old-1", exit_price=101.0)]}
    compiled = compile(
        code, "coming-from", "exec" if code.startswith("with ") else "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    )
    found = eval(compiled, names)
    return asyncio.run(_awaited(found)) if inspect.isawaitable(found) else found


async def _awaited(found: Any) -> Any:
    return await found


@pytest.mark.parametrize("section", rows())
def test_every_line_of_the_page_runs(lk: lake.Lake, tmp_path: Path, section: str) -> None:
    failures = []
    for there, here in rows()[section]:
        codes = re.findall(r"`([^`]+)`", here)
        assert len(codes) == 1, there
        assert codes[0] == here.strip("`"), there
        try:
            run_code(codes[0], lk, tmp_path)
        except (lake.LakeError, AttributeError, TypeError, KeyError, AssertionError) as error:
            failures.append(f"{there}: {error!r}")
    assert not failures, "\n".join(failures)


CAPABILITIES = (  # of the five systems, in their own words
    "ml:trend:phantom_weight", "ml:trend:nn_enabled", "bot.log", "500 MB", "flash crash", "weighting recent rows",
    "get_bot_performance_summary()",
)  # fmt: skip


def test_nothing_that_a_system_could_do_is_missing() -> None:
    told = " ".join(there for lines in rows().values() for there, _ in lines)
    assert [words for words in CAPABILITIES if words not in told] == []


def test_the_summary_of_a_bot_has_its_figures_its_risk_and_its_guard(lk: lake.Lake, tmp_path: Path) -> None:
    lk.bots.configure("b1", bot_name="one", symbol="BTCUSDT", strategy="RSI", capital=1000.0, drawdown_guard_pct=20.0)
    lk.bots.save_state("b1", state={}, equity=1000.0)
    lk.bots.save_state("b1", state={}, equity=750.0)
    [code] = [
        here for _, lines in rows().items() for there, here in lines if there.startswith("bot_performance_summary")
    ]
    [row] = run_code(code.strip("`"), lk, tmp_path).to_dicts()
    assert (row["trades"], row["capital"], row["drawdown_guard_pct"]) == (5, 1000.0, 20.0)
    assert (row["current_drawdown_pct"], row["trading_halted"]) == (25.0, True)


def test_no_line_says_no() -> None:
    for lines in rows().values():
        for _, here in lines:
            assert here.startswith("`")
            assert here.endswith("`")


def test_all_five_systems_are_there() -> None:
    assert len(rows()) == 5
    assert sum(len(lines) for lines in rows().values()) > 70
