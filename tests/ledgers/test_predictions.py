"""The life of a prediction, and its outcome from the candles that came after it."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownTimeframeError, UsageError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SAID = {"symbol": "BTC/USDT", "predicted_direction": "UP", "price": 100.0, "horizon_minutes": 60, "predicted_at": NOON}
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def candle(closes_at: datetime, close: float, timeframe: timedelta = MINUTE, symbol: str = "BTCUSDT") -> dict[str, Any]:
    prices = {"open": close, "high": close, "low": close, "close": close}
    return {"symbol": symbol, "open_time": closes_at - timeframe, **prices, "volume": 1.0}


def closing(lk: lake.Lake, closes: Iterable[tuple[datetime, float]], timeframe: str = "1m", venue: str = "") -> None:
    length = {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR}[timeframe]
    lk.candles.write([candle(at, close, length) for at, close in closes], timeframe, venue=venue)


def row(lk: lake.Lake, prediction_id: str = "p") -> dict[str, Any]:
    found = lk.predictions.get(prediction_id)
    assert found is not None
    return found


def counts(done: Any) -> tuple[int, int, int, int]:
    return done.due, done.resolved, done.waiting, done.missing


def test_a_prediction_is_due_when_its_horizon_is_over(lk: lake.Lake) -> None:
    lk.predictions.record(SAID, prediction_id="p", probability=0.6, model_version="m", note="x")
    found = row(lk)
    assert (found["due_at"], found["symbol"], found["bot_id"]) == (NOON + HOUR, "BTCUSDT", "tester")
    assert json.loads(found["extra"]) == {"note": "x"}
    lk.predictions.record(SAID, prediction_id="q", horizon_minutes=None, due_at=NOON + 2 * HOUR)
    assert row(lk, "q")["due_at"] == NOON + 2 * HOUR
    made = lk.predictions.record(symbol="BTCUSDT", horizon_minutes=5)
    found = row(lk, made.id)
    assert found["due_at"] - found["predicted_at"] == 5 * MINUTE


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ({"horizon_minutes": None}, InvalidRowError, "due_at: when can its outcome be known"),
        ({"due_at": NOON - MINUTE}, InvalidRowError, "due_at: it is before predicted_at"),
        ({"due_at": NOON, "horizon_minutes": None}, InvalidRowError, "it is due no later than it is made"),
        ({"predicted_direction": "SIDEWAYS"}, InvalidRowError, "one of UP, DOWN, FLAT, LONG, SHORT"),
        ({"probability": 60}, InvalidRowError, "out of range"),
        ({"horizon_minutes": 1.5}, InvalidRowError, "a whole number is wanted"),
    ],
)
def test_a_prediction_that_cannot_be_is_refused_whole(
    lk: lake.Lake, values: dict[str, Any], kind: type[lake.LakeError], message: str
) -> None:
    for more in ({}, {"prediction_id": "p"}):
        with pytest.raises(kind, match=message):
            lk.predictions.record({**SAID, **values, **more})
    assert lk.read("predictions").is_empty()


def test_a_prediction_that_was_written_as_a_row_without_due_time_can_be_recorded_again(lk: lake.Lake) -> None:
    lk.write("predictions", {**SAID, "prediction_id": "p"})
    assert row(lk)["due_at"] is None
    assert lk.predictions.record(SAID, prediction_id="p", horizon_minutes=30).updated == 1
    assert row(lk)["due_at"] == NOON + 30 * MINUTE


def test_recording_a_prediction_again_changes_nothing_that_was_resolved(lk: lake.Lake) -> None:
    lk.predictions.record(SAID, prediction_id="p", predicted_at=None)
    first = row(lk)
    assert lk.predictions.record(SAID, prediction_id="p", predicted_at=first["predicted_at"]).unchanged == 1
    assert lk.predictions.record(SAID, prediction_id="p", predicted_at=None).unchanged == 1
    assert row(lk) == first
    assert lk.predictions.record({"prediction_id": "p", "symbol": "BTCUSDT", "timestamp": NOON, "a": 1}).updated == 1
    assert lk.predictions.record(prediction_id="p", symbol="BTCUSDT", horizon_minutes=30, b=2).updated == 1
    assert json.loads(row(lk)["extra"]) == {"a": 1, "b": 2}
    assert row(lk)["due_at"] == NOON + 30 * MINUTE
    closing(lk, [(NOON + 30 * MINUTE, 101.0)])
    lk.predictions.resolve_due()
    resolved = row(lk)
    assert lk.predictions.record(SAID, prediction_id="p", horizon_minutes=30).unchanged == 1
    for change in ({"predicted_direction": "DOWN"}, {"horizon_minutes": 20}, {"correct": False}):
        with pytest.raises(LifeCycleError, match="the prediction is resolved"):
            lk.predictions.record({**SAID, "prediction_id": "p", "horizon_minutes": 30, **change})
    assert row(lk) == resolved


@pytest.mark.parametrize(
    ("direction", "price", "band", "right"),
    [
        ("UP", 101.0, 0.0, True),
        ("UP", 100.0, 0.0, False),
        ("LONG", 99.0, 0.0, False),
        ("DOWN", 99.0, 0.0, True),
        ("SHORT", 100.0, 0.0, False),
        ("SHORT", 101.0, 0.0, False),
        ("FLAT", 100.0, 0.0, True),
        ("FLAT", 100.5, 0.0, False),
        ("FLAT", 100.5, 0.01, True),
        ("FLAT", 98.0, 0.01, False),
        ("FLAT", 100.1, 0.001, True),  # just the band, which the quotient of two floats only comes near
        ("FLAT", 99.8, 0.002, True),
        ("FLAT", 100.101, 0.001, False),
        (None, 101.0, 0.0, None),
    ],
)
def test_an_outcome_follows_from_the_price_at_the_horizon(
    lk: lake.Lake, direction: str | None, price: float, band: float, right: bool | None
) -> None:
    closing(lk, [(NOON + 59 * MINUTE, 1.0), (NOON + HOUR, price), (NOON + HOUR + MINUTE, 2.0)])
    lk.predictions.record(SAID, prediction_id="p", predicted_direction=direction)
    assert counts(lk.predictions.resolve_due(flat_band=band)) == (1, 1, 0, 0)
    found = row(lk)
    assert (found["actual_price"], found["correct"]) == (price, right)
    assert found["actual_return"] == pytest.approx(price / 100 - 1)
    assert found["resolved_at"] is not None
    assert counts(lk.predictions.resolve_due(flat_band=band)) == (0, 0, 0, 0)
    assert row(lk) == found


def test_a_price_that_was_not_given_is_that_of_the_last_candle_closed_by_then(lk: lake.Lake) -> None:
    closing(lk, [(NOON - MINUTE, 100.0), (NOON, 50.0), (NOON + HOUR, 99.0)])
    lk.predictions.record(
        SAID, prediction_id="p", price=None, predicted_at=NOON - timedelta(seconds=1), due_at=NOON + HOUR
    )
    lk.predictions.record(SAID, prediction_id="q", price=None)
    lk.predictions.resolve_due()
    assert [(row(lk, n)["price"], row(lk, n)["correct"]) for n in "pq"] == [(100.0, False), (50.0, True)]


def test_nothing_is_resolved_before_its_time_nor_by_a_candle_that_has_not_closed(lk: lake.Lake) -> None:
    late = NOON + HOUR + timedelta(seconds=30)
    lk.predictions.record(SAID, prediction_id="p", due_at=late)
    closing(lk, [(NOON + HOUR, 99.0), (NOON + HOUR + MINUTE, 101.0)])
    assert counts(lk.predictions.resolve_due(late - MINUTE)) == (0, 0, 0, 0)
    assert counts(lk.predictions.resolve_due(late)) == (1, 0, 1, 0)
    assert counts(lk.predictions.resolve_due(late + timedelta(seconds=29))) == (1, 0, 1, 0)
    assert row(lk)["resolved_at"] is None
    assert counts(lk.predictions.resolve_due(NOON + HOUR + MINUTE)) == (1, 1, 0, 0)
    assert (row(lk)["actual_price"], row(lk)["resolved_at"]) == (101.0, NOON + HOUR + MINUTE)


def test_a_gap_leaves_a_prediction_open_until_it_is_filled(lk: lake.Lake) -> None:
    due = NOON + HOUR
    lk.predictions.record(SAID, prediction_id="p")
    lk.predictions.record(SAID, prediction_id="start", price=None)
    closing(lk, [(NOON - 6 * MINUTE, 100.0), (due + 6 * MINUTE, 101.0)])
    assert counts(lk.predictions.resolve_due(due + 5 * MINUTE)) == (2, 0, 1, 1)  # the start's price will not come
    assert counts(lk.predictions.resolve_due(due + HOUR)) == (2, 0, 0, 2)
    assert counts(lk.predictions.resolve_due(due + HOUR, max_gap_bars=6)) == (2, 2, 0, 0)
    assert row(lk)["actual_price"] == 101.0
    lk.predictions.record(SAID, prediction_id="q")
    closing(lk, [(due + 3 * MINUTE, 102.0)])
    assert counts(lk.predictions.resolve_due(due + HOUR)) == (1, 1, 0, 0)
    assert row(lk, "q")["actual_price"] == 102.0


def test_the_finest_candles_of_its_own_symbol_and_venue_tell(lk: lake.Lake) -> None:
    closing(lk, [(NOON + HOUR, 90.0)], "1h", venue="binance")
    closing(lk, [(NOON + HOUR, 110.0)], "5m", venue="bybit")
    closing(lk, [(NOON + HOUR + HOUR, 120.0)], "1h", venue="bybit")
    for venue in ("binance", "bybit", "kraken", ""):
        lk.predictions.record(SAID, prediction_id=venue or "none", venue=venue)
    lk.predictions.record(SAID, prediction_id="other", symbol="ETHUSDT")
    assert counts(lk.predictions.resolve_due()) == (5, 2, 0, 3)  # which of two venues, it does not guess
    assert (row(lk, "binance")["actual_price"], row(lk, "bybit")["actual_price"]) == (90.0, 110.0)
    closing(lk, [(NOON + HOUR, 130.0)], "1m")
    assert counts(lk.predictions.resolve_due()) == (3, 1, 0, 2)
    assert row(lk, "none")["actual_price"] == 130.0


def test_a_prediction_without_venue_takes_the_only_one_there_is(lk: lake.Lake) -> None:
    closing(lk, [(NOON + HOUR, 110.0)], "1m", venue="binance")
    closing(lk, [(NOON + HOUR, 120.0)], "1h", venue="binance")
    lk.predictions.record(SAID, prediction_id="p")
    assert lk.predictions.resolve_due().resolved == 1
    lk.predictions.record(SAID, prediction_id="q")
    assert lk.predictions.resolve_due(timeframe="1H").resolved == 1
    assert (row(lk, "p")["actual_price"], row(lk, "q")["actual_price"]) == (110.0, 120.0)
    with pytest.raises(UnknownTimeframeError, match="7m"):
        lk.predictions.resolve_due(timeframe="7m")
    with pytest.raises(UsageError, match="at least 0"):
        lk.predictions.resolve_due(flat_band=float("nan"))


def test_predictions_that_were_written_as_rows_are_resolved_too(lk: lake.Lake) -> None:
    lk.write("predictions", [{**SAID, "prediction_id": "p"}, {"prediction_id": "never", "symbol": "BTCUSDT"}])
    closing(lk, [(NOON + HOUR, 110.0)])
    assert counts(lk.predictions.resolve_due()) == (1, 1, 0, 0)
    assert row(lk)["correct"] is True


def expected(
    prediction: dict[str, Any], candles: dict[tuple[str, str], dict[datetime, float]], now: datetime, gap: int
) -> tuple[float, float] | None:
    """Price before and after, found by walking from minute to minute."""
    held = candles.get((prediction["symbol"], "1m")) or candles.get((prediction["symbol"], "5m"))
    step = MINUTE if (prediction["symbol"], "1m") in candles else 5 * MINUTE
    due = prediction["predicted_at"] + timedelta(minutes=prediction["horizon_minutes"])
    grid = datetime(2026, 1, 1, tzinfo=UTC)
    first = grid + -((grid - due) // step) * step  # the first close at or after it
    last = grid + (prediction["predicted_at"] - grid) // step * step
    if held is None or due > now:
        return None
    after = [held[first + n * step] for n in range(gap + 1) if first + n * step in held and first + n * step <= now]
    before = [held[last - n * step] for n in range(gap + 1) if last - n * step in held]
    start = prediction.get("price") or (before[0] if before else None)
    return None if start is None or not after else (start, after[0])


@pytest.mark.parametrize("seed", range(4))
def test_outcomes_are_those_of_an_oracle_on_random_candles_with_gaps(lk: lake.Lake, seed: int) -> None:
    random_ = random.Random(seed)
    candles: dict[tuple[str, str], dict[datetime, float]] = {}
    for symbol, timeframe, step in (
        ("AUSDT", "1m", MINUTE), ("AUSDT", "5m", 5 * MINUTE), ("BUSDT", "5m", 5 * MINUTE), ("CUSDT", "1m", MINUTE)
    ):  # fmt: skip
        kept = {NOON + n * step: float(random_.randint(1, 50)) for n in range(400) if random_.random() < 0.4}
        candles[symbol, timeframe] = kept
        rows = [candle(at, close, step, symbol) for at, close in kept.items()]
        middle = len(rows) // 2
        lk.candles.write(rows[:middle], timeframe)
        lk.drain()
        lk.candles.write(rows[middle:], timeframe)  # these stay in hot
    said = [
        {
            "prediction_id": f"p{n}",
            "symbol": random_.choice(["AUSDT", "BUSDT", "CUSDT", "DUSDT"]),
            "predicted_direction": random_.choice(["UP", "DOWN", "FLAT"]),
            "price": random_.choice([None, float(random_.randint(1, 50))]),
            "predicted_at": NOON + timedelta(seconds=random_.randint(-600, 400 * 60)),
            "horizon_minutes": random_.choice([1, 2, 7, 60]),
        }
        for n in range(600)
    ]
    lk.write("predictions", said)
    gap, now = random_.choice([0, 1, 3]), NOON + timedelta(seconds=random_.randint(300 * 60, 420 * 60))
    done = lk.predictions.resolve_due(now, max_gap_bars=gap)
    found = {r["prediction_id"]: r for r in lk.read("predictions").iter_rows(named=True)}
    resolved = 0
    for prediction in said:
        got, want = found[prediction["prediction_id"]], expected(prediction, candles, now, gap)
        if want is None:
            assert got["resolved_at"] is None
            continue
        resolved += 1
        change = want[1] / want[0] - 1
        assert (got["price"], got["actual_price"], got["actual_return"]) == (*want, pytest.approx(change))
        assert got["correct"] is {"UP": change > 0, "DOWN": change < 0, "FLAT": change == 0}[got["predicted_direction"]]
    assert resolved == done.resolved > 50
    assert done.due == resolved + done.waiting + done.missing


def test_calls_at_once_resolve_a_prediction_once(lk: lake.Lake) -> None:
    closing(lk, [(NOON + HOUR, 110.0)])
    with lk.transaction():
        for number in range(200):
            lk.predictions.record(SAID, prediction_id=f"p{number}")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: lk.predictions.resolve_due(), range(4)))
    assert sum(d.resolved for d in done) >= 200
    assert lk.frame("SELECT count(*), count(resolved_at) FROM predictions").row(0) == (200, 200)
    assert lk.predictions.resolve_due().due == 0


def test_what_is_patched_meanwhile_is_kept(lk: lake.Lake) -> None:
    closing(lk, [(NOON + HOUR, 110.0)])
    lk.predictions.record(SAID, prediction_id="p")
    with lk.transaction():
        lk.predictions.resolve_due()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lk.predictions.patch, "p", probability=0.9).result()
    assert (row(lk)["probability"], row(lk)["correct"]) == (0.9, True)


def test_an_outcome_of_what_was_corrected_meanwhile_is_not_recorded(lk: lake.Lake) -> None:
    closing(lk, [(NOON + HOUR, 110.0)])
    lk.predictions.record(SAID, prediction_id="p")
    with lk.transaction():
        assert lk.predictions.resolve_due().resolved == 1
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lk.predictions.patch, "p", predicted_direction="DOWN").result()
    assert (row(lk)["correct"], row(lk)["resolved_at"]) == (None, None)
    lk.predictions.resolve_due()
    assert row(lk)["correct"] is False


def test_outcomes_survive_drains_and_restarts(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.predictions.record(SAID, prediction_id="p")
        lk.predictions.record(SAID, prediction_id="q", horizon_minutes=120)
        lk.drain()
    with lake.open(tmp_path, bot_id="tester") as lk:
        closing(lk, [(NOON + HOUR, 110.0)])
        lk.drain()
        assert lk.predictions.resolve_due().resolved == 1
        lk.drain()
        assert lk.predictions.resolve_due().resolved == 0
    with lake.open(tmp_path, bot_id="other") as lk:
        closing(lk, [(NOON + 2 * HOUR, 90.0)])
        assert counts(lk.predictions.resolve_due()) == (0, 0, 0, 0)  # they are of another bot
    with lake.open(tmp_path) as lk:
        assert counts(lk.predictions.resolve_due()) == (1, 1, 0, 0)
        assert lk.frame("SELECT correct FROM predictions ORDER BY prediction_id").rows() == [(True,), (False,)]


def test_the_job_resolves_what_a_running_bot_recorded(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.predictions.record(SAID, prediction_id="p")
        closing(lk, [(NOON + HOUR, 110.0)])
        done = subprocess.run(
            [sys.executable, "-m", "jobs.resolve_predictions", "--lake", str(tmp_path)],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        line = json.loads(done.stdout)
        assert (line["job"], line["ok"], line["due"], line["resolved"]) == ("resolve-predictions", True, 1, 1)
        assert (row(lk)["correct"], row(lk)["bot_id"]) == (True, "tester")
        assert lk.predictions.resolve_due().due == 0
        lk.drain(every_writer=True)
        assert row(lk)["correct"] is True


def test_predictions_are_recorded_and_resolved_by_tasks(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="tester") as alk:
            await alk.candles.write([candle(NOON + HOUR, 110.0)], "1m")
            await asyncio.gather(*(alk.predictions.record(SAID) for _ in range(10)))
            assert (await alk.predictions.resolve_due()).resolved == 10
            assert (await alk.sql("SELECT count(*) FROM predictions WHERE correct")).item() == 10

    asyncio.run(work())


def test_accuracy_counts_what_came_true_by_model(lk: lake.Lake) -> None:
    closing(lk, [(NOON + HOUR, 110.0)])
    for number in range(4):
        direction = "UP" if number else "DOWN"
        lk.predictions.record(SAID, model_version="m", predicted_direction=direction, probability=0.7)
    lk.predictions.record(SAID, model_version="m", horizon_minutes=120)
    lk.predictions.record(SAID, model_version="n", symbol="ETHUSDT")
    lk.predictions.resolve_due()
    found = lk.predictions.accuracy("m", "btc-usdt")
    assert found.select("horizon_minutes", "n", "unresolved", "accuracy").rows() == [
        (60, 4, 0, 75.0),
        (120, 0, 1, None),
    ]
    assert lk.predictions.accuracy().height == 3
    assert lk.predictions.accuracy(days=1, now=NOON + HOUR).height == 3
    assert lk.predictions.accuracy(days=1, now=NOON + timedelta(days=9)).is_empty()
