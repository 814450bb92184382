"""An alarm is raised where something changed, and otherwise as seldom as stated."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import lake
from lake.errors import UsageError
from lake.learn.drift import Alarm, Watch, feature_alarms, outcome_alarms

DAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAMES = ["win_rate", "brier", "ece"]


def rows(stated: Any, hits: Any) -> pl.DataFrame:
    made = [DAY + i * HOUR for i in range(len(hits))]
    schema: dict[str, Any] = {"made_at": pl.Datetime("us", "UTC"), "confidence": pl.Float64, "hit": pl.Boolean}
    return pl.DataFrame({"made_at": made, "confidence": list(stated), "hit": [bool(h) for h in hits]}, schema=schema)


def by_name(alarms: Any) -> dict[str, Alarm]:
    return {alarm.name: alarm for alarm in alarms}


def test_without_a_change_each_alarm_is_raised_as_seldom_as_stated() -> None:
    rng, raised = np.random.default_rng(1), dict.fromkeys(NAMES, 0)
    for turn in range(90):
        stated = rng.uniform(0.4, 0.9, 250)
        for alarm in outcome_alarms(rows(stated, rng.random(250) < 0.8 * stated), Watch(false_alarm=0.1, seed=turn)):
            raised[alarm.name] += bool(alarm.raised)
    assert all(0.02 <= count / 90 <= 0.19 for count in raised.values()), raised


def test_a_win_rate_that_fell_is_found_with_the_moment_since_when() -> None:
    rng = np.random.default_rng(2)
    stated = np.full(500, 0.6)
    hits = np.concatenate([rng.random(430) < 0.6, rng.random(70) < 0.35])
    alarm = by_name(outcome_alarms(rows(stated, hits)))["win_rate"]
    assert alarm.raised is True
    assert alarm.value is not None
    assert alarm.threshold is not None
    assert alarm.value > alarm.threshold
    assert (alarm.n, alarm.n_reference) == (100, 400)
    assert alarm.since is not None
    assert abs(alarm.since - (DAY + 430 * HOUR)) < 20 * HOUR
    assert "of the newest" in alarm.meaning


def test_confidences_that_no_longer_hold_are_found_though_as_many_win() -> None:
    rng = np.random.default_rng(3)
    stated = rng.uniform(0.3, 0.9, 600)
    hits = rng.random(600) < stated
    stated[480:] = 1.2 - stated[480:]  # the newest say high where it is low
    alarms = by_name(outcome_alarms(rows(stated, hits), Watch(recent=120)))
    assert alarms["ece"].raised is True
    assert alarms["brier"].raised is True
    assert alarms["win_rate"].raised is False
    assert alarms["brier"].low is not None
    assert alarms["brier"].low > 0
    assert alarms["ece"].since == DAY + 480 * HOUR


def test_what_got_better_raises_no_alarm() -> None:
    rng = np.random.default_rng(4)
    hits = np.concatenate([rng.random(300) < 0.4, rng.random(100) < 0.7])
    assert [alarm.raised for alarm in outcome_alarms(rows(np.full(400, 0.7), hits))] == [False] * 3


def test_the_reference_is_as_long_as_asked() -> None:
    hits = np.arange(500) % 2 == 0
    [first, *_] = outcome_alarms(rows(np.full(500, 0.5), hits), Watch(recent=50, reference=80))
    assert (first.n, first.n_reference) == (50, 80)


def test_too_few_rows_raise_nothing_and_say_so() -> None:
    alarms = outcome_alarms(rows([0.6] * 110, [True] * 110))
    assert [(alarm.raised, alarm.value, alarm.n, alarm.n_reference) for alarm in alarms] == [(None, None, 100, 10)] * 3
    assert [alarm.raised for alarm in outcome_alarms(rows([], []))] == [None] * 3


def test_features_that_come_from_elsewhere_are_named_and_others_are_not() -> None:
    rng = np.random.default_rng(5)
    reference = pl.DataFrame(
        {"same": rng.normal(size=800), "moved": rng.normal(size=800), "gone": rng.normal(size=800)}
    )
    gone: list[float | None] = [None if i % 2 else float(v) for i, v in enumerate(rng.normal(size=200))]
    recent = pl.DataFrame({"same": rng.normal(size=200), "moved": rng.normal(1.0, 1, 200), "gone": gone})
    alarms = by_name(feature_alarms(reference, recent, since=DAY))
    raised = {name for name, alarm in alarms.items() if alarm.raised}
    assert raised == {"psi:moved", "ks:moved", "psi:gone"}
    assert alarms["psi:moved"].since == DAY
    assert (alarms["psi:moved"].n, alarms["psi:moved"].n_reference) == (200, 800)


def test_among_many_features_without_a_change_any_is_named_no_more_often_than_stated() -> None:
    rng, false = np.random.default_rng(6), 0
    for _ in range(100):
        reference = pl.DataFrame({f"f{i}": rng.normal(size=300) for i in range(8)})
        recent = pl.DataFrame({f"f{i}": rng.normal(size=150) for i in range(8)})
        false += any(alarm.raised for alarm in feature_alarms(reference, recent, Watch(psi=0.0)))
    assert false / 100 <= 0.12


def test_few_values_of_a_feature_raise_nothing() -> None:
    few, many = pl.DataFrame({"f": [1.0] * 5}), pl.DataFrame({"f": [9.0] * 500})
    assert [alarm.raised for alarm in feature_alarms(many, few)] == [None, None]


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def record(lk: lake.Lake, n: int, turn: int) -> None:
    """Until the turn every second one is right and the RSI is low; after it none is, and the RSI is high."""
    made = []
    for i in range(n):
        at, rsi = DAY + i * HOUR, (i * 7) % 30 + (40 if i >= turn else 0)
        made.append(
            {
                "decision_id": f"d{i:04}", "symbol": "BTCUSDT", "recommendation": "LONG", "confidence": 0.6,
                "prompt_version": ("v1", "v2")[i % 2], "model_version": "m", "analyzed_at": at,
                "outcome_correct": (i // 2) % 2 == 0 and i < turn, "outcome_recorded_at": at + HOUR,
                "market_snapshot": {"rsi": rsi, "note": "x", "macd": {"hist": (i * 11) % 17}},
            }
        )  # fmt: skip
    lk.write("decisions", made)


def test_a_lake_is_watched_by_group_and_as_it_was(lk: lake.Lake) -> None:
    record(lk, 300, 260)
    report = lk.drift.check("prompt_version", Watch(recent=40))
    assert report.frame["prompt_version"].to_list() == ["v1"] * 3 + ["v2"] * 3
    assert {(alarm.group["prompt_version"], alarm.name) for alarm in report.raised} >= {
        ("v1", "win_rate"), ("v2", "win_rate"), ("v1", "brier"), ("v2", "brier"),
    }  # fmt: skip
    assert "knowledge cutoff" in report.notes[0]
    assert lk.drift.check(None, Watch(recent=40), before=DAY + 255 * HOUR).raised == ()
    lk.decisions.correct("d0001", outcome_correct=False, at=DAY + 280 * HOUR)
    early = lk.drift.check(None, Watch(recent=40), before=DAY + 255 * HOUR)
    assert early.alarms[0].n_reference == 254 - 40


def test_what_the_models_were_shown_is_watched(lk: lake.Lake) -> None:
    record(lk, 300, 220)
    report = lk.drift.features(Watch(recent=80))
    assert {alarm.name for alarm in report.raised} == {"psi:market_snapshot.rsi", "ks:market_snapshot.rsi"}
    assert report.alarms[0].since == DAY + 220 * HOUR
    assert lk.drift.features(Watch(recent=80), before=DAY + 220 * HOUR).raised == ()
    lengths = {r: lk.drift.features(Watch(recent=80, reference=r)).alarms[0].n_reference for r in (100, 1000, None)}
    assert lengths == {100: 100, 1000: 220, None: 220}


def test_an_empty_lake_has_nothing_to_watch(lk: lake.Lake) -> None:
    assert [alarm.raised for alarm in lk.drift.check().alarms] == [None] * 3
    assert lk.drift.check("symbol").alarms == ()
    assert lk.drift.check("symbol").frame.is_empty()
    assert lk.drift.features().alarms == ()


def test_asyncio_raises_the_same_alarms(lk: lake.Lake, tmp_path: Path) -> None:
    record(lk, 120, 60)

    async def ask() -> Any:
        async with await lake.open_async(tmp_path / "lake") as alk:
            return (await alk.drift.check(None, Watch(recent=50))).alarms

    assert asyncio.run(ask()) == lk.drift.check(None, Watch(recent=50)).alarms


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"recent": 1}, r"drift, recent: a whole number from 2 on \(got 1\)"),
        ({"reference": 0}, "drift, reference"),
        ({"false_alarm": 0.0}, "drift, false_alarm: it lies between 0 and 1"),
        ({"false_alarm": "x"}, r"drift, false_alarm: it lies between 0 and 1 \(got 'x'\)"),
        ({"psi": "x"}, r"drift, psi: a number from 0 on \(got 'x'\)"),
        ({"seed": -1}, r"drift, seed: a whole number from 0 on"),
        ({"drop": 10}, "drift, drop: it lies between 0 and 1"),
    ],
)
def test_bad_arguments_are_told_by_name(asked: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Watch(**asked)
