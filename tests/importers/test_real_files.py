"""Every real file of bots, backtests and language models goes in by its kind, and is counted here by other means."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from tests.importers.contract import imported

_SUMS = {"pnl": "trades", "pnl_percent": "trades", "quantity": "trades", "filled": "fills"}


@dataclass
class Counted:
    """What is in a file: rows by dataset, rows that do not fit, and sums."""

    rows: dict[str, int]
    refused: int = 0
    sums: dict[str, float] = field(default_factory=dict)


def of_legacy_backtest(path: Path) -> Counted:
    frame = pl.DataFrame(json.loads(path.read_text()), orient="row", strict=False)
    return Counted({"backtests": 1, "trades": frame.height}, sums={"pnl_percent": 100 * frame["column_1"].sum()})


def of_backtest(path: Path) -> Counted:
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        strategies = json.load(file)["strategy"].values()
    trades = [trade for strategy in strategies for trade in strategy["trades"]]
    orders = [order for trade in trades for order in trade.get("orders") or ()]
    sums = {
        "pnl": sum(strategy["profit_total_abs"] for strategy in strategies),
        "quantity": sum(trade["amount"] for trade in trades),
        "filled": sum(order["amount"] for order in orders),
    }
    rows = {"backtests": len(strategies), "trades": len(trades), "fills": len(orders)}
    return Counted(rows, sums=sums)


def beside(path: Path) -> Counted:
    """Of a file that only names a result: the result's."""
    if path.name == "last_result.json":
        return of_backtest(path.with_name(json.loads(path.read_text())["latest_backtest"]))
    named = path.with_name(path.name.replace(".meta.json", ".json"))
    return of_backtest(named if named.exists() else Path(f"{named}.gz"))


def asked(path: Path, query: str) -> Any:
    connection = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    try:
        return connection.execute(query).fetchone()
    finally:
        connection.close()


def of_freqtrade(path: Path) -> Counted:
    trades, pnl, quantity = asked(path, "select count(*), sum(close_profit_abs), sum(amount) from trades")
    fills, filled = asked(path, "select count(*), sum(filled) from orders where filled > 0")
    rows = {"trades": trades, "fills": fills, "bot_states": 1}
    return Counted(rows, sums={"pnl": pnl, "quantity": quantity, "filled": filled})


def of_hummingbot(path: Path) -> Counted:
    orders, quantity = asked(path, 'select count(*), sum(amount) / 1e6 from "Order"')
    return Counted({"trades": orders, "fills": 0, "bot_states": 1}, sums={"quantity": quantity})


def of_exchange(path: Path) -> Counted:
    """Money tells sizes that were rounded to 0; a sell of another coin than was bought is no round trip."""
    found = json.loads(path.read_text())
    sizes = {t["order_id"]: t["size"] or t["funds"] / t["price"] for t in found["trades"]}
    coins = {t["order_id"]: t["symbol"] for t in found["trades"]}
    true = [m for m in found["matched_trades"] if coins[m["order_id_sell"]] == m["symbol"]]
    quantities = [m["quantity"] or sizes[m["order_id_buy"]] for m in true]
    results = [(m["exit_price"] - m["entry_price"]) * q - m["fees"] for m, q in zip(true, quantities, strict=True)]
    sums = {"pnl": sum(results), "quantity": sum(quantities), "filled": sum(sizes.values())}
    rows = {"fills": len(sizes), "trades": len(true)}
    return Counted(rows, refused=len(found["matched_trades"]) - len(true), sums=sums)


def of_cycles(path: Path) -> Counted:
    with zipfile.ZipFile(path) as archive:
        cycles = [json.loads(archive.read(name).decode("utf-8", "replace")) for name in archive.namelist()]
    decided = [decision for cycle in cycles for decision in cycle["decisions"] or [None]]
    prompts = {cycle["system_prompt"] for cycle in cycles} - {""}
    return Counted({"decisions": len(decided), "prompt_versions": len(prompts)})


def of_messages(path: Path) -> Counted:
    with zipfile.ZipFile(path) as archive:
        lines = [json.loads(line) for name in archive.namelist() for line in archive.read(name).splitlines()]
    given = [line["new_messages"] for line in lines]
    messages = [message for new in given for message in ([new] if isinstance(new, dict) else new)]
    return Counted({"decisions": sum(message["role"] == "assistant" for message in messages)})


