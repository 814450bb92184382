"""Two bots live a day on one lake, are killed ten times, and end with the numbers of an undisturbed one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.clock import MICROS_PER_HOUR
from tests.faults.bot_day import BAR, BOTS, START, STEPS, Day, Idea, bars, symbol
from tests.phantom_oracle import Oracle

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10


def process(uri: Path, bot: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.bot_day", str(uri), bot, str(uri.parent / f"{bot}.steps")]
    return subprocess.Popen(command, cwd=ROOT)


def steps(uri: Path, bot: str) -> int:
    noted = uri.parent / f"{bot}.steps"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def lived(uri: Path, chance: random.Random) -> int:
    """Both bots to the end of their day; each kill comes after some more steps, and somewhere inside of one."""
    running = {bot: process(uri, bot) for bot in BOTS}
    kills = {bot: sorted(chance.sample(range(5, STEPS - 5), KILLS // len(BOTS))) for bot in BOTS}
    killed = 0
    while any(p.poll() is None for p in running.values()):
        for bot, life in running.items():
            if kills[bot] and steps(uri, bot) >= kills[bot][0]:
                time.sleep(chance.uniform(0, 0.03))
                kills[bot].pop(0)
                life.kill()
                life.wait()
                killed += 1
                running[bot] = process(uri, bot)
        time.sleep(0.005)
    assert [life.returncode for life in running.values()] == [0] * len(BOTS)
    return killed


def by(ideas: list[Idea], name: Callable[[Idea], Any]) -> dict[Any, list[Idea]]:
    found: dict[Any, list[Idea]] = defaultdict(list)
    for idea in ideas:
        found[name(idea)].append(idea)
    return found


def outcome_of(idea: Idea) -> str | None:
    """How its phantom ended by the end of the day."""
    number = int(idea.symbol[4:6])
    levels = {"tp1": None, **idea.levels(), "timeout_at": idea.at + 6 * MICROS_PER_HOUR}
    life = Oracle({"side": idea.side, "entry_price": idea.entry, "signal_time": idea.at, **levels})
    for step in range(idea.step + 1, STEPS):
        bar = bars(number)[step]
        began = START + step * BAR
        life.bar(began, began + BAR, bar["open"], bar["high"], bar["low"], bar["close"])
    found = life.columns().get("outcome")
    return None if found is None else str(found)


@pytest.fixture(scope="module")
def killed_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    uri = tmp_path_factory.mktemp("day") / "lake"
    assert lived(uri, random.Random(4)) == KILLS
    return uri


@pytest.fixture
def lk(killed_day: Path) -> Any:
    with lake.open(killed_day) as opened:
        yield opened


IDEAS = [idea for bot in BOTS for idea in Day.of(bot).ideas()]
DONE = [idea for idea in IDEAS if idea.executed]


def test_every_candle_is_there_once_and_none_is_missing(lk: lake.Lake) -> None:
    assert lk.frame("SELECT count(*), count(DISTINCT symbol) FROM candles").row(0) == (50 * STEPS, 50)
    assert lk.read("candle_gaps").is_empty()
    assert lk.candles.read(symbol(7), "5m")["close"].to_list() == [bar["close"] for bar in bars(7)]


def test_every_record_is_there_once(lk: lake.Lake) -> None:
    counts = {name: lk.read(name).height for name in ("signals", "decisions", "phantoms", "trades", "bot_states")}
    states = len(BOTS) * -(-STEPS // 12)
    expected = dict.fromkeys(("signals", "decisions", "phantoms"), len(IDEAS))
    assert counts == {**expected, "trades": len(DONE), "bot_states": states}


@pytest.mark.parametrize(("view", "name"), [("strategy", "strategy"), ("bot", "bot")])
def test_trade_statistics_are_those_of_the_day(lk: lake.Lake, view: str, name: str) -> None:
    found = lk.trades.statistics(by=view, now=START + 2 * STEPS * BAR)
    column = "strategy" if view == "strategy" else "bot_id"
    told = {r[column]: (r["trades"], r["wins"], round(r["total_pnl"], 6)) for r in found.iter_rows(named=True)}
    groups = by(DONE, lambda idea: getattr(idea, name))
    won = {key: sum(i.pnl > 0 for i in ideas) for key, ideas in groups.items()}
    assert told == {k: (len(v), won[k], round(sum(i.pnl for i in v), 6)) for k, v in groups.items()}
    assert lk.trades.active() == []


def test_prompts_are_judged_by_what_came_of_their_decisions(lk: lake.Lake) -> None:
    found = lk.read("prompt_performance").rows(named=True)
    told = {r["prompt_version"]: (r["decisions"], r["traded"], r["resolved"], r["correct"]) for r in found}
    expected = {}
    for prompt, ideas in by(IDEAS, lambda idea: idea.prompt).items():
        done = [i for i in ideas if i.executed]
        expected[prompt] = (len(ideas), len(done), len(done), sum(i.pnl > 0 for i in done))
    assert told == expected


def test_phantoms_ended_as_their_candles_say(lk: lake.Lake) -> None:
    told = {r["phantom_id"]: r["outcome"] for r in lk.read("phantoms").iter_rows(named=True)}
    assert told == {f"p-{idea.name}": outcome_of(idea) for idea in IDEAS}
    assert sum(outcome == "win" for outcome in told.values()) > 5


def test_blocked_signals_are_counted_by_reason(lk: lake.Lake) -> None:
    found = lk.frame("SELECT reason, sum(blocked) FROM blocked_signals GROUP BY reason").rows()
    groups = by([idea for idea in IDEAS if not idea.executed], lambda idea: idea.reason)
    assert dict(found) == {reason: len(ideas) for reason, ideas in groups.items()}


def test_a_restarting_bot_finds_its_last_state(lk: lake.Lake) -> None:
    for bot in BOTS:
        last = (STEPS - 1) // 12 * 12
        made = sum(i.pnl for i in DONE if i.bot == bot and i.closes <= last)
        state = lk.bots.latest_state(bot)
        assert state is not None
        assert state["total_pnl"] == pytest.approx(made)


def test_the_lake_is_sound_before_and_after_settling_everything(lk: lake.Lake) -> None:
    before = lk.read("trades").sort("trade_id")
    lk.drain(every_writer=True)
    lk.compact()
    assert lk.verify().ok
    assert lk.read("trades").sort("trade_id").equals(before)
