"""Cross-validation for rows whose labels take time: walk-forward, and combinatorial with purging and embargo.

Both are scikit-learn splitters: `cross_val_score(model, x, y, cv=splits.WalkForward(5, ...))`.

A row begins at its decision and ends when its label was over. A training row is *purged* when its interval touches
that of a test block, ends included: from the first decision of the block to the last end of its labels. An *embargo*
keeps further rows away, since neighbours are alike even where their labels do not overlap. López de Prado, Advances in
Financial Machine Learning (2018), chapters 7 and 12.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import timedelta
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from lake.errors import UsageError
from lake.learn.label_times import Array, LabelTimes, label_times

__all__ = ["CombinatorialPurged", "WalkForward"]

Rows = npt.NDArray[np.int64]
_WHOLE = (int, np.integer)
START, END = "decision_time", "label_time"


@dataclass(frozen=True, eq=False, repr=False)
class _Splitter:
    """What both share: where the times come from, and how they show themselves."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 (scikit-learn's words)
        """The constructor's arguments, as scikit-learn asks for them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __repr__(self) -> str:
        shown = (f"{name}={_short(value)}" for name, value in self.get_params().items() if value is not None)
        return f"{type(self).__name__}({', '.join(shown)})"

    def _times(self, x: Any, y: Any) -> tuple[LabelTimes, Rows]:
        """The rows' times in order of their starts, and which row each is."""
        start_times, end_times = getattr(self, "start_times", None), getattr(self, "end_times", None)
        count = _count(x, y)
        if start_times is None and end_times is not None:
            raise UsageError("end_times without start_times", where=type(self).__name__, todo="Give both.")
        if start_times is None:
            start_times, end_times = _columns(x)
        if start_times is None:
            if count is None:
                raise UsageError("there is nothing to split", where=type(self).__name__, todo="Give X.")
            start_times = np.arange(count)
        times = label_times(start_times, end_times)
        if count is not None and count != len(times):
            raise UsageError(
                f"there are {len(times)} start times", where=f"X has {count} rows", todo="Give the times of these rows."
            )
        order = np.argsort(times.starts, kind="stable")
        return LabelTimes(times.starts[order], times.ends[order], times.dated), order


@dataclass(frozen=True, eq=False, repr=False)
class WalkForward(_Splitter):
    """Train on the past, test on what came next, then move on.

    The last rows make ``n_splits`` test blocks of equal size, in order of time; each is tested once, by a model that
    knows only labels that were over before the block began. Where no labels overlap this is scikit-learn's
    `TimeSeriesSplit`, with `gap` for embargo and `max_train_size` for max_train.

    Args:
        n_splits: how many test blocks.
        max_train: a rolling window: so many newest training rows, or those that began no longer than this timedelta
            before the test block; None lets the window grow.
        min_train: the first block begins as early as this many training rows remain after purging; None makes the
            part before the first block as large as a block, like scikit-learn.
        embargo: what to keep free before a test block: a timedelta, a number of rows (the time they take) or a
            fraction of all rows (a float below 1).
        start_times: when each row was decided: datetimes or numbers, in the rows' order, which need not be that of
            time. Left out they are read from X's columns decision_time and label_time, or else row follows row.
        end_times: when each row's label was over; left out it ends where it begins.

    Raises:
        UsageError: by the constructor, a number out of range; by `split`, too few rows, missing times, labels that
            end before they begin, or nothing left to train on.

    >>> splitter = WalkForward(2, start_times=[0, 1, 2, 3, 4, 5], end_times=[1, 2, 3, 4, 5, 6])
    >>> [(train.tolist(), test.tolist()) for train, test in splitter.split()]
    [([0], [2, 3]), ([0, 1, 2], [4, 5])]
    """

    n_splits: int = 5
    max_train: int | timedelta | None = None
    min_train: int | None = None
    embargo: int | float | timedelta = 0
    start_times: Any = None
    end_times: Any = None

    def __post_init__(self) -> None:
        _check_count(self.n_splits, "n_splits", 1)
        _check_embargo(self.embargo)
        if self.min_train is not None:
            _check_count(self.min_train, "min_train", 1)
        if isinstance(self.max_train, timedelta):
            if self.max_train <= timedelta(0):
                raise UsageError("a window is longer than nothing", where="max_train", value=self.max_train)
        elif self.max_train is not None:
            _check_count(self.max_train, "max_train", 1)

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002, N803
        """How many pairs `split` gives."""
        return int(self.n_splits)

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:  # noqa: ARG002, N803
        """Pairs of training rows and test rows: positions in X, in order of time."""
        times, order = self._times(X, y)
        cutoffs = self._cutoffs(times)
        first, size = self._blocks(times, cutoffs)
        for number in range(int(self.n_splits)):
            begin = first + number * size
            train = self._train(times, begin, cutoffs[begin])
            if not len(train):
                raise UsageError(
                    "every row before the block has a label that reaches into it, or is within the embargo",
                    where=f"WalkForward, test block {number}",
                    todo="Give min_train, fewer splits or more rows.",
                )
            yield order[train], order[begin : begin + size]

    def _cutoffs(self, times: LabelTimes) -> Array:
        """Per position: when labels must be over for a block that begins there; the least of all times is for never."""
        if isinstance(self.embargo, timedelta):
            return times.starts - times.span(self.embargo, "embargo")
        rows = min(_rows(self.embargo, len(times)), len(times))
        return np.concatenate([np.full(rows, times.starts.min(initial=0)), times.starts[: len(times) - rows]])

    def _blocks(self, times: LabelTimes, cutoffs: Array) -> tuple[int, int]:
        """Where the first test block begins, and the size of all."""
        count, splits = len(times), int(self.n_splits)
        size = count // (splits + 1)
        if self.min_train is not None:
            ready = np.searchsorted(np.sort(times.ends), cutoffs) >= self.min_train
            size = (count - int(np.argmax(ready))) // splits if ready.any() else 0
        if size < 1:
            raise UsageError(
                f"{count} rows are too few",
                where=f"{self!r}",
                todo=f"{splits} test blocks and a training set before them need at least {splits + 1} rows, "
                "and min_train of them with labels that were over before the first block.",
            )
        return count - splits * size, size

    def _train(self, times: LabelTimes, begin: int, cutoff: Any) -> Rows:
        train = np.flatnonzero(times.ends[:begin] < cutoff)
        if isinstance(self.max_train, timedelta):
            oldest = times.starts[begin] - times.span(self.max_train, "max_train")
            return train[np.searchsorted(times.starts[train], oldest) :]
        newest = len(train) if self.max_train is None else int(self.max_train)
        return train[-newest:]


