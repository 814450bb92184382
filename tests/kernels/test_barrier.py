"""The barrier kernel, held to the plain oracle and to the phantom that is followed candle by candle."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from lake.kernels import barrier, barrier_compiled, barrier_loops, phantom
from lake.kernels.barrier_bars import bars_of, lives_of
from lake.kernels.barrier_loops import ALIVE, BACK, BOTH, DUE, EVEN, GAP, NEVER, STOPPED, TARGET, TIMEOUT
from lake.kernels.barrier_types import Bars, Events, Lives
from tests.kernels.barrier_oracle import Candles, End, Event, Level, follow

REASONS = {ALIVE: None, STOPPED: "sl", EVEN: "breakeven", TARGET: "target", TIMEOUT: "timeout", GAP: "gap"}


def bars(level: Level) -> Bars:
    step, candles = level
    times = sorted(candles)
    table = np.array([candles[t] for t in times], np.float64).reshape(len(times), 4)
    return bars_of(np.array(times, np.int64), tuple(table.T), step)  # type: ignore[arg-type]


def events(given: list[Event]) -> Events:
    nan = float("nan")
    return Events(
        np.array([0 if e.sign == 1 else 1 for e in given], np.int8),
        np.array([e.entry for e in given]),
        np.array([nan if e.stop is None else e.stop for e in given]),
        np.array([(*e.targets, nan, nan, nan)[:3] for e in given]),
        np.array([e.start for e in given], np.int64),
        np.array([NEVER if e.timeout is None else e.timeout for e in given], np.int64),
        np.array([e.break_even for e in given]),
    )


def ends(lives: Lives, made: Events) -> list[End]:
    """The lives in the oracle's words."""
    found = []
    for n, code in enumerate(lives.code.tolist()):
        way = 1.0 - 2.0 * float(made.side[n])
        over = code not in {ALIVE, GAP}
        found.append(
            End(
                REASONS[code], way * float(lives.price[n]) if over else None, int(lives.at[n]) if over else None,
                int(lives.hit[n]), bool(lives.ambiguous[n]), int(lives.tp1[n]) if lives.tp1[n] >= 0 else None,
                way * float(lives.best[n]), way * float(lives.worst[n]), int(lives.bars[n]),
            )
        )  # fmt: skip
    return found


def walk(chance: random.Random, count: int, digits: int) -> Candles:
    """Candles of step 1 around 100, on a coarse grid of prices, so that levels are touched exactly."""
    candles, price = {}, 100.0
    for time in range(count):
        opened = round(price * (1 + chance.gauss(0, 0.01)), digits) if chance.random() < 0.2 else price
        price = round(opened * (1 + chance.gauss(0, 0.01)) + 0.01 * (100 - opened), digits)
        high = round(max(opened, price) * (1 + abs(chance.gauss(0, 0.006))), digits)
        low = round(min(opened, price) * (1 - abs(chance.gauss(0, 0.006))), digits)
        candles[time] = (opened, max(high, opened, price), min(low, opened, price), price)
    return candles


def coarser(candles: Candles, step: int) -> Candles:
    made = {}
    for time in range(0, max(candles) + 2 - step, step):
        part = [candles[t] for t in range(time, time + step)]
        made[time] = (part[0][0], max(c[1] for c in part), min(c[2] for c in part), part[-1][3])
    return made


def holes(chance: random.Random, candles: Candles, share: float) -> Candles:
    return {time: candle for time, candle in candles.items() if chance.random() >= share}


def drawn(chance: random.Random, last: int) -> Event:
    way, entry = chance.choice([1, -1]), round(100 * (1 + chance.gauss(0, 0.01)), 1)
    away = chance.choice([0.5, 1.0, 2.0, 4.0])
    targets = tuple(round(entry + way * away * n, 1) for n in range(1, chance.randrange(4) + 1))
    start = chance.randrange(0, last)
    timeout = None if targets and chance.random() < 0.2 else start + chance.randrange(0, 300)
    stop = None if chance.random() < 0.1 else round(entry - way * chance.choice([0.5, 1.0, 3.0]), 1)
    return Event(way, entry, stop, targets, start, timeout, chance.random() < 0.8)


@pytest.mark.parametrize("seed", range(40))
def test_any_event_ends_as_the_oracle_says_on_one_timeframe(seed: int) -> None:
    chance = random.Random(seed)
    candles = holes(chance, walk(chance, 700, seed % 3), chance.choice([0.0, 0.0, 0.002, 0.05]))
    given = [drawn(chance, 720) for _ in range(120)]
    made = events(given)
    found = ends(barrier.follow([bars((1, candles))], made), made)
    for event, end in zip(given, found, strict=True):
        assert end == follow(event, [(1, candles)]), event


@pytest.mark.parametrize("seed", range(40))
def test_any_event_ends_as_the_oracle_says_with_finer_timeframes(seed: int) -> None:
    chance = random.Random(1000 + seed)
    finest = walk(chance, 720, 1 + seed % 2)
    steps = chance.choice([(12, 1), (12, 4, 1), (12, 6, 3, 1), (8, 3), (20, 5, 4, 2)])
    levels: list[Level] = []
    for step in steps:
        share = 0.0 if not levels else chance.choice([0.0, 0.02, 0.3, 1.0])
        levels.append((step, holes(chance, coarser(finest, step) if step > 1 else finest, share)))
    given = [drawn(chance, 720) for _ in range(80)]
    made = events(given)
    found = ends(barrier.follow([bars(level) for level in levels], made), made)
    for event, end in zip(given, found, strict=True):
        assert end == follow(event, levels), (event, steps)


