"""Splits hold what they promise over random labels, and agree with those that others published."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import combinations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from timeseriescv.cross_validation import CombPurgedKFoldCV

import lake
from lake.errors import InvalidTimeError, UsageError
from lake.learn.splits import CombinatorialPurged, WalkForward

DAY = timedelta(days=1)
T0 = datetime(2024, 1, 1, tzinfo=UTC)

labels = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 15)), min_size=12, max_size=60)
embargoes = st.one_of(st.integers(0, 4), st.floats(0, 0.1))


def apart(labels_) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends."""
    starts = np.array([start for start, _ in labels_])
    return starts, starts + np.array([length for _, length in labels_])


def ordered(starts) -> list[int]:
    """Rows in order of time, those of one moment in their own order."""
    return sorted(range(len(starts)), key=lambda row: starts[row])


def blocks_of(test: set[int], order: list[int]) -> list[list[int]]:
    """Runs of test rows that follow one another in time."""
    found: list[list[int]] = []
    for place, row in enumerate(order):
        if row in test:
            if place and order[place - 1] in test:
                found[-1].append(row)
            else:
                found.append([row])
    return found


def allowed_beside(block: list[int], row: int, starts, ends, order: list[int], embargo: int) -> bool:
    """The rule in plain words: over before the block begins, or begun after its labels and so many rows more."""
    over = max(ends[b] for b in block)
    if order.index(row) < order.index(block[0]):
        return ends[row] < starts[block[0]]
    later = [r for r in order if starts[r] > over and order.index(r) > order.index(block[-1])]
    return row in later[embargo:]


# --- combinatorial


@settings(max_examples=80, deadline=None)
@given(labels, st.integers(2, 6), st.integers(1, 3), embargoes)
def test_combinatorial_training_rows_are_those_that_no_test_block_and_no_embargo_touches(
    labels_, groups, tests, embargo
) -> None:
    assume(tests < groups)
    starts, ends = apart(labels_)
    order, rows = ordered(starts), int(embargo if isinstance(embargo, int) else embargo * len(starts))
    parts = np.array_split(np.array(order), groups)
    found = CombinatorialPurged(groups, tests, embargo, starts, ends).split()
    for chosen in combinations(range(groups), tests):
        test = [int(row) for group in chosen for row in parts[group]]
        blocks = blocks_of(set(test), order)
        train = [
            row
            for row in order
            if row not in test and all(allowed_beside(b, row, starts, ends, order, rows) for b in blocks)
        ]
        if not train:
            with pytest.raises(UsageError, match=r"every training row overlaps a test block"):
                next(found)
            return
        got = next(found)
        assert got[1].tolist() == test
        assert got[0].tolist() == train
    assert list(found) == []


@settings(max_examples=60, deadline=None)
@given(labels, st.integers(3, 6), st.integers(1, 2), st.integers(0, 20))
def test_no_training_label_overlaps_a_test_label_and_the_embargo_in_time_holds(labels_, groups, tests, days) -> None:
    starts, ends = apart(labels_)
    begins, overs = [T0 + int(s) * DAY for s in starts], [T0 + int(e) * DAY for e in ends]
    splitter = CombinatorialPurged(groups, tests, timedelta(days=days), begins, overs)
    try:
        found = list(splitter.split())
    except UsageError:
        return
    for train, test in found:
        overlaps = (starts[train][:, None] <= ends[test]) & (ends[train][:, None] >= starts[test])
        assert not overlaps.any()
        after = starts[train][:, None] - ends[test]
        assert not ((after >= 0) & (after <= days)).any()


@pytest.mark.parametrize(("groups", "tests"), [(4, 1), (5, 2), (6, 3)])
def test_every_row_is_tested_as_often_as_its_group_is_chosen(groups, tests) -> None:
    splitter = CombinatorialPurged(groups, tests)
    times = Counter(int(row) for _, test in splitter.split(np.zeros((53, 1))) for row in test)
    assert set(times.values()) == {math.comb(groups - 1, tests - 1)}
    assert len(times) == 53
    assert splitter.get_n_splits() == math.comb(groups, tests) == len(list(splitter.split(np.zeros((53, 1)))))


