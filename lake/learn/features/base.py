"""What a feature is: a Polars expression over the bars of one series, with how far back it looks.

A value belongs to the close of its bar (``known_at``). It is null where its look-back is not held: in the first bars
of a series, and where too many bars are missing.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

import polars as pl

from lake.errors import UsageError
from lake.learn.features.literals import check_literals
from lake.spec import registry, timeframes

PRICES = ("open", "high", "low", "close")
#: Columns of a bar that expressions may use; known_at is the bar's close.
BAR_COLUMNS = (
    *(c.name for c in registry.get("candles").columns if c.name not in {"venue", "symbol", "timeframe"}),
    "known_at",
)
FUNCTIONS = ("lag", "sum", "deviation", "exponential", "highest", "lowest")
_METRICS = "market_metrics:"
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.IGNORECASE)
_TAKEN = frozenset(
    {*BAR_COLUMNS, "venue", "symbol", "timeframe", "period", "id", "kind", "bot_id", "strategy", "side", "regime"}
    | {"decision_time"}
)
_TAKEN_PREFIXES = ("label_", "weight_", "flag_")


@dataclass(frozen=True, eq=False)  # two expressions compared are a third one
class Step:
    """An intermediate column that several features share.

    Attributes:
        name: begins with ``_``.
        expr: over the columns of a bar and steps.
    """

    name: str
    expr: pl.Expr

    def __post_init__(self) -> None:
        if not self.name.startswith("_"):
            raise UsageError("the name of a step begins with _", where="features", value=self.name)
        _check_expression(self.name, self.expr)


@dataclass(frozen=True)
class Window:
    """A step computed from the last ``bars`` values of a column by :mod:`lake.kernels.windows`.

    Attributes:
        name: begins with ``_``.
        over: a column of a bar, or a step.
        function: lag, sum, deviation, exponential, highest or lowest.
        bars: length of the window; how far back the value lies for a lag.
        parameter: alpha of an exponential mean; degrees of freedom of a deviation.
    """

    name: str
    over: str
    function: str
    bars: int
    parameter: float = 0.0

    def __post_init__(self) -> None:
        if not self.name.startswith("_"):
            raise UsageError("the name of a step begins with _", where="features", value=self.name)
        where = f"step {self.name}"
        if self.function not in FUNCTIONS:
            raise UsageError(f"a window is one of {', '.join(FUNCTIONS)}", where=where, value=self.function)
        least = 1 + int(self.parameter) if self.function == "deviation" else 1
        if not _is_count(self.bars) or self.bars < least:
            raise UsageError(f"a window of this kind has {least} bars or more", where=where, value=self.bars)
        if self.function == "exponential" and not 0.0 < self.parameter < 1.0:
            raise UsageError("alpha lies between 0 and 1", where=where, value=self.parameter)


@dataclass(frozen=True, eq=False)
class Feature:
    """One declared feature.

    Attributes:
        name: its column.
        expr: over the columns of a bar (:data:`BAR_COLUMNS`), the set's steps and, with ``source``, the metric.
        lookback: how many bars before its own may change its value; 0 is the bar alone.
        source: ``candles``, or ``market_metrics:<metric>``: then the metric's newest value that was known at the
            bar's close is a column of the metric's name.
        dtype: type of the column.

    Raises:
        UsageError: a name that is taken or no name, a negative look-back, an expression that is none.

    >>> Feature("body", pl.col("close") - pl.col("open"), lookback=0).source
    'candles'
    """

    name: str
    expr: pl.Expr
    lookback: int
    source: str = "candles"
    dtype: Any = pl.Float64

    def __post_init__(self) -> None:
        where = f"feature {self.name}"
        if not _is_name(self.name):
            raise UsageError("a feature's name is letters, digits and _", where="features", value=self.name)
        if self.name in _TAKEN or self.name.startswith(_TAKEN_PREFIXES):
            raise UsageError("a column of candles or data sets has this name", where=where, todo="Call it otherwise.")
        if not _is_count(self.lookback):
            raise UsageError("a look-back is a number of bars, 0 or more", where=where, value=self.lookback)
        metric = self.source.removeprefix(_METRICS)
        if self.source != "candles" and (metric == self.source or not _NAME.fullmatch(metric) or metric in _TAKEN):
            raise UsageError("a source is 'candles' or 'market_metrics:<metric>'", where=where, value=self.source)
        _check_expression(self.name, self.expr)

    @property
    def metric(self) -> str | None:
        """The market metric it needs; None for candles alone."""
        return None if self.source == "candles" else self.source.removeprefix(_METRICS)


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Features that are computed, stored and versioned together.

    Attributes:
        name: by which it is found.
        version: to be raised when its meaning changes; the fingerprint notices a change of expressions anyway.
        features: in the order of their columns.
        timeframe: of the bars it is meant for; None for any.
        steps: intermediate columns.
        missing: share of a look-back that may be missing bars. Features go by rows, as those of every TA library do;
            0.05 lets twenty rows span twenty-one bars of time, more gives null. ``inf`` never minds.
        metric_age: a market metric older than this counts as unknown.
        stale: a bar that closed more than so many bars before a decision says nothing about it.

    Raises:
        UsageError: two features of one name, an expression over unknown columns, and the like.

    >>> feature_set = FeatureSet("mine", 1, (Feature("change", pl.col("close") / pl.col("close").shift(5) - 1, 5),))
    >>> feature_set.schema, feature_set.lookback
    ({'change': 'Float64'}, 5)
    """

    name: str
    version: int | str
    features: tuple[Feature, ...]
    timeframe: str | None = None
    steps: tuple[Step | Window, ...] = field(default=(), repr=False)
    missing: float = 0.05
    metric_age: timedelta = timedelta(days=7)
    stale: int = 10

    def __post_init__(self) -> None:
        where = f"feature set {self.name}"
        if not _is_name(self.name):
            raise UsageError("a set's name is letters, digits and _", where="features", value=self.name)
        if not re.fullmatch(r"[A-Za-z0-9_.]+", str(self.version)):
            raise UsageError("a version is a number or a short word", where=where, value=self.version)
        if not self.features or not all(isinstance(f, Feature) for f in self.features):
            raise UsageError("a feature set is a tuple of features", where=where, value=self.features)
        if self.timeframe is not None:
            object.__setattr__(self, "timeframe", timeframes.parse(self.timeframe))
        age: Any = self.metric_age
        is_age = isinstance(age, timedelta) and age > timedelta(0)
        if not self.missing >= 0 or not is_age or not _is_count(self.stale):
            rules = self.missing, self.metric_age, self.stale
            told = "missing and stale are 0 or more, metric_age is a timedelta above 0"
            raise UsageError(told, where=where, value=rules)
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "steps", tuple(self.steps))
        _check_names(where, [f.name for f in self.features] + [s.name for s in self.steps])
        _check_columns(self, where)

    @cached_property
    def schema(self) -> dict[str, str]:
        """Column -> name of its Polars type."""
        return {f.name: str(pl.Series([], dtype=f.dtype).dtype) for f in self.features}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in their order."""
        return tuple(f.name for f in self.features)

    @property
    def lookback(self) -> int:
        """The longest look-back of its features, in bars."""
        return max(f.lookback for f in self.features)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The market metrics that it needs, ascending."""
        return tuple(sorted({f.metric for f in self.features if f.metric is not None}))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all that its values depend on: expressions, look-backs, types, version, rules for missing bars."""
        content = {
            "name": self.name,
            "version": str(self.version),
            "timeframe": self.timeframe,
            "missing": str(float(self.missing)),
            "metric_age": self.metric_age.total_seconds(),
            "stale": self.stale,
            "steps": [definition(s) for s in self.steps],
            "features": [(f.name, _text(f.expr), f.lookback, f.source, self.schema[f.name]) for f in self.features],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FeatureSet) and other.fingerprint == self.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def reach(self, step: int) -> int | None:
        """How far before a bar rows may lie that its features need, in microseconds; None for all there are."""
        if self.missing == float("inf"):
            return None
        return allowed(self.lookback, self.missing) * step


def allowed(lookback: int, missing: float) -> int:
    """Bars of time that so many rows may span."""
    return lookback + int(lookback * missing)


def definition(step: Step | Window) -> list[Any]:
    """All that a step's values depend on, beside the columns that it uses."""
    if isinstance(step, Step):
        return [step.name, _text(step.expr)]
    return [step.name, step.over, step.function, step.bars, step.parameter]


