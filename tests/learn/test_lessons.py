"""Lessons resemble the situation and know nothing that came later."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lake
from lake.errors import InvalidTimeError, UnknownTimeframeError, UsageError
from lake.learn import lessons

DAY = datetime(2026, 1, 5, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="a") as opened:
        yield opened


def record(lk: lake.Lake, name: str, made: datetime = DAY, **more: Any) -> None:
    row = {"symbol": "BTCUSDT", "timeframe": "1h", "recommendation": "LONG", "confidence": 0.7, **more}
    lk.decisions.record(decision_id=name, analyzed_at=made, **row)


def resolved(lk: lake.Lake, name: str, made: datetime = DAY, after: timedelta = HOUR, **more: Any) -> None:
    record(lk, name, made, **more)
    lk.decisions.resolve(name, outcome_correct=True, actual_pnl_percent=1.5, at=made + after)


def ids(found: lessons.Lessons) -> list[str]:
    return found.frame["decision_id"].to_list()


def test_an_empty_lake_has_no_lesson(lk: lake.Lake) -> None:
    found = lk.lessons("BTCUSDT", before=DAY, features={"rsi": 30})
    assert (len(found), found.resolved) == (0, 0)
    assert found.text() == "No decision was resolved before 2026-01-05 12:00 UTC."
    assert "distance" in found.frame.columns


def test_only_what_was_decided_and_resolved_before_is_seen(lk: lake.Lake) -> None:
    resolved(lk, "early", DAY)
    resolved(lk, "late", DAY + HOUR, after=9 * HOUR)
    record(lk, "unresolved", DAY)
    assert ids(lk.lessons("BTCUSDT", before=DAY + HOUR)) == []  # recorded at that very moment
    assert ids(lk.lessons("BTCUSDT", before=DAY + HOUR + timedelta(microseconds=1))) == ["early"]
    assert ids(lk.lessons("BTCUSDT", before=DAY + 10 * HOUR)) == ["early"]
    assert set(ids(lk.lessons("BTCUSDT", before=DAY + 11 * HOUR))) == {"early", "late"}


def test_an_outcome_without_a_time_is_no_lesson(lk: lake.Lake) -> None:
    lk.write("decisions", {"decision_id": "d", "symbol": "BTCUSDT", "analyzed_at": DAY, "outcome_correct": True})
    assert len(lk.lessons("BTCUSDT", before=DAY + 99 * HOUR)) == 0


@pytest.mark.parametrize("settled", [False, True])
def test_of_a_corrected_outcome_the_version_is_seen_that_was_known_then(lk: lake.Lake, settled: bool) -> None:
    resolved(lk, "d", DAY)
    lk.decisions.correct("d", outcome_correct=False, actual_pnl_percent=-2.0, at=DAY + 5 * HOUR)
    lk.decisions.correct("d", outcome_correct=True, actual_pnl_percent=0.5, at=DAY + 9 * HOUR)
    if settled:
        lk.drain()
    seen = {}
    for hours in (1, 2, 5, 6, 10):
        frame = lk.lessons("BTCUSDT", before=DAY + hours * HOUR).frame
        seen[hours] = frame.select("outcome_correct", "actual_pnl_percent", "outcome_recorded_at").rows()
    first, second, third = DAY + HOUR, DAY + 5 * HOUR, DAY + 9 * HOUR
    assert seen == {
        1: [],
        2: [(True, 1.5, first)],
        5: [(True, 1.5, first)],
        6: [(False, -2.0, second)],
        10: [(True, 0.5, third)],
    }


def change(rng: Random, lk: lake.Lake, number: int, since: datetime) -> None:
    """Something that is recorded at ``since`` or later."""
    at = since + timedelta(minutes=rng.randrange(0, 500))
    open_ones = [row["decision_id"] for row in lk.decisions.unresolved()]
    ended = lk.frame("SELECT decision_id FROM decisions WHERE outcome_recorded_at IS NOT NULL ORDER BY ALL")
    kind = rng.random()
    if kind < 0.3 and open_ones:
        lk.decisions.resolve(rng.choice(open_ones), outcome_correct=rng.random() < 0.5, actual_pnl=1.0, at=at)
    elif kind < 0.6 and ended.height:
        values = {"outcome_correct": rng.random() < 0.5, "actual_pnl_percent": rng.uniform(-9, 9)}
        lk.decisions.correct(rng.choice(ended["decision_id"].to_list()), at=at, **values)
    elif kind < 0.8:
        made = since - timedelta(minutes=rng.randrange(1, 500))
        record(lk, f"x{number}", made, market_snapshot={"rsi": rng.uniform(0, 99)})
        lk.decisions.resolve(f"x{number}", outcome_correct=True, at=at)
    else:
        resolved(lk, f"x{number}", at, market_snapshot={"rsi": 30.0}, reasoning="from the future")


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_is_recorded_at_that_time_or_later_changes_a_lesson(lk: lake.Lake, seed: int) -> None:
    rng = Random(seed)
    for number in range(30):
        made = DAY + timedelta(minutes=rng.randrange(0, 600))
        record(
            lk, f"d{number}", made, symbol=rng.choice(("BTCUSDT", "ETHUSDT")), bot_id=rng.choice("ab"),
            recommendation=rng.choice(("LONG", "SHORT", "HOLD")), timeframe=rng.choice(("15m", "1h", "4h", None)),
            market_snapshot={"rsi": rng.uniform(0, 99), "macd": {"hist": rng.gauss(0, 1)}},
        )  # fmt: skip
        if rng.random() < 0.7:
            lk.decisions.resolve(f"d{number}", outcome_correct=rng.random() < 0.5, at=made + 2 * HOUR)
        if rng.random() < 0.2 and lk.decisions.get(f"d{number}")["outcome_recorded_at"]:  # type: ignore[index]
            lk.decisions.correct(f"d{number}", outcome_correct=True, actual_pnl=2.0, at=made + 3 * HOUR)
    since = DAY + timedelta(minutes=rng.randrange(200, 800))
    asked: dict[str, Any] = {"side": "LONG", "timeframe": "1h", "features": {"rsi": 30, "macd": {"hist": 0.1}}}
    before = lk.lessons("BTCUSDT", since, 50, **asked)
    assert len(before)
    for number in range(15):
        change(rng, lk, number, since)
    if seed % 2:
        lk.drain()
    after = lk.lessons("BTCUSDT", since, 50, **asked)
    assert after.frame.equals(before.frame)
    assert after.text() == before.text()
    assert (after.resolved, after.right) == (before.resolved, before.right)
    assert len(lk.lessons("BTCUSDT", since + timedelta(days=9), 99)) > len(before)  # the changes are there, later


def test_the_symbol_goes_first_then_what_resembles_most(lk: lake.Lake) -> None:
    for name, rsi, symbol in [("far", 80, "BTCUSDT"), ("near", 31, "BTCUSDT"), ("other", 30, "ETHUSDT")]:
        resolved(lk, name, market_snapshot={"rsi": rsi}, symbol=symbol)
    found = lk.lessons("btc/usdt", before=DAY + 9 * HOUR, features={"rsi": 30})
    assert ids(found) == ["near", "far", "other"]
    assert found.frame["same_symbol"].to_list() == [True, True, False]
    assert ids(lk.lessons("BTCUSDT", DAY + 9 * HOUR, 1, features={"rsi": 79})) == ["far"]
    assert (found.resolved, found.right) == (2, 2)


def test_side_timeframe_and_age_count_where_the_numbers_are_alike(lk: lake.Lake) -> None:
    now = {"rsi": 50}
    resolved(lk, "all", market_snapshot=now)
    resolved(lk, "side", market_snapshot=now, recommendation="SHORT")
    resolved(lk, "frame", market_snapshot=now, timeframe="1d")
    resolved(lk, "old", DAY - timedelta(days=300), market_snapshot=now)
    resolved(lk, "unlike", market_snapshot={"volume": 3})
    found = lk.lessons("BTCUSDT", before=DAY + 9 * HOUR, side="LONG", timeframe="60m", features=now)
    assert ids(found) == ["all", "old", "frame", "side", "unlike"]
    part = {row["decision_id"]: row for row in found.frame.iter_rows(named=True)}
    assert part["side"]["distance_side"] == 1.0
    assert part["old"]["distance_recency"] == pytest.approx(1 - 0.5 ** ((300 + 9 / 24) / 30))
    assert part["unlike"]["distance_features"] == 1.0
    assert part["all"]["distance_features"] == part["all"]["distance_timeframe"] == 0.0


def test_numbers_are_compared_in_units_of_their_own_spread_and_a_wild_value_moves_nothing(lk: lake.Lake) -> None:
    rng = Random(1)
    for number in range(30):
        snapshot = {"price": 90_000 + 100 * rng.gauss(0, 1), "rate": 1e-4 * rng.gauss(0, 1)}
        resolved(lk, f"d{number}", DAY + number * HOUR, market_snapshot=snapshot)
    asked: dict[str, Any] = {"before": DAY + 99 * HOUR, "k": 30, "features": {"price": 90_000, "rate": 0.0}}
    first = lk.lessons("BTCUSDT", **asked).frame.sort("decision_id")
    assert 0.1 < first["distance_features"].mean() < 0.5  # type: ignore[operator]
    resolved(lk, "wild", market_snapshot={"price": 1e12, "rate": "n/a"})
    second = lk.lessons("BTCUSDT", **{**asked, "k": 31}).frame.sort("decision_id")
    assert second["decision_id"][-1] == "wild"
    assert second["distance_features"][-1] == 1.0
    assert second["distance_features"][:30].to_list() == pytest.approx(first["distance_features"].to_list(), abs=0.06)


def test_awkward_names_and_values_of_features_are_compared_like_others(lk: lake.Lake) -> None:
    now = {'a "b"': 1.0, "x/y": {"~": 2}, "flag": True, "text": "up", "none": None, "nan": float("nan"), "list": [1]}
    assert lessons.numbers(now) == {'/a "b"': 1.0, "/x~1y/~0": 2.0, "/flag": 1.0}
    kept = {name: value for name, value in now.items() if name != "nan"}
    resolved(lk, "same", market_snapshot=kept)
    resolved(lk, "flag", market_snapshot={**kept, "flag": False})
    found = lk.lessons("BTCUSDT", before=DAY + 9 * HOUR, features=now).frame
    assert found["distance_features"].to_list() == pytest.approx([0.0, 1.349 / 4.5])  # half of 3 spreads, of 3 numbers
    text = '{"x/y": {"~": 2}}'
    assert lessons.numbers(text) == {"/x~1y/~0": 2.0}


def test_two_bots_learn_from_one_another_unless_one_is_named(lk: lake.Lake, tmp_path: Path) -> None:
    resolved(lk, "mine")
    with lake.open(tmp_path / "lake", bot_id="b") as other:
        resolved(other, "theirs", DAY + HOUR)
        for eyes in (lk, other):
            found = eyes.lessons("BTCUSDT", before=DAY + 9 * HOUR)
            assert set(ids(found)) == {"mine", "theirs"}
            assert ids(eyes.lessons("BTCUSDT", before=DAY + 9 * HOUR, bot_id="b")) == ["theirs"]


@pytest.mark.parametrize(
    "only", [{"bot_id": "tester"}, {"venue": "b"}, {"prompt_version": "p"}, {"model_version": "m"}, {"traded": True}]
)
def test_the_few_that_are_asked_for_are_found_among_however_many_newer_ones(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch, only: dict[str, Any]
) -> None:
    monkeypatch.setattr("lake.learn.lessons.NEWEST", 20)
    told = {"symbol": "BTCUSDT", "recommendation": "LONG", "outcome_correct": True, "actual_pnl_percent": 1.0}
    rows = [
        {**told, "decision_id": f"d{n}", "analyzed_at": DAY + timedelta(minutes=n), "bot_id": "other", "venue": "a",
         "outcome_recorded_at": DAY + timedelta(minutes=n + 1), "traded": False}
        for n in range(60)
    ]  # fmt: skip
    rows[3] |= only
    lk.write("decisions", rows)
    found = lk.lessons("BTC/USDT", before=DAY + timedelta(days=1), **only)
    assert (found.frame["decision_id"].to_list(), found.resolved, found.right) == (["d3"], 1, 1)


def test_the_text_says_what_was_thought_what_was_done_and_what_became_of_it(lk: lake.Lake) -> None:
    record(lk, "a", reasoning="RSI low,\n\n  volume up. " + "Long. " * 60, traded=True)
    lk.decisions.resolve(
        "a", outcome_correct=False, actual_pnl_percent=-1.25, hold_duration_minutes=90.0, at=DAY + HOUR
    )
    record(lk, "b", DAY - HOUR, skip_reason="no\nslot", recommendation="SHORT")
    lk.decisions.resolve("b", outcome_correct=True, actual_pnl=3.5, at=DAY + HOUR)
    head, first, second = lk.lessons("BTCUSDT", before=DAY + 2 * HOUR).text().splitlines()
    assert head == (
        "Record of BTCUSDT before 2026-01-05 14:00 UTC: 1 of 2 decisions were right (9-91 % at 95 % confidence)."
    )
    assert first.startswith('- 2026-01-05 12:00 UTC BTCUSDT 1h LONG 70 %; thought: "RSI low, volume up. Long. Long.')
    assert first.endswith('..."; traded; wrong, -1.25 % after 90 min')
    assert len(first) < 320
    assert second == "- 2026-01-05 11:00 UTC BTCUSDT 1h SHORT 70 %; not traded (no slot); right, +3.5"


def test_a_hold_is_a_lesson_once_its_outcome_is_told(lk: lake.Lake) -> None:
    record(lk, "h", recommendation="HOLD", confidence=None)
    lk.decisions.resolve("h", actual_pnl=0.0, at=DAY + HOUR)
    found = lk.lessons("BTCUSDT", before=DAY + 2 * HOUR)
    assert found.text().splitlines()[0].endswith("no decision with a known direction.")
    assert found.text().splitlines()[1].endswith("HOLD; not traded; ended, +0")


def test_a_hold_is_in_no_record_of_directions(lk: lake.Lake) -> None:
    resolved(lk, "long")
    record(lk, "hold", recommendation="HOLD", confidence=None)
    lk.decisions.resolve("hold", outcome_correct=True, actual_pnl=0.0, at=DAY + HOUR)
    found = lk.lessons("BTCUSDT", before=DAY + 9 * HOUR)
    assert (len(found), found.resolved) == (2, 1)
    assert "of 1 decisions were right" in found.text()


@pytest.mark.parametrize(("side", "same"), [("BUY", "LONG"), ("long", "LONG"), ("sell", "SHORT")])
def test_sides_have_one_form(lk: lake.Lake, side: str, same: str) -> None:
    for name, recommendation in (("a", "LONG"), ("b", "SHORT")):
        resolved(lk, name, recommendation=recommendation)
    asked = {"before": DAY + 9 * HOUR, "k": 1}
    assert lk.lessons("BTCUSDT", **asked, side=side).frame["recommendation"].to_list() == [same]


def test_asyncio_gives_the_same_lessons(lk: lake.Lake, tmp_path: Path) -> None:
    resolved(lk, "d", market_snapshot={"rsi": 30})

    async def ask() -> str:
        async with await lake.open_async(tmp_path / "lake") as alk:
            return (await alk.lessons("BTCUSDT", DAY + 9 * HOUR, side="LONG", features={"rsi": 3})).text()

    assert asyncio.run(ask()) == lk.lessons("BTCUSDT", DAY + 9 * HOUR, side="LONG", features={"rsi": 3}).text()


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"k": 0}, UsageError, r"k: lessons are counted from 1 \(got 0\)"),
        ({"before": datetime(2026, 1, 1)}, InvalidTimeError, "before"),  # noqa: DTZ001
        ({"timeframe": "1 moon"}, UnknownTimeframeError, "1 moon"),
        ({"features": "{rsi: 3"}, UsageError, "features: not JSON"),
        ({"features": [3]}, UsageError, "features are a dict"),
        ({"side": "up"}, UsageError, r"side: a side is LONG, SHORT or HOLD \(got 'up'\)"),
        ({"side": 1}, UsageError, r"side: a side is LONG, SHORT or HOLD \(got 1\)"),
        ({"features": {"rsi": 10**400}}, UsageError, "features, rsi: a number beyond 1e308"),
        ({"bot_id": 5}, UsageError, r"lessons, bot_id: it is a text \(got 5\)"),
        ({"traded": "yes"}, UsageError, r"lessons, traded: it is a flag \(got 'yes'\)"),
        ({"colour": "red"}, UsageError, r"not chosen by that \(got \['colour'\]\)\. By: bot_id"),
    ],
)
def test_bad_arguments_are_told_by_name(lk: lake.Lake, asked: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        lk.lessons("BTCUSDT", **{"before": DAY, **asked})
