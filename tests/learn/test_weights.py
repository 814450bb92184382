"""Weights against the plainest code that can be written for them, and against the book's own."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lake.errors import UsageError
from lake.learn import weights

T0 = datetime(2024, 1, 1, tzinfo=UTC)
labels = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.sampled_from("abc")), min_size=1, max_size=40)


def slow_uniqueness(starts, ends) -> list[float]:
    """Moment by moment, in fractions: one over the labels that are open, averaged over the label's life."""
    found = []
    for start, end in zip(starts, ends, strict=True):
        if start == end:
            found.append(float(Fraction(1, sum(s <= start <= e for s, e in zip(starts, ends, strict=True)))))
            continue
        shares = [Fraction(1, sum(s <= t < e for s, e in zip(starts, ends, strict=True))) for t in range(start, end)]
        found.append(float(sum(shares) / (end - start)))
    return found


@settings(max_examples=200, deadline=None)
@given(labels)
def test_uniqueness_is_the_share_of_a_label_among_those_open_averaged_over_its_life(labels_) -> None:
    starts = [start for start, _, _ in labels_]
    ends = [start + length for start, length, _ in labels_]
    assert weights.uniqueness(starts, ends) == pytest.approx(slow_uniqueness(starts, ends), rel=1e-12)


@settings(max_examples=100, deadline=None)
@given(labels)
def test_only_labels_of_one_series_overlap(labels_) -> None:
    starts = np.array([start for start, _, _ in labels_])
    ends = starts + np.array([length for _, length, _ in labels_])
    names = np.array([name for _, _, name in labels_])
    expected = np.empty(len(starts))
    for name in set(names):
        mine = names == name
        expected[mine] = slow_uniqueness(starts[mine].tolist(), ends[mine].tolist())
    assert weights.uniqueness(starts, ends, names.tolist()) == pytest.approx(expected, rel=1e-12)


def test_a_series_may_be_told_by_several_columns() -> None:
    frame = pl.DataFrame({"venue": ["a", "a", "b", None], "symbol": ["x", "y", "x", "x"]})
    assert weights.uniqueness([0, 0, 0, 0], [2, 2, 2, 2], frame).tolist() == [1.0, 1.0, 1.0, 1.0]
    assert weights.uniqueness([0, 0, 0, 0], [2, 2, 2, 2], frame["symbol"]).tolist() == [1 / 3, 1.0, 1 / 3, 1 / 3]


def _by_the_book(t1: pd.Series, bars: pd.Index) -> pd.Series:
    """What Advances in Financial Machine Learning, chapter 4, describes: count per bar, then average of its inverse."""
    count = pd.Series(0, index=bars)
    for begin, end in t1.items():
        count.loc[begin:end] += 1
    return pd.Series([(1.0 / count.loc[begin:end]).mean() for begin, end in t1.items()], index=t1.index)


def test_labels_of_whole_bars_have_the_uniqueness_of_the_book() -> None:
    rng = np.random.default_rng(4)
    bars = pd.date_range("2024-01-01", periods=300, freq="1min", tz="UTC")
    begins = np.sort(rng.choice(280, 60, replace=False))
    t1 = pd.Series(bars[begins + rng.integers(0, 20, 60)], index=bars[begins])
    ours = weights.uniqueness(t1.index, t1 + pd.Timedelta(minutes=1))  # the last bar belongs to the label
    assert ours == pytest.approx(_by_the_book(t1, bars).to_numpy(), rel=1e-12)


def test_a_year_of_microseconds_costs_no_digits_that_matter() -> None:
    rng = np.random.default_rng(6)
    starts = np.sort(rng.integers(0, 365 * 86_400 * 10**6, 3000))
    ends = starts + rng.integers(1, 10**9, 3000)
    found = weights.uniqueness(np.append(starts, 10**17), np.append(ends, 10**17 + 1))
    assert found[-1] == 1.0
    for row in rng.integers(0, 3000, 50):
        edges = np.unique(np.clip(np.concatenate([starts, ends]), starts[row], ends[row]))
        counts = [int(((starts <= a) & (ends >= b)).sum()) for a, b in pairwise(edges)]
        assert found[row] == pytest.approx(np.sum(np.diff(edges) / counts) / (ends[row] - starts[row]), rel=1e-6)


def test_a_million_labels_take_about_a_second() -> None:
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 365 * 86_400 * 10**6, 1_000_000)
    begun = time.process_time()
    weights.uniqueness(starts, starts + rng.integers(1, 2880, 1_000_000) * 60_000_000)
    assert time.process_time() - begun < 3.0  # 0.4 s on an idle core; a quadratic way takes hours