def uses(step: Step | Window) -> list[str]:
    """The columns that a step is made of."""
    return step.expr.meta.root_names() if isinstance(step, Step) else [step.over]


def _is_name(given: Any) -> bool:
    return isinstance(given, str) and _NAME.fullmatch(given) is not None


def _is_count(given: Any) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= 0


def _text(expr: pl.Expr) -> str:
    return expr.meta.serialize(format="json")


def _check_expression(name: str, expr: pl.Expr) -> None:
    if not isinstance(expr, pl.Expr):
        raise UsageError("a feature is a Polars expression", where=f"feature {name}", value=expr)
    if "AnonymousFunction" in _text(expr):
        raise UsageError(
            "an expression with a Python function in it cannot be told from a changed one",
            where=f"feature {name}",
            todo="Write it in Polars' own expressions.",
        )
    check_literals(f"feature {name}", expr)


def _check_names(where: str, names: list[str]) -> None:
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise UsageError("names are given twice", where=where, value=twice)


def _check_columns(feature_set: FeatureSet, where: str) -> None:
    """Every expression uses bars, earlier steps and its own metric."""
    known = {*BAR_COLUMNS}
    for step in feature_set.steps:
        _check_roots(f"{where}, step {step.name}", uses(step), known | set(feature_set.metrics))
        known.add(step.name)
    for feature in feature_set.features:
        _check_roots(f"{where}, feature {feature.name}", feature.expr.meta.root_names(), known | {feature.metric})


def _check_roots(where: str, roots: list[str], known: set[Any]) -> None:
    unknown = sorted(set(roots) - known)
    if unknown:
        raise UsageError(
            "the expression uses columns that a bar does not have",
            where=where,
            value=unknown,
            todo=f"There are {', '.join(BAR_COLUMNS)}; a market metric is named by source.",
        )