@pytest.mark.parametrize(("groups", "tests"), [(4, 1), (5, 2), (6, 3)])
def test_every_path_goes_once_through_all_rows_and_uses_each_test_of_a_group_once(groups, tests) -> None:
    splitter = CombinatorialPurged(groups, tests, start_times=np.arange(53)[::-1])
    paths, group_of = splitter.paths(), splitter.group_of_rows()
    assert paths.shape == (math.comb(groups, tests) * tests // groups, groups)
    tested = [set(test.tolist()) for _, test in splitter.split()]
    for path in paths:
        assert all(row in tested[path[group_of[row]]] for row in range(53))
    used = Counter((int(split), group) for path in paths for group, split in enumerate(path))
    assert set(used.values()) == {1}
    assert len(used) == math.comb(groups, tests) * tests


# --- walk-forward


@settings(max_examples=120, deadline=None)
@given(labels, st.integers(1, 5), embargoes, st.none() | st.integers(1, 20), st.none() | st.integers(1, 8))
def test_walk_forward_trains_on_what_was_over_before_the_block_and_its_embargo(
    labels_, splits, embargo, max_train, min_train
) -> None:
    starts, ends = apart(labels_)
    order, rows = ordered(starts), int(embargo if isinstance(embargo, int) else embargo * len(starts))
    splitter = WalkForward(splits, max_train, min_train, embargo, starts, ends)
    count = len(starts)

    def known(first: int) -> list[int]:
        return [r for r in order[:first] if first >= rows and ends[r] < starts[order[first - rows]]]

    if min_train is None:
        size = count // (splits + 1)
    else:
        ready = [first for first in range(count) if len(known(first)) >= min_train]
        size = (count - ready[0]) // splits if ready else 0
    found = splitter.split()
    if not size:
        with pytest.raises(UsageError, match=rf"{count} rows are too few"):
            next(found)
        return
    for first in range(count - splits * size, count, size):
        train = known(first)
        if not train:
            with pytest.raises(UsageError, match=r"every row before the block has a label that reaches into it"):
                next(found)
            return
        assert min_train is None or len(train) >= min_train
        got = next(found)
        assert got[0].tolist() == (train if max_train is None else train[-max_train:])
        assert got[1].tolist() == order[first : first + size]
    assert list(found) == []


def test_a_window_and_an_embargo_in_time_count_from_the_first_decision_of_the_block() -> None:
    days = [T0 + n * DAY for n in range(12)]
    overs = [day + timedelta(hours=36) for day in days]
    splitter = WalkForward(2, max_train=4 * DAY, embargo=timedelta(hours=12), start_times=days, end_times=overs)
    found = [(train.tolist(), test.tolist()) for train, test in splitter.split()]
    # block from day 4: labels over before day 3.5 are those of days 0 and 1; block from day 8: from day 4 on
    assert found == [([0, 1], [4, 5, 6, 7]), ([4, 5], [8, 9, 10, 11])]


def test_a_label_that_ends_as_the_block_begins_touches_it() -> None:
    splitter = WalkForward(1, start_times=[0, 1, 2, 3], end_times=[1, 2, 3, 4])
    assert [train.tolist() for train, _ in splitter.split()] == [[0]]


# --- either


@pytest.mark.parametrize("splitter", [WalkForward, CombinatorialPurged])
def test_rows_in_another_order_give_the_same_split(splitter) -> None:
    rng = np.random.default_rng(5)
    starts = rng.permutation(200)
    ends = starts + rng.integers(0, 9, 200)
    mixed = rng.permutation(200)
    plain = splitter(4, start_times=starts, end_times=ends, embargo=3)
    other = splitter(4, start_times=starts[mixed], end_times=ends[mixed], embargo=3)
    for one, two in zip(plain.split(), other.split(), strict=True):
        assert [part.tolist() for part in one] == [mixed[part].tolist() for part in two]


def _kinds() -> dict[str, tuple[object, object]]:
    days = [T0 + n * DAY for n in range(20)]
    overs = [day + timedelta(hours=30) for day in days]
    return {
        "datetimes": (days, overs),
        "polars": (pl.Series(days), pl.Series(overs)),
        "polars in milliseconds": (pl.Series(days).dt.cast_time_unit("ms"), pl.Series(overs)),
        "pandas": (pd.Series(days), pd.Series(overs)),
        "pandas index": (pd.DatetimeIndex(days), pd.DatetimeIndex(overs)),
        "pandas in another zone": (pd.Series(days).dt.tz_convert("Asia/Tokyo"), pd.Series(overs)),
        "objects": (pd.Series(days, dtype=object), np.array(overs, dtype=object)),
        "numpy": (np.array(days[0].replace(tzinfo=None), "M8[s]") + np.arange(20).astype("m8[D]"), overs),
        "dates": ([day.date() for day in days], overs),
        "hours": (np.arange(20) * 24, np.arange(20) * 24 + 30),
        "hours in floats": (np.arange(20) * 24.0, pl.Series(np.arange(20) * 24.0 + 30)),
    }


@pytest.mark.parametrize("kind", _kinds())
def test_times_of_every_kind_give_the_same_split(kind) -> None:
    starts, ends = _kinds()[kind]
    hours = np.arange(20) * 24
    expected = list(CombinatorialPurged(5, 2, start_times=hours, end_times=hours + 30).split())
    found = list(CombinatorialPurged(5, 2, start_times=starts, end_times=ends).split())
    assert [[p.tolist() for p in pair] for pair in found] == [[p.tolist() for p in pair] for pair in expected]


@pytest.mark.parametrize("framed", [pl.DataFrame, pd.DataFrame])
def test_times_are_read_from_a_frame_that_has_them(framed) -> None:
    rng = np.random.default_rng(3)
    days = [T0 + int(n) * DAY for n in rng.permutation(40)]
    overs = [day + timedelta(days=3) for day in days]
    frame = framed({"x": rng.normal(size=40), "decision_time": days, "label_time": overs})
    for splitter in (WalkForward(3), CombinatorialPurged(4, 2)):
        given_ = type(splitter)(**{**splitter.get_params(), "start_times": days, "end_times": overs})
        for one, two in zip(splitter.split(frame), given_.split(frame[["x"]]), strict=True):
            assert [p.tolist() for p in one] == [p.tolist() for p in two]


def _split(splitter, x=None) -> None:
    list(splitter.split(x))


@pytest.mark.parametrize("kind", ["datetimes", "polars", "pandas", "objects"])
def test_times_without_a_zone_are_refused(kind) -> None:
    days = [T0.replace(tzinfo=None) + n * DAY for n in range(9)]
    made = {"polars": pl.Series, "pandas": pd.Series, "objects": lambda times: np.array(times, dtype=object)}
    with pytest.raises(InvalidTimeError, match="start times: a naive time could mean any zone.*tzinfo=UTC"):
        _split(WalkForward(2, start_times=made.get(kind, list)(days)))


ten = np.zeros((10, 1))
REFUSED = {
    "no splits": (lambda: WalkForward(0), r"n_splits: a whole number from 1 on is needed \(got 0\)"),
    "splits in floats": (lambda: WalkForward(2.0), r"n_splits: a whole number"),
    "true": (lambda: WalkForward(True), r"n_splits: a whole number"),
    "one group": (lambda: CombinatorialPurged(1, 1), r"n_groups: a whole number from 2 on"),
    "all tested": (lambda: CombinatorialPurged(4, 4), r"n_test_groups: some groups are left to train on .* At most 3"),
    "negative embargo": (lambda: CombinatorialPurged(embargo=-1), r"embargo: an embargo is a timedelta, a number of"),
    "whole embargo": (lambda: WalkForward(embargo=1.0), r"embargo is .* a fraction of them below 1 \(got 1.0\)"),
    "embargo of text": (lambda: WalkForward(embargo="1d"), r"an embargo is a timedelta"),
    "embargo before": (lambda: WalkForward(embargo=-DAY), r"an embargo is a timedelta"),
    "no window": (lambda: WalkForward(max_train=timedelta(0)), r"max_train: a window is longer than nothing"),
    "no rows in window": (lambda: WalkForward(max_train=0), r"max_train: a whole number from 1 on"),
    "no rows in training": (lambda: WalkForward(min_train=0), r"min_train: a whole number from 1 on"),
    "too few rows": (lambda: _split(WalkForward(10), ten), r"10 rows are too few.*at least 11 rows"),
    "fewer than groups": (lambda: _split(CombinatorialPurged(11, 1), ten), r"10 rows are too few. At least 11"),
    "never so many": (lambda: _split(WalkForward(2, min_train=10), ten), r"10 rows are too few"),
    "nothing": (lambda: _split(WalkForward(2)), r"there is nothing to split. Give X"),
    "other length": (
        lambda: _split(WalkForward(2, start_times=[1, 2]), ten),
        r"X has 10 rows: there are 2 start times. Give the times of these rows",
    ),
    "ends of other length": (
        lambda: _split(WalkForward(2, start_times=range(10), end_times=range(9)), ten),
        r"every row has one begin and one end \(got \(10, 9\)\)",
    ),
    "ends alone": (lambda: _split(WalkForward(2, end_times=range(10)), ten), r"end_times without start_times"),
    "backwards": (
        lambda: _split(WalkForward(2, start_times=range(10), end_times=[*range(9), 3]), ten),
        r"1 of 10 labels end before they begin, the first in row 9",
    ),
    "NaT": (
        lambda: _split(WalkForward(2, start_times=pd.Series([pd.Timestamp("2024"), pd.NaT]))),
        r"start times: 1 of 2 times are missing or no finite number, the first in row 1. Leave out rows",
    ),
    "None": (
        lambda: _split(WalkForward(2, start_times=[T0, T0], end_times=[None, T0])),
        r"end times: 1 of 2 times are missing .* row 0",
    ),
    "nan": (lambda: _split(WalkForward(2, start_times=[1.0, math.nan])), r"1 of 2 times are missing or no finite"),
    "endless": (lambda: _split(WalkForward(2, start_times=[1.0, math.inf])), r"1 of 2 times are missing or no finite"),
    "text": (lambda: _split(WalkForward(2, start_times=["a", "b"])), r"neither times nor numbers \(got String\)"),
    "mixed": (lambda: _split(WalkForward(2, start_times=[1, T0])), r"these are neither times nor numbers"),
    "no sequence": (lambda: _split(WalkForward(2, start_times=5)), r"these are neither times nor numbers"),
    "table": (lambda: _split(WalkForward(2, start_times=ten)), r"these are neither times nor numbers"),
    "dates and numbers": (
        lambda: _split(WalkForward(2, start_times=[1, 2], end_times=[date(2024, 1, 1)] * 2)),
        r"one of start and end times is of dates, the other of numbers",
    ),
    "time among numbers": (
        lambda: _split(CombinatorialPurged(5, 2, DAY), ten),
        r"embargo: a length of time needs times with dates .* Give a number of rows",
    ),
    "half a frame": (
        lambda: _split(WalkForward(2), pl.DataFrame({"decision_time": [T0] * 10})),
        r"X has decision_time alone. Give decision_time and label_time",
    ),
    "nothing left, walking": (
        lambda: _split(WalkForward(2, start_times=range(9), end_times=[9] * 9)),
        r"WalkForward, test block 0: every row before the block has a label that reaches into it",
    ),
    "nothing left": (
        lambda: _split(CombinatorialPurged(3, 1, start_times=range(9), end_times=[9] * 9)),
        r"CombinatorialPurged, test groups \(0,\): every training row overlaps",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_refused_in_one_clear_sentence(case) -> None:
    work, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        work()


# --- as others do it


@pytest.mark.parametrize(("splits", "gap", "window"), [(3, 0, None), (5, 4, None), (4, 0, 7), (4, 3, 6), (2, 2, None)])
@pytest.mark.parametrize("rows", [40, 61])
def test_where_no_labels_overlap_walk_forward_is_scikit_learns_time_series_split(splits, gap, window, rows) -> None:
    x = np.zeros((rows, 2))
    theirs = TimeSeriesSplit(splits, gap=gap, max_train_size=window).split(x)
    ours = WalkForward(splits, max_train=window, embargo=gap).split(x)
    for mine, other in zip(ours, theirs, strict=True):
        assert [p.tolist() for p in mine] == [p.tolist() for p in other]


def _labelled(seed: int) -> tuple[pd.Series, pd.Series]:
    rng = np.random.default_rng(seed)
    starts = pd.Timestamp("2024") + pd.to_timedelta(np.sort(rng.integers(0, 5000, 120)), unit="min")
    return pd.Series(starts), pd.Series(starts + pd.to_timedelta(rng.integers(0, 200, 120), unit="min"))


def _zoned(*times: pd.Series) -> list[pd.Series]:
    """The times as ours takes them; timeseriescv takes none that have a zone."""
    return [each.dt.tz_localize("UTC") for each in times]


def _theirs(tests: int, starts: pd.Series, ends: pd.Series, embargo: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """timeseriescv's splits in the order of ours; it begins with the last."""
    theirs = CombPurgedKFoldCV(6, tests, pd.Timedelta(minutes=embargo))
    x = pd.DataFrame({"x": np.zeros(len(starts))})
    return list(theirs.split(x, pred_times=starts, eval_times=ends))[::-1]


@pytest.mark.parametrize("embargo", [0, 90])
@pytest.mark.parametrize("seed", range(4))
def test_with_one_test_block_combinatorial_is_that_of_timeseriescv(seed, embargo) -> None:
    starts, ends = _labelled(seed)
    ours = CombinatorialPurged(6, 1, timedelta(minutes=embargo), *_zoned(starts, ends)).split()
    for mine, other in zip(ours, _theirs(1, starts, ends, embargo), strict=True):
        assert mine[1].tolist() == other[1].tolist()
        assert mine[0].tolist() == other[0].tolist()


def test_with_several_test_blocks_timeseriescv_differs_only_by_the_block_whose_end_it_takes() -> None:
    """It looks up a block's last end among the first rows of *all* test blocks (`test_indices[:test_fold_end]`).

    So an early block may get the end of a late one, and training rows between them, which touch neither, are lost. And
    where that end with the embargo is past the last row, it drops the embargo, and rows that overlap stay.
    """
    starts, ends = _labelled(1)
    ours = list(CombinatorialPurged(6, 2, timedelta(minutes=90), *_zoned(starts, ends)).split())
    equal, lost, leaked = 0, 0, 0
    begun, over = starts.to_numpy(), ends.to_numpy()
    for mine, other in zip(ours, _theirs(2, starts, ends, 90), strict=True):
        assert mine[1].tolist() == other[1].tolist()
        equal += mine[0].tolist() == other[0].tolist()
        lost += len(np.setdiff1d(mine[0], other[0]))
        for row in np.setdiff1d(other[0], mine[0]):  # each touches a test label, or the embargo after one
            reach = over[mine[1]] + np.timedelta64(90, "m")
            assert ((begun[row] <= reach) & (over[row] >= begun[mine[1]])).any()
            leaked += 1
    assert equal >= 8
    assert (lost, leaked) != (0, 0)


@pytest.mark.parametrize(("purged", "embargo"), [(0, 0), (3, 0), (3, 4)])
def test_with_labels_of_so_many_bars_combinatorial_is_that_of_skfolio(purged, embargo) -> None:
    selection = pytest.importorskip("skfolio.model_selection", reason="skfolio is not installed")
    theirs = selection.CombinatorialPurgedCV(n_folds=6, n_test_folds=2, purged_size=purged, embargo_size=embargo)
    rows = np.arange(120)  # skfolio purges by rows: as labels of so many bars do
    ours = CombinatorialPurged(6, 2, embargo, start_times=rows, end_times=rows + purged)
    for mine, other in zip(ours.split(), theirs.split(np.zeros((120, 1))), strict=True):
        assert mine[0].tolist() == other[0].tolist()
        assert mine[1].tolist() == np.concatenate(other[1]).tolist()
    assert ours.paths().T.tolist() == theirs.recombined_paths.tolist()


# --- inside scikit-learn


def _planted(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(rows, 2))
    return x, (x[:, 0] + rng.normal(size=rows) > 0).astype(int), np.arange(rows)


@pytest.mark.parametrize("splitter", [WalkForward(4), CombinatorialPurged(5, 2)])
def test_scikit_learn_cross_validates_and_searches_with_it(splitter) -> None:
    x, y, times = _planted(400)
    splitter = type(splitter)(**{**splitter.get_params(), "start_times": times, "end_times": times + 5})
    scores = cross_val_score(LogisticRegression(), x, y, cv=splitter)
    by_hand = [LogisticRegression().fit(x[a], y[a]).score(x[b], y[b]) for a, b in splitter.split(x)]
    assert scores.tolist() == by_hand
    search = clone(GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=splitter)).fit(x, y)
    assert search.n_splits_ == splitter.get_n_splits(x, y)
    assert search.get_params()["cv__embargo"] == 0


def test_a_polars_frame_with_its_times_goes_through_cross_val_score() -> None:
    x, y, times = _planted(100)
    frame = pl.DataFrame(x).with_columns(decision_time=pl.Series(times), label_time=pl.Series(times + 5))
    assert len(cross_val_score(DummyClassifier(), frame, y, cv=WalkForward(4))) == 4


def test_it_shows_its_arguments_and_gives_them_back() -> None:
    times = np.arange(1_000_000)
    splitter = WalkForward(4, embargo=DAY, start_times=times)
    assert (
        repr(splitter) == "WalkForward(n_splits=4, embargo=datetime.timedelta(days=1), start_times=<1,000,000 times>)"
    )
    assert splitter.get_params()["start_times"] is times
    assert repr(type(splitter)(**splitter.get_params())) == repr(splitter)


def test_it_is_a_public_name_that_costs_no_scikit_learn() -> None:
    assert lake.splits.WalkForward is WalkForward
    assert importlib.import_module("lake.splits").CombinatorialPurged is CombinatorialPurged
    code = "import sys; from lake import splits; print({'sklearn', 'scipy', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
