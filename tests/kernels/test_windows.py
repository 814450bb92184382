from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import UsageError
from lake.kernels import window_compiled, window_few, window_loops
from lake.kernels.window_compiled import Loops
from lake.kernels.windows import Windows

numbers = st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=80).map(lambda found: np.array(found, dtype=np.float64))


def plain(values: np.ndarray, bars: int, of: object) -> np.ndarray:
    """The same, one window at a time."""
    found = [of(values[i + 1 - bars : i + 1]) if i + 1 >= bars else np.nan for i in range(len(values))]  # type: ignore[operator]
    return np.array(found, dtype=np.float64)


@given(numbers, st.integers(1, 40), st.floats(0.01, 0.9))
def test_windows_are_what_they_say(values: np.ndarray, bars: int, alpha: float) -> None:
    weights = (1 - alpha) ** np.arange(bars)[::-1]
    mine = Windows(values)
    close: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-6}
    np.testing.assert_allclose(mine.sums(bars), plain(values, bars, np.sum), **close)
    np.testing.assert_allclose(mine.deviations(bars), plain(values, bars, np.std), rtol=1e-7, atol=1e-6)
    np.testing.assert_allclose(
        mine.exponential(bars, alpha), plain(values, bars, lambda w: (w * weights).sum() / weights.sum()), **close
    )
    np.testing.assert_array_equal(mine.highest(bars), plain(values, bars, np.max))
    np.testing.assert_array_equal(mine.lowest(bars), plain(values, bars, np.min))
    np.testing.assert_array_equal(mine.lagged(bars), plain(values, bars + 1, lambda w: w[0]))


@given(numbers, st.integers(1, 40), st.integers(0, 40))
def test_a_window_has_the_same_bits_wherever_the_array_begins(values: np.ndarray, bars: int, cut: int) -> None:
    whole, part = Windows(values), Windows(np.ascontiguousarray(values[cut:]))
    for of in ("sums", "squares", "highest", "lowest"):
        later = getattr(whole, of)(bars)[cut:]
        np.testing.assert_array_equal(getattr(part, of)(bars)[bars - 1 :], later[bars - 1 :])
    later = whole.exponential(bars, 0.1)[cut:]
    np.testing.assert_array_equal(part.exponential(bars, 0.1)[bars - 1 :], later[bars - 1 :])


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> Callable[[Loops], None]:
    """Lets windows be computed by these loops from now on."""
    return lambda chosen: monkeypatch.setattr(window_compiled, "_LOOPS", chosen)


def every_window(values: np.ndarray, bars: int, at: np.ndarray | None) -> dict[str, np.ndarray]:
    mine = Windows(values)
    found = {of: getattr(mine, of)(bars, at) for of in ("lagged", "sums", "squares", "highest", "lowest")}
    return {**found, "deviations": mine.deviations(bars, 0, at), "exponential": mine.exponential(bars, 2 / 13, at)}


def same_bits(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    for of, values in left.items():
        np.testing.assert_array_equal(values, right[of], err_msg=of)


@pytest.mark.parametrize("bars", [1, 2, 3, 20, 64, 200, 511, 777])
def test_compiled_windows_have_the_bits_of_the_others(loops: Callable[[Loops], None], bars: int) -> None:
    values = np.random.default_rng(bars).normal(0, 1e-3, 3_000).cumsum() + 100
    values[[7, 1_500]] = np.nan, np.inf
    for at in (None, np.array([0, 0, 5, 1_023, 1_024, 2_047, 2_048, 2_999]), np.arange(700, 2_500), np.arange(0)):
        with np.errstate(invalid="ignore"):
            loops(Loops(None))
            plainly = every_window(values, bars, at)
            loops(Loops(0))
            same_bits(plainly, every_window(values, bars, at))


@given(numbers, st.integers(1, 40), st.lists(st.integers(0, 79), max_size=9))
def test_a_few_windows_are_those_of_all(values: np.ndarray, bars: int, places: list[int]) -> None:
    at = np.array(sorted(p for p in places if p < len(values)), dtype=np.int64)
    same_bits({of: found[at] for of, found in every_window(values, bars, None).items()}, every_window(values, bars, at))


@pytest.mark.parametrize("bars", [1, 2, 3, 20, 60, 64, 200])
def test_few_windows_of_many_have_the_bits_of_all(loops: Callable[[Loops], None], bars: int) -> None:
    loops(Loops(None))
    values = np.random.default_rng(bars).normal(0, 1e-3, 3_000).cumsum() + 100
    values[[7, 1_500]] = np.nan, np.inf
    at = np.array([0, 5, 5, 150, 1_499, 1_500, 1_800, 2_999])
    mine = Windows(values)
    with np.errstate(invalid="ignore"):
        assert window_few.are_few(values, bars, at)
        np.testing.assert_array_equal(mine.sums(bars, at), mine.sums(bars)[at])
        np.testing.assert_array_equal(mine.squares(bars, at), mine.squares(bars)[at])


def test_windows_are_compiled_once_there_were_many(loops: Callable[[Loops], None]) -> None:
    counting = Loops(100)
    assert counting.find("faded", 60) is None
    assert counting.find("faded", 60) is not None
    never = Loops(None)
    loops(never)
    Windows(np.zeros(500)).sums(3)
    assert never.find("faded", 10**12) is None


def test_where_many_windows_are_expected_they_are_compiled_beside_the_work() -> None:
    counting = Loops(100)
    counting.expect(99)
    assert counting.find("faded", 1) is None
    counting.expect(100)
    for thread in threading.enumerate():
        if thread.name == "lake-compile":
            thread.join()
    assert {name: len(counting.find(name, 0).signatures) for name in ("faded", "squares", "highest")} == {  # type: ignore[union-attr]
        "faded": 1, "squares": 1, "highest": 1,
    }  # fmt: skip


def test_without_numba_windows_are_computed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise ImportError("numba")

    monkeypatch.setattr(window_compiled, "compiled", absent)
    monkeypatch.setattr(window_compiled, "_LOOPS", Loops(0))
    assert Windows(np.arange(4.0)).sums(2).tolist()[1:] == [1.0, 3.0, 5.0]


def test_the_loops_run_as_they_stand() -> None:
    values, at, found = np.arange(10.0), np.arange(10), np.empty(10)
    window_loops.highest(values, 3, at, window_compiled.rows_of("highest", 3), found)
    np.testing.assert_array_equal(found, Windows(values).highest(3))


def test_a_deviation_far_from_zero_keeps_its_digits() -> None:
    values = 1e9 + np.array([4.0, 7.0, 13.0, 16.0] * 8)
    assert Windows(values).deviations(32)[-1] == pytest.approx(np.sqrt(22.5), rel=1e-12)


def test_a_hole_spoils_only_the_windows_that_hold_it() -> None:
    values = np.arange(30.0)
    values[10] = np.nan
    assert np.flatnonzero(np.isnan(Windows(values).sums(5))).tolist() == [0, 1, 2, 3, 10, 11, 12, 13, 14]


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="a window has one bar or more"):
        Windows(np.zeros(3)).sums(0)