def test_the_weight_by_return_is_its_size_shared_with_the_labels_open() -> None:
    assert weights.by_return(pl.Series([1.5, -2.0, 0.0])).tolist() == [1.5, 2.0, 0.0]
    shared = weights.by_return([1.5, -2.0, 4.0], [0, 0, 10], [2, 2, 11])
    assert shared.tolist() == [0.75, 1.0, 4.0]
    assert weights.by_return([1.5, -2.0, 4.0], [0, 0, 10], [2, 2, 11], ["a", "b", "a"]).tolist() == [1.5, 2.0, 4.0]


def test_a_steady_move_has_the_return_attribution_of_the_book() -> None:
    rng = np.random.default_rng(2)
    begins = np.sort(rng.integers(0, 80, 30))
    lengths = rng.integers(1, 15, 30)
    per_bar = 0.1  # percent, each bar
    count = np.zeros(100)
    for begin, length in zip(begins, lengths, strict=True):
        count[begin : begin + length] += 1
    book = [abs((per_bar / count[b : b + n]).sum()) for b, n in zip(begins, lengths, strict=True)]
    assert weights.by_return(per_bar * lengths, begins, begins + lengths) == pytest.approx(book, rel=1e-12)


def test_each_half_life_halves_the_weight() -> None:
    days = [T0 - timedelta(days=n) for n in (0, 10, 20, 25)]
    found = weights.recency(days, timedelta(days=10))
    assert found == pytest.approx([1.0, 0.5, 0.25, 0.5**2.5])
    later = weights.recency(days, timedelta(days=10), now=T0 + timedelta(days=10))
    assert later == pytest.approx(found / 2)
    assert weights.recency([], timedelta(days=1)).tolist() == []


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 100), st.floats(0.01, 100)), min_size=1, max_size=50))
def test_combined_weights_are_in_proportion_to_the_product_and_have_mean_one(pairs) -> None:
    one, two = np.array(pairs).T
    found = weights.combined(one, two)
    assert found.mean() == pytest.approx(1.0)
    assert found / found[0] == pytest.approx(one * two / (one[0] * two[0]))


REFUSED = {
    "lengths": (lambda: weights.uniqueness([1, 2], [3]), r"one begin and one end \(got \(2, 1\)\)"),
    "backwards": (lambda: weights.uniqueness([1, 2], [3, 1]), r"1 of 2 labels end before they begin, the first in row"),
    "missing": (lambda: weights.uniqueness([T0, T0], [T0, None]), r"end times: 1 of 2 times are missing"),
    "series": (lambda: weights.uniqueness([1, 2], [3, 3], ["a"]), r"series of 1 rows: there are 2 labels"),
    "no column": (lambda: weights.uniqueness([], [], pl.DataFrame()), r"told by at least one column"),
    "one time": (lambda: weights.by_return([1.0], [1]), r"both times are needed, or none"),
    "other rows": (lambda: weights.by_return([1.0], [1, 2], [2, 3]), r"weights are of one length \(got \[1, 2\]\)"),
    "no return": (lambda: weights.by_return([1.0, None]), r"label_pnl_percent, row 1: a number is missing"),
    "text": (lambda: weights.by_return(["much"]), r"label_pnl_percent: these are no numbers"),
    "table": (lambda: weights.by_return([[1.0]]), r"one number for each row"),
    "no half-life": (lambda: weights.recency([T0], timedelta(0)), r"a half-life is a timedelta above zero"),
    "days": (lambda: weights.recency([T0], 30), r"a half-life is a timedelta above zero \(got 30\)"),
    "numbers": (lambda: weights.recency([1, 2], timedelta(1)), r"decision_time: times with dates are needed"),
    "future": (
        lambda: weights.recency([T0], timedelta(1), now=T0 - timedelta(1)),
        r"now: 1 rows are later than now",
    ),
    "nothing": (weights.combined, r"nothing to combine"),
    "negative": (lambda: weights.combined([1.0], [-1.0]), r"weight 2: a weight is 0 or more \(got -1.0\)"),
    "zeros": (lambda: weights.combined([0.0, 1.0], [1.0, 0.0]), r"all weights are 0"),
    "unlike": (lambda: weights.combined([1.0], [1.0, 2.0]), r"weights are of one length"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_in_one_clear_sentence(case) -> None:
    work, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        work()


def test_no_labels_have_no_weights() -> None:
    assert weights.uniqueness([], []).tolist() == weights.uniqueness([], [], []).tolist() == []