def test_finer_timeframes_do_resolve_what_is_ambiguous_without_them() -> None:
    """Else the test above would compare what never happens."""
    chance = random.Random(5)
    finest = walk(chance, 7_200, 2)
    levels = [(12, coarser(finest, 12)), (1, finest)]
    made = events([drawn(chance, 7_000) for _ in range(20_000)])
    alone, together = (barrier.follow([bars(x) for x in part], made) for part in (levels[:1], levels))
    assert alone.ambiguous.sum() > 200
    assert together.ambiguous.sum() < alone.ambiguous.sum() / 2
    changed = alone.ambiguous & ~together.ambiguous & (together.code != STOPPED)
    assert changed.sum() > 50
    came_back = alone.ambiguous & (alone.code == EVEN) & (alone.hit == 1)
    went_on = came_back & ~together.ambiguous & (together.at > alone.at)
    assert min(went_on.sum(), (came_back & ~went_on).sum()) > 50


@pytest.mark.parametrize("step", [4, 12])
def test_a_coarse_candle_with_finer_ones_never_lets_an_event_outlive_its_timeout(step: int) -> None:
    chance = random.Random(step)
    finest = walk(chance, 3_600, 2)
    given = [event for event in (drawn(chance, 3_000) for _ in range(3_000)) if event.timeout is not None]
    made = events(given)
    alone = barrier.follow([bars((1, finest))], made)
    coarse = barrier.follow([bars((step, coarser(finest, step))), bars((1, finest))], made)
    inside = (made.timeout % step > 0) & ~alone.ambiguous & ~coarse.ambiguous
    assert ((alone.code == TIMEOUT) & inside).sum() > 50
    assert ((coarse.at > made.timeout) & inside).sum() == 0
    np.testing.assert_array_equal(coarse.code[inside] == TIMEOUT, alone.code[inside] == TIMEOUT)


@pytest.mark.parametrize("seed", range(8))
def test_a_label_is_what_a_phantom_lives_to(seed: int) -> None:
    chance = random.Random(2000 + seed)
    minute, t0 = 60_000_000, 1_767_225_600_000_000
    candles = walk(chance, 400, 2)
    table = np.array([candles[t] for t in range(400)])
    times = t0 + np.arange(400) * minute
    series = np.array(
        [(int(at), int(at) + minute, *row) for at, row in zip(times, table.tolist(), strict=True)], phantom.BARS
    )
    given = []
    for event in (drawn(chance, 390) for _ in range(60)):
        begun = t0 + event.start * minute + chance.choice([0, 0, 20_000_000])
        given.append(Event(event.sign, event.entry, event.stop, event.targets, begun, begun + 100 * minute))
    made = events(given)
    lives = barrier.follow([bars_of(times, tuple(table.T), minute)], made)
    for event, end in zip(given, ends(lives, made), strict=True):
        row = lived(event, series)
        reason = row.get("exit_reason")
        assert end.reason == ("target" if reason in phantom.TARGETS else reason)
        assert (end.price, end.at) == (row.get("exit_price"), row.get("exit_time"))
        assert (end.ambiguous, end.best, end.worst) == (row["ambiguous"], row["max_favorable"], row["max_adverse"])
        assert end.targets_hit == sum(bool(row.get(f"{name}_hit")) for name in phantom.TARGETS)
        late = None if end.tp1_at is None else (end.tp1_at - event.start) / 1e6
        assert late == row.get("time_to_tp1_sec")


def lived(event: Event, series: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "side": "LONG" if event.sign == 1 else "SHORT", "status": "active", "entry_price": event.entry,
        "stop_loss": event.stop, "signal_time": event.start, "timeout_at": event.timeout,
        **dict(zip(phantom.TARGETS, event.targets, strict=False)),
    }  # fmt: skip
    row = {name: value for name, value in row.items() if value is not None}
    row.update(phantom.begun(row))
    for bar in series:
        row = {**row, **phantom.advance(row, phantom.Bar(*bar.tolist()))}
    return row


def test_the_compiled_loops_do_what_their_source_says() -> None:
    """The source runs as it stands, so that it can be read, stepped through and covered."""
    chance = random.Random(77)
    base = bars((2, holes(chance, coarser(walk(chance, 700, 1), 2), 0.002)))
    made = events([drawn(chance, 720) for _ in range(150)])
    rows = np.arange(150)
    for is_finest in (True, False):
        plain, compiled = lives_of(made), lives_of(made)
        barrier_loops.from_start(base, made, plain, rows, is_finest)
        barrier_compiled.from_start(base, made, compiled, rows, is_finest=is_finest)
        for one, other in zip(plain, compiled, strict=True):
            np.testing.assert_array_equal(one, other)
    assert {BOTH, BACK, DUE} <= set(compiled.code.tolist())


def test_threads_share_many_events_and_change_nothing() -> None:
    chance = random.Random(3)
    base = bars((1, walk(chance, 5_000, 2)))
    few = [drawn(chance, 4_900) for _ in range(1_000)]
    made = events(few * 100)
    whole = barrier.follow([base], made)
    part: Any = barrier.follow([base], events(few))
    for values, once in zip(whole, part, strict=True):
        np.testing.assert_array_equal(values, np.tile(once, 100))


def test_only_the_rows_that_are_named_are_followed() -> None:
    base = bars((1, dict.fromkeys(range(5), (100.0, 111.0, 99.0, 105.0))))
    made = events([Event(1, 100.0, 90.0, (110.0,), 0, None)] * 3)
    lives = barrier.follow([base], made, np.array([1]))
    assert lives.code.tolist() == [ALIVE, TARGET, ALIVE]


def test_without_candles_nothing_is_known() -> None:
    lives = barrier.follow([bars((1, {}))], events([Event(1, 100.0, 90.0, (110.0,), 0, None)]))
    assert lives.code.tolist() == [ALIVE]