@dataclass(frozen=True, eq=False, repr=False)
class CombinatorialPurged(_Splitter):
    """Every choice of ``n_test_groups`` out of ``n_groups`` stretches of time is tested once, the others train.

    Test groups that lie side by side are one block. Training rows may come after a block: those that begin before the
    block's labels were over, or within the embargo after that, are left out like those whose labels reach into it.

    Args:
        n_groups: stretches of equal numbers of rows, in order of time.
        n_test_groups: how many of them are tested at a time.
        embargo: what to keep free after a block's last label was over: a timedelta, a number of rows or a fraction of
            all rows (a float below 1).
        start_times: as for `WalkForward`.
        end_times: as for `WalkForward`.

    Raises:
        UsageError: as `WalkForward`.

    >>> splitter = CombinatorialPurged(4, 2)
    >>> splitter.get_n_splits(), splitter.paths().shape
    (6, (3, 4))
    >>> train, test = next(splitter.split(range(8)))
    >>> train.tolist(), test.tolist()
    ([4, 5, 6, 7], [0, 1, 2, 3])
    """

    n_groups: int = 10
    n_test_groups: int = 2
    embargo: int | float | timedelta = 0
    start_times: Any = None
    end_times: Any = None

    def __post_init__(self) -> None:
        _check_count(self.n_groups, "n_groups", 2)
        _check_count(self.n_test_groups, "n_test_groups", 1)
        _check_embargo(self.embargo)
        if self.n_test_groups >= self.n_groups:
            raise UsageError(
                "some groups are left to train on", where="n_test_groups", value=self.n_test_groups,
                todo=f"At most {self.n_groups - 1}.",
            )  # fmt: skip

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:  # noqa: ARG002, N803
        """How many pairs `split` gives: n_groups choose n_test_groups."""
        return math.comb(int(self.n_groups), int(self.n_test_groups))

    def split(self, X: Any = None, y: Any = None, groups: Any = None) -> Iterator[tuple[Rows, Rows]]:  # noqa: ARG002, N803
        """Pairs of training rows and test rows: positions in X, in order of time."""
        times, order = self._times(X, y)
        bounds = self._bounds(len(times))
        for chosen in self._choices():
            free = np.ones(len(times), dtype=bool)
            for begin, stop in _merged(chosen, bounds):
                self._close(free, times, begin, stop)
            if not free.any():
                raise UsageError(
                    "every training row overlaps a test block or is within its embargo",
                    where=f"CombinatorialPurged, test groups {chosen}",
                    todo="Give fewer test groups, a shorter embargo or more rows.",
                )
            test = np.concatenate([np.arange(bounds[group], bounds[group + 1]) for group in chosen])
            yield order[np.flatnonzero(free)], order[test]

    def paths(self) -> Rows:
        """The back-test paths: an array (paths, groups) of the number of the split that tests the group on the path.

        Every path goes once through all groups, and each split's test of a group is on one path:
        n_test_groups / n_groups * splits paths.
        """
        tested = np.zeros((self.get_n_splits(), int(self.n_groups)), dtype=bool)
        for number, chosen in enumerate(self._choices()):
            tested[number, list(chosen)] = True
        return np.stack([np.flatnonzero(tested[:, group]) for group in range(int(self.n_groups))], axis=1)

    def group_of_rows(self, X: Any = None, y: Any = None) -> Rows:  # noqa: N803
        """The group of each row: its prediction on path p is that of split ``paths()[p, group]``."""
        times, order = self._times(X, y)
        found = np.empty(len(times), dtype=np.int64)
        found[order] = np.repeat(np.arange(int(self.n_groups)), np.diff(self._bounds(len(times))))
        return found

    def _choices(self) -> Iterator[tuple[int, ...]]:
        return combinations(range(int(self.n_groups)), int(self.n_test_groups))

    def _bounds(self, count: int) -> Rows:
        """Where each group begins, and the end; the first ones are a row larger where they cannot be equal."""
        groups = int(self.n_groups)
        if count < groups:
            raise UsageError(f"{count} rows are too few", where=f"{self!r}", todo=f"At least {groups} are needed.")
        size, more = divmod(count, groups)
        numbers = np.arange(groups + 1)
        return numbers * size + np.minimum(numbers, more)

    def _close(self, free: npt.NDArray[np.bool_], times: LabelTimes, begin: int, stop: int) -> None:
        """Take a test block, what overlaps it and its embargo out of the free rows."""
        free[:begin] &= times.ends[:begin] < times.starts[begin]
        over = times.ends[begin:stop].max()
        rows = 0
        if isinstance(self.embargo, timedelta):
            over += times.span(self.embargo, "embargo")
        else:
            rows = _rows(self.embargo, len(times))
        free[begin : max(stop, int(np.searchsorted(times.starts, over, side="right"))) + rows] = False