def of_positions(path: Path) -> Counted:
    """A fill is an action by which money and holdings went where it says."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    actions, filled = [line["this_action"] for line in lines if "this_action" in line], []
    for before, after in pairwise(lines):
        action = after["this_action"]
        held = [line["positions"].get(action["symbol"], 0.0) for line in (before, after)]
        way = {"buy_crypto": 1, "sell_crypto": -1, "no_trade": 0}[action["action"]]
        spent = way * (before["positions"]["CASH"] - after["positions"]["CASH"])
        if spent > 0 and way * (held[1] - held[0]) == pytest.approx(action["amount"], rel=0.01):
            filled.append(action["amount"])
    rows = {"decisions": len(actions), "bot_states": len(lines) - len(actions), "fills": len(filled)}
    return Counted(rows, sums={"filled": sum(filled)})


KINDS: dict[str, tuple[str, Callable[[Path], Counted], dict[str, str]]] = {
    "backtests/freqtrade_2020_legacy_list/backtest-result-BinHV45.json": ("freqtrade", of_legacy_backtest, {}),
    "backtests/freqtrade_2020_legacy_list/backtest-result-CCIStrategy.json": ("freqtrade", of_legacy_backtest, {}),
    "backtests/freqtrade_2020_legacy_list/backtest-result-ClucMay72018.json": ("freqtrade", of_legacy_backtest, {}),
    "backtests/freqtrade_2020_legacy_list/backtest-result-Low_BB.json": ("freqtrade", of_legacy_backtest, {}),
    "backtests/freqtrade_testdata/backtest-result.json": ("freqtrade", of_backtest, {}),
    "backtests/freqtrade_testdata/backtest-result.meta.json": ("freqtrade", beside, {}),
    "backtests/freqtrade_testdata/backtest-result_multistrat.json": ("freqtrade", of_backtest, {}),
    "backtests/freqtrade_testdata/backtest-result_multistrat.meta.json": ("freqtrade", beside, {}),
    "backtests/freqtrade_testdata/last_result.json": ("freqtrade", beside, {}),
    "backtests/genetrader_2024/backtest-result-2024-09-05_22-20-02.json.gz": ("freqtrade", of_backtest, {}),
    "backtests/genetrader_2024/backtest-result-2024-09-05_22-20-02.meta.json": ("freqtrade", beside, {}),
    "backtests/genetrader_2024/backtest-result-2024-09-06_13-05-54.json.gz": ("freqtrade", of_backtest, {}),
    "backtests/genetrader_2024/backtest-result-2024-09-06_13-05-54.meta.json": ("freqtrade", beside, {}),
    "bots/freqtrade_2021_dryrun.sqlite": ("freqtrade", of_freqtrade, {}),
    "bots/hummingbot_pure_mm.sqlite": ("hummingbot", of_hummingbot, {}),
    "bots/ibis_trade_history_20260213.json": ("trades-json", of_exchange, {"quote": "USDT"}),
    "llm/aitrader_hourly/claude-3.7-sonnet/position.jsonl": ("llm-logs", of_positions, {}),
    "llm/aitrader_hourly/deepseek-chat-v3.1/position.jsonl": ("llm-logs", of_positions, {}),
    "llm/aitrader_hourly/gpt-5/position.jsonl": ("llm-logs", of_positions, {}),
    "llm/aitrader_hourly/logs.zip": ("llm-logs", of_messages, {}),
    "llm/nofx_run1_20251108.zip": ("llm-logs", of_cycles, {}),
}


def test_every_real_file_of_bots_backtests_and_models_has_a_kind(shared_data: Path) -> None:
    files = [file for folder in ("bots", "backtests", "llm") for file in (shared_data / folder).rglob("*")]
    assert {file.relative_to(shared_data).as_posix() for file in files if file.is_file()} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_real_file_goes_in_whole_and_its_sums_are_those_of_another_count(
    name: str, shared_data: Path, tmp_path: Path
) -> None:
    kind, count, options = KINDS[name]
    counted = count(shared_data / name)
    with lake.open(tmp_path / "lake") as lk:
        report = imported(lk, kind, shared_data / name, **options)
        assert report.totals["refused"] == counted.refused
        assert not report.failed
        held = {dataset: lk.read(dataset) for dataset in counted.rows}
        assert {dataset: frame.height for dataset, frame in held.items()} == counted.rows
        for what, total in counted.sums.items():
            column = held[_SUMS[what]]["quantity" if what == "filled" else what]
            assert column.sum() == pytest.approx(total, abs=0.005, rel=1e-12)


@pytest.mark.parametrize("folder", ["freqtrade_testdata", "genetrader_2024"])
def test_a_folder_of_backtests_goes_in_as_one(folder: str, shared_data: Path, tmp_path: Path) -> None:
    results = [n for n in KINDS if f"/{folder}/" in n and KINDS[n][1] is not beside]
    counted = [KINDS[name][1](shared_data / name) for name in results]
    with lake.open(tmp_path / "lake") as lk:
        imported(lk, "freqtrade", shared_data / "backtests" / folder)
        runs, trades = lk.read("backtests"), lk.read("trades")
        assert runs.height == sum(c.rows["backtests"] for c in counted)
        assert trades.height == sum(c.rows["trades"] for c in counted)
        made = trades.group_by("run_id").len().join(runs, on="run_id", how="inner")
        assert made.height == runs.height
        assert (made["len"] == made["trades"]).all()
        assert set(trades["mode"]) == {"backtest"}
