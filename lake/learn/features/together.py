"""Two feature sets computed in one pass over the bars, so that what they share is computed once."""

from __future__ import annotations

from lake.learn.features.base import FeatureSet, Step, definition
from lake.learn.features.rowwise import is_rowwise


def together(first: FeatureSet, second: FeatureSet) -> FeatureSet | None:
    """A set with the features of both; None where that could change a bit of either's values.

    Args:
        first: any set.
        second: a set of candles alone, whose values depend on their look-backs and nothing else.

    >>> import polars as pl
    >>> from lake.learn.features.base import Feature
    >>> bodies = FeatureSet("bodies", 1, (Feature("body", pl.col("close") - pl.col("open"), 0),))
    >>> ranges = FeatureSet("ranges", 1, (Feature("range", pl.col("high") - pl.col("low"), 0),))
    >>> together(bodies, ranges).names
    ('body', 'range')
    >>> together(bodies, bodies) is None
    True
    """
    rules = {(s.missing, s.stale) for s in (first, second)}
    shared = {*first.names, *first.metrics} & set(second.names)
    if len(rules) > 1 or shared or not (_reaches(first, second) and _agree(first, second)):
        return None
    known = {s.name for s in first.steps}
    return FeatureSet(
        f"{first.name}_{second.name}",
        f"{first.version}_{second.version}",
        (*first.features, *second.features),
        first.timeframe,
        (*first.steps, *(s for s in second.steps if s.name not in known)),
        missing=first.missing,
        metric_age=first.metric_age,
        stale=first.stale,
    )


def _reaches(first: FeatureSet, second: FeatureSet) -> bool:
    """Whether the first set's values stay the same when the bars that the second needs are there, too."""
    if first.lookback >= second.lookback:
        return True
    expressions = [f.expr for f in first.features] + [s.expr for s in first.steps if isinstance(s, Step)]
    return all(is_rowwise(expr) for expr in expressions)


def _agree(first: FeatureSet, second: FeatureSet) -> bool:
    """Whether steps of one name are the same step."""
    known = {s.name: s for s in first.steps}
    return all(definition(s) == definition(known[s.name]) for s in second.steps if s.name in known)
