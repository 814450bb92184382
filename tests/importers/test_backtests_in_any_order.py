"""Random stores of backtests, imported file by file in a random order: the lake holds what one import of all gives."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.importers.base import Options
from lake.importers.run import import_from
from tests.importers.contract import rows

PAIRS = ("XRPUSDT_3h", "BTCUSDT_1h")
MOMENTS = (None, *(f"2025-12-{day}T08:00:00" for day in range(20, 26)))
TRADE = {"timestamp": 1764216000000, "signal": "SELL", "entry_price": 1.5, "profit_pct": 1.0}
SEEDS = (2, 10)


def numbers(chance: random.Random) -> dict[str, Any]:
    told = {"total_trades": chance.randint(10, 13), "win_rate": 50.0, "total_pnl": float(chance.randint(0, 1))}
    return {name: told[name] for name in chance.sample([*told], chance.choice((0, 1, 3, 3, 3, 3)))}


def store(chance: random.Random) -> dict[str, Any]:
    """Path -> content of a few runs of two symbols, of copies of some in the archive, and of aggregates."""
    files: dict[str, Any] = {}
    for number in range(chance.randint(1, 4)):
        pair, at, day = chance.choice(PAIRS), chance.choice(MOMENTS), chance.randint(20, 25)
        symbol, timeframe = pair.split("_")
        run = {"symbol": symbol, "timeframe": timeframe, "timestamp": at, "total_signals": number, "trades": [TRADE]}
        run |= numbers(chance)
        if files.setdefault(f"backtest_results/{pair}_{at or number}.json", run) is run and chance.random() < 0.3:
            files[f"backtest_archive/2025-12-{day}/{number}.json"] = run
    for number in range(chance.randint(2, 4)):
        results = {pair: numbers(chance) | {"avg_rr": number} for pair in chance.sample(PAIRS, chance.choice((1, 2)))}
        files[f"{number}/ict_backtest_results.json"] = {"timestamp": chance.choice(MOMENTS), "results": results}
    return files


def written(root: Path, name: str, content: Any) -> None:
    path = root / "backtests" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    os.utime(path, (1_766_000_000, 1_766_000_000))


def told(lk: Any) -> list[Any]:
    """All that a lake has of backtests, but for the ids of runs."""
    return [
        rows(lk, "backtests", "* EXCLUDE (run_id, extra)"),
        rows(lk, "trades", "* EXCLUDE (run_id, extra)"),
        rows(lk, "trades JOIN backtests USING (run_id)", "trade_id, backtests.* EXCLUDE (run_id, extra)"),
        rows(lk, "data_quality", "details -> '$.said.content'"),
    ]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("is_one_folder", [True, False], ids=["one folder", "many"])
def test_a_random_store_in_a_random_order_ends_as_one_import_of_all(
    tmp_path: Path, seed: int, is_one_folder: bool
) -> None:
    chance, said = random.Random(seed), Options(bot_id="b")
    files = store(chance)
    for name, content in files.items():
        written(tmp_path / "all", name, content)
    with lake.open(tmp_path / "lake", durability="normal") as lk:
        import_from(lk, "backtests", str(tmp_path / "all"), said)
        whole = told(lk)
    with lake.open(tmp_path / "parts", durability="normal") as lk:
        for name in chance.sample([*files], len(files)):
            source, count = tmp_path / ("one" if is_one_folder else name.replace("/", "_")), rows(lk, "backtests", "1")
            written(source, name, files[name])
            plan = import_from(lk, "backtests", str(source), said, dry_run=True)
            report = import_from(lk, "backtests", str(source), said)
            assert report.balanced, report.text()
            assert plan.totals == report.totals
            assert import_from(lk, "backtests", str(source), said).totals["landed"] == 0
            assert len(rows(lk, "backtests", "1")) >= len(count)
        assert told(lk) == whole
        assert import_from(lk, "backtests", str(tmp_path / "all"), said).totals["landed"] == 0
