from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lake.errors import UsageError
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