def _merged(chosen: tuple[int, ...], bounds: Rows) -> Iterator[tuple[int, int]]:
    """Begin and end of the blocks that the groups make; neighbours are one."""
    begin = 0
    for place, group in enumerate(chosen):
        if place == 0 or group != chosen[place - 1] + 1:
            begin = group
        if place + 1 == len(chosen) or chosen[place + 1] != group + 1:
            yield int(bounds[begin]), int(bounds[group + 1])


def _columns(x: Any) -> tuple[Any, Any]:
    """The times in a frame's own columns; None for what has none."""
    names = getattr(x, "columns", ())
    held = [name for name in (START, END) if name in list(names)]
    if len(held) == 1:
        raise UsageError(
            f"X has {held[0]} alone", where="splits", todo=f"Give {START} and {END}, or start_times and end_times."
        )
    return (x[START], x[END]) if held else (None, None)


def _count(x: Any, y: Any) -> int | None:
    for given in (x, y):
        if given is not None:
            return int(given.shape[0]) if hasattr(given, "shape") else len(given)
    return None


def _rows(embargo: float, count: int) -> int:
    return int(embargo) if isinstance(embargo, _WHOLE) else int(embargo * count)


def _short(value: Any) -> str:
    sized = hasattr(value, "__len__") and not isinstance(value, str)
    return f"<{len(value):,} times>" if sized else repr(value)


def _check_count(value: Any, where: str, least: int) -> None:
    if not isinstance(value, _WHOLE) or isinstance(value, bool) or value < least:
        raise UsageError(f"a whole number from {least} on is needed", where=where, value=value)


def _check_embargo(value: Any) -> None:
    if isinstance(value, timedelta):
        good = value >= timedelta(0)
    elif isinstance(value, _WHOLE):
        good = bool(value >= 0) and not isinstance(value, bool)
    else:
        good = isinstance(value, float) and bool(0 <= value < 1)
    if not good:
        raise UsageError(
            "an embargo is a timedelta, a number of rows, or a fraction of them below 1", where="embargo", value=value
        )
