"""A bot's day as a list of steps, the process that lives it, and what must be left of it. All follows from a seed."""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

import lake
from lake.kernels import market

START = 1_767_225_600_000_000  # 2026-01-01
BAR = 5 * 60_000_000
STEPS = 288
STRATEGIES = ("trend", "reversion", "scalp")
REASONS = ("spread", "low score", "no slot")
BOTS = {"alpha": range(25), "beta": range(25, 50)}
Bar = dict[str, Any]


def symbol(number: int) -> str:
    return f"COIN{number:02d}USDT"


@cache
def bars(number: int) -> list[Bar]:
    """The day of one symbol in five-minute candles."""
    frame = market.candles(symbol(number), START, STEPS * 5, price=50.0 + number, seed=number)
    grouped = frame.with_row_index().group_by(pl.col("index") // 5, maintain_order=True).agg(
        pl.col("open_time").first().dt.timestamp("us"), pl.col("open").first(), pl.col("high").max(),
        pl.col("low").min(), pl.col("close").last(), pl.col("volume").sum(),
    )  # fmt: skip
    return grouped.drop("index").to_dicts()


@dataclass(frozen=True)
class Idea:
    """One signal of a day, with what a language model and the filters made of it; all ids follow from its name."""

    name: str
    bot: str
    symbol: str
    step: int
    strategy: str
    side: str
    entry: float
    confidence: float
    prompt: str
    reason: str | None
    closes: int
    exit: float
    fees: float

    @property
    def executed(self) -> bool:
        return self.reason is None

    @property
    def at(self) -> int:
        return START + (self.step + 1) * BAR

    @property
    def pnl(self) -> float:
        return (self.exit - self.entry) * (1 if self.side == "LONG" else -1) * 2.0 - self.fees

    def levels(self) -> dict[str, float]:
        sign = 1 if self.side == "LONG" else -1
        return {"stop_loss": self.entry * (1 - 0.002 * sign), "tp1": self.entry * (1 + 0.003 * sign)}


@dataclass
class Day:
    """What one bot does, step by step."""

    bot: str
    begun: dict[int, list[Idea]] = field(default_factory=dict)
    ended: dict[int, list[Idea]] = field(default_factory=dict)

    @classmethod
    def of(cls, bot: str) -> Day:
        chance, day = random.Random(f"day of {bot}"), cls(bot)
        for step in range(STEPS - 1):
            if chance.random() < 0.4:
                day._add(chance, step)
        return day

    def _add(self, chance: random.Random, step: int) -> None:
        number, closes = chance.choice(BOTS[self.bot]), min(STEPS - 1, step + chance.randrange(1, 40))
        idea = Idea(
            f"{self.bot}-{step}", self.bot, symbol(number), step, chance.choice(STRATEGIES),
            chance.choice(("LONG", "SHORT")), bars(number)[step]["close"], round(chance.uniform(0.3, 1.0), 2),
            chance.choice(("v1", "v2")), None if chance.random() < 0.6 else chance.choice(REASONS),
            closes, bars(number)[closes]["close"], 0.01,
        )  # fmt: skip
        self.begun.setdefault(step, []).append(idea)
        if idea.executed:
            self.ended.setdefault(closes, []).append(idea)

    def ideas(self) -> list[Idea]:
        return [idea for ideas in self.begun.values() for idea in ideas]


def live(uri: str, bot: str, progress: Path) -> None:
    """Live the day from where it was cut off; each step that was acknowledged is noted."""
    day = Day.of(bot)
    done = len(progress.read_text().splitlines()) if progress.exists() else 0
    with lake.open(uri, bot_id=bot) as lk, progress.open("a") as noted:
        for step in range(done, STEPS):
            _step(lk, day, step)
            noted.write(f"{step}\n")
            noted.flush()


def _step(lk: lake.Lake, day: Day, step: int) -> None:
    news = {symbol(n): bars(n)[step] for n in BOTS[day.bot]}
    lk.candles.write_frames({s: pl.DataFrame([bar]) for s, bar in news.items()}, "5m", venue="sim")
    lk.phantoms.update_all(news, timeframe="5m")
    for idea in day.begun.get(step, []):
        _begin(lk, idea)
    for idea in day.ended.get(step, []):
        _end(lk, idea, step)
    if step % 12 == 0:
        made = sum(i.pnl for s in range(step + 1) for i in day.ended.get(s, []))
        at = START + (step + 1) * BAR
        lk.bots.save_state(state={"step": step}, equity=1000.0 + made, total_pnl=made, snapshot_time=at)
    if step % 50 == 49:
        lk.drain()


def _begin(lk: lake.Lake, idea: Idea) -> None:
    about = {"venue": "sim", "symbol": idea.symbol, "timeframe": "5m"}
    with lk.transaction():
        lk.signals.record(
            **about, **idea.levels(), signal_id=f"s-{idea.name}", strategy=idea.strategy, direction=idea.side,
            entry_price=idea.entry, action="EXECUTED" if idea.executed else "REJECTED",
            rejection_reason=idea.reason, signal_time=idea.at,
        )  # fmt: skip
        lk.decisions.record(
            **about, decision_id=f"d-{idea.name}", recommendation=idea.side, confidence=idea.confidence,
            prompt_version=idea.prompt, model_version="m1", cost_usd=0.01, traded=idea.executed,
            skip_reason=idea.reason, analyzed_at=idea.at,
        )  # fmt: skip
        lk.phantoms.record(
            **about, **idea.levels(), phantom_id=f"p-{idea.name}", signal_id=f"s-{idea.name}", side=idea.side,
            strategy=idea.strategy, entry_price=idea.entry, was_executed=idea.executed, reject_reason=idea.reason,
            signal_time=idea.at, timeout_hours=6.0,
        )  # fmt: skip
        if idea.executed:
            lk.trades.open(
                **about, trade_id=f"t-{idea.name}", side=idea.side, quantity=2.0, entry_price=idea.entry,
                strategy=idea.strategy, signal_id=f"s-{idea.name}", decision_id=f"d-{idea.name}",
                prompt_version=idea.prompt, mode="paper", created_at=idea.at, opened_at=idea.at,
            )  # fmt: skip


def _end(lk: lake.Lake, idea: Idea, step: int) -> None:
    with lk.transaction():
        at = START + (step + 1) * BAR
        lk.trades.close(f"t-{idea.name}", idea.exit, exit_reason="plan", fees=idea.fees, closed_at=at)
        lk.decisions.resolve(f"d-{idea.name}", outcome_correct=idea.pnl > 0, actual_pnl=idea.pnl, at=at)


if __name__ == "__main__":
    live(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
