"""The money of judged decisions is that of the view: each trade counts once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import lake
from lake.learn.cutoff import Cutoffs
from lake.learn.judged import Asked, judged

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SAID = {"symbol": "BTCUSDT", "timeframe": "1h", "recommendation": "LONG", "confidence": 0.75}
CLOSED = {
    "symbol": "BTCUSDT", "side": "LONG", "quantity": 1.0, "status": "closed", "opened_at": NOON,
    "closed_at": NOON + timedelta(hours=1),
}  # fmt: skip


def decide(lk: lake.Lake, name: str, minutes: float, **more: Any) -> None:
    lk.decisions.record({**SAID, "decision_id": name, "analyzed_at": NOON + timedelta(minutes=minutes), **more})


def money(lk: lake.Lake, **asked: Any) -> dict[str, float | None]:
    rows = judged(lk.decisions._engine, Asked(**asked), Cutoffs({})).rows
    return dict(rows.select("id", "pnl").iter_rows())


def test_a_trade_that_several_decisions_name_counts_once(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        for name, minutes in {"early": -60, "latest": -1, "after": 10}.items():
            decide(lk, name, minutes, trade_id="t", prompt_version=name)
        decide(lk, "linked", -5, prompt_version="linked")
        decide(lk, "names it, too", -2, trade_id="u", prompt_version="too")
        lk.write("trades", [
            {**CLOSED, "trade_id": "t", "pnl": 7.0},
            {**CLOSED, "trade_id": "u", "pnl": 5.0, "decision_id": "linked"},
        ])  # fmt: skip
        found = money(lk)
        assert found == {"early": None, "latest": 7.0, "after": None, "linked": 5.0, "names it, too": None}
        view = lk.read("prompt_performance").select("prompt_version", "total_pnl")
        assert dict(view.filter(pl.col("total_pnl").is_not_null()).iter_rows()) == {"latest": 7.0, "linked": 5.0}
        assert money(lk, before=NOON + timedelta(minutes=30)) == dict.fromkeys(found)
