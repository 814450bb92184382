"""A feature set made ready to be computed: its steps in layers, its look-backs as conditions on rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.errors import UsageError
from lake.kernels import runs, windows
from lake.learn.features.base import BAR_COLUMNS, Feature, FeatureSet, Step, Window, allowed, uses
from lake.learn.features.evaluating import selected, with_columns
from lake.learn.features.rowwise import is_rowwise
from lake.spec.timeframes import Timeframe

Rows = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Plan:
    """How the features of one set are computed on bars of one timeframe.

    Attributes:
        feature_set: what is computed.
        timeframe: of the bars.
        columns: of the bars that the expressions need.
        layers: steps that do not need one another, then those that need these, and so on.
        early: features that look at other rows themselves, so that they are asked of all.
        late: the others, which are asked only of the rows wanted.
        shared: columns that steps and early features use.
        whole: windows that are needed of all rows: for steps, for other windows, for early features.
        local: whether a row's features have the same bits wherever the bars given begin and end around its look-back.
    """

    feature_set: FeatureSet
    timeframe: Timeframe
    columns: tuple[str, ...]
    layers: tuple[tuple[Step | Window, ...], ...]
    early: tuple[Feature, ...]
    late: tuple[Feature, ...]
    shared: frozenset[str]
    whole: frozenset[str]
    local: bool

    def gathered(self, bars: pl.DataFrame, wanted: Rows) -> pl.DataFrame:
        """What the features of the rows wanted are made of, and whether these rows have their look-backs.

        Args:
            bars: one series in order of time: open_time, known_at, the columns needed and the metrics; with the rows
                that those wanted look back at.
            wanted: positions of rows, ascending; some may be there more than once.
        """
        times = runs.micros(bars)
        found, made = self._stepped(_even(bars), wanted)
        if self.early:
            found = with_columns(found, ((f.name, f.expr) for f in self.early), self._where)
        columns = [pl.Series(n, made[n]) for n in sorted(self._asked & made.keys())]
        gaps = len(times) > 1 and bool((np.diff(times) != self.timeframe.micros).any())
        columns += [pl.Series(_held_name(n), self._held(times, wanted, n, gaps=gaps)) for n in self.lookbacks]
        others = pl.DataFrame([found.get_column(n) for n in sorted(self._asked - made.keys())])
        return _taken(others, wanted).hstack(columns)

    def finished(self, gathered: pl.DataFrame) -> pl.DataFrame:
        """The features of such rows, of one block or several; null where their look-back is not held."""
        found = with_columns(_even(gathered), ((f.name, f.expr) for f in self.late), self._where)
        types = found.schema
        columns = ((f.name, _checked(f, types[f.name])) for f in self.feature_set.features)
        return selected(found, columns, self._where).head(gathered.height)

    @property
    def _where(self) -> str:
        return f"feature set {self.feature_set.name}"

    @cached_property
    def lookbacks(self) -> list[int]:
        """The different look-backs of the features, in bars."""
        return sorted({f.lookback for f in self.feature_set.features})

    @cached_property
    def _asked(self) -> frozenset[str]:
        """Columns that late features are made of, and the early features."""
        roots = {n for f in self.late for n in f.expr.meta.root_names()}
        return frozenset(roots | {"known_at"} | {f.name for f in self.early})

    def _stepped(self, bars: pl.DataFrame, wanted: Rows) -> tuple[pl.DataFrame, dict[str, windows.Floats]]:
        """The bars with the steps and the windows that expressions of all rows use; the windows of the rows wanted."""
        kept: dict[str, windows.Windows] = {}
        made: dict[str, windows.Floats] = {}
        whole: dict[str, windows.Floats] = {}
        for layer in self.layers:
            for window in layer:
                if isinstance(window, Window):
                    if window.over not in kept:
                        kept[window.over] = _windows(window.over, bars, whole)
                    if window.name in self.whole:
                        whole[window.name] = _window(window, kept[window.over], None)
                        made[window.name] = whole[window.name][wanted]
                    else:
                        made[window.name] = _window(window, kept[window.over], wanted)
            plain = [(s.name, s.expr) for s in layer if isinstance(s, Step)]
            shared = [pl.Series(w.name, whole[w.name]) for w in layer if w.name in self.shared and w.name in whole]
            bars = (with_columns(bars, plain, self._where) if plain else bars).hstack(shared)
        return bars, made

    def _held(self, times: runs.Integers, wanted: Rows, lookback: int, *, gaps: bool) -> npt.NDArray[np.bool_]:
        """Which rows have their look-back: so many rows before them, and not too much time between."""
        there = wanted >= lookback
        if not gaps or self.feature_set.missing == float("inf"):
            return there
        limit = allowed(lookback, self.feature_set.missing) * self.timeframe.micros
        return there & (times[wanted] - times[np.maximum(wanted - lookback, 0)] <= limit)


@lru_cache(maxsize=64)
def planned(feature_set: FeatureSet, timeframe: Timeframe) -> Plan:
    """The plan of a set for bars of a timeframe.

    Raises:
        UsageError: the set is meant for another timeframe.
    """
    if feature_set.timeframe not in {None, timeframe.name}:
        raise UsageError(
            f"the set is made for {feature_set.timeframe} candles",
            where=f"feature set {feature_set.name}",
            value=timeframe.name,
        )
    roots = {n for f in feature_set.features for n in f.expr.meta.root_names()}
    roots |= {n for step in feature_set.steps for n in uses(step)}
    columns = tuple(n for n in BAR_COLUMNS if n in roots and n not in {"open_time", "known_at"})
    late = tuple(f for f in feature_set.features if is_rowwise(f.expr))
    early = tuple(f for f in feature_set.features if f not in late)
    shared = [n for s in feature_set.steps if isinstance(s, Step) for n in uses(s)]
    shared += [n for f in early for n in f.expr.meta.root_names()]
    whole = frozenset([*shared, *(s.over for s in feature_set.steps if isinstance(s, Window))])
    layers = _layers(feature_set.steps)
    local = not early and all(is_rowwise(s.expr) for s in feature_set.steps if isinstance(s, Step))
    return Plan(feature_set, timeframe, columns, layers, early, late, frozenset(shared), whole, local)


def _layers(steps: Sequence[Step | Window]) -> tuple[tuple[Step | Window, ...], ...]:
    depth: dict[str, int] = {}
    for step in steps:  # each comes after those that it uses
        depth[step.name] = max((depth[n] + 1 for n in uses(step) if n in depth), default=0)
    count = max(depth.values(), default=-1) + 1
    return tuple(tuple(s for s in steps if depth[s.name] == level) for level in range(count))


def _windows(column: str, bars: pl.DataFrame, made: dict[str, windows.Floats]) -> windows.Windows:
    if column in made:
        return windows.Windows(made[column])
    values = bars.get_column(column).cast(pl.Float64)
    return windows.Windows((values.fill_null(np.nan) if values.null_count() else values).to_numpy())


def _window(window: Window, over: windows.Windows, at: Rows | None) -> windows.Floats:
    match window.function:
        case "lag":
            return over.lagged(window.bars, at)
        case "sum":
            return over.sums(window.bars, at)
        case "deviation":
            return over.deviations(window.bars, int(window.parameter), at)
        case "exponential":
            return over.exponential(window.bars, window.parameter, at)
        case "highest":
            return over.highest(window.bars, at)
        case _:
            return over.lowest(window.bars, at)


def _even(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in one piece of two rows or more, a row of nulls added to one alone.

    Polars divides a piece of one row otherwise than a longer one: by the last bit.
    """
    if rows.height > 1:
        return rows.rechunk()
    return rows[pl.Series([0, None], dtype=pl.get_index_type())] if rows.height else rows.clear(1)


def _taken(found: pl.DataFrame, wanted: Rows) -> pl.DataFrame:
    first, last = (int(wanted[0]), int(wanted[-1])) if len(wanted) else (0, -1)
    if last - first + 1 == len(wanted) and (np.diff(wanted) == 1).all():
        return found.slice(first, len(wanted))
    return found[wanted]


def _checked(feature: Feature, computed: pl.DataType) -> pl.Expr:
    value = pl.col(feature.name)
    held = pl.col(_held_name(feature.lookback))
    sound = (held, value.is_finite()) if computed.is_float() else (held,)  # 0 / 0 says nothing
    return pl.when(*sound).then(value).cast(feature.dtype).alias(feature.name)


def _held_name(lookback: int) -> str:
    return f"__held_{lookback}"
