"""The rows of a data set put together: who and when, features, label, weights, flags, regime."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.learn import flags as market_flags
from lake.learn import weights
from lake.learn.datasets.asof import Joined, join
from lake.learn.datasets.inputs import recorded_features
from lake.learn.datasets.labelled import with_labels
from lake.learn.datasets.pinned import Pinned
from lake.learn.datasets.planned import plan_features, strategy_feature
from lake.learn.datasets.request import Request
from lake.learn.datasets.sources import FLAG_INSIDE, IDENTITY, LABELS, must_have_rows, read_rows
from lake.learn.features import FeatureSet
from lake.spec import timeframes

_HALF_LIFE = timedelta(days=90)
_BARE = "no_candles"
_JOIN = ("venue", "symbol", "decision_time")


@dataclass(frozen=True)
class Assembled:
    """A data set's rows, and what its manifest tells of them.

    Attributes:
        frame: in order of decision_time and id.
        features: names of the feature columns.
        joined: how the computed ones were made.
        excluded: reason -> rows that were left out.
        notes: what is to be told of rows that are there -> how many.
    """

    frame: pl.DataFrame
    features: tuple[str, ...]
    joined: Joined
    excluded: dict[str, int]
    notes: dict[str, int]


def assemble(pinned: Pinned, request: Request, feature_set: FeatureSet | None) -> Assembled:
    """All rows that the request asks for.

    Raises:
        UsageError: no rows are there, or candles of several timeframes could be meant.
    """
    rows = with_labels(pinned, request, read_rows(pinned.engine, request))
    must_have_rows(rows, request)
    joined = Joined(feature_set, timeframe_of(pinned, request, feature_set, rows.frame))
    told = told_features(rows.frame, request)
    found = join(pinned, joined, rows.frame.select(_JOIN))
    computed = found.frame
    names = [n for n in joined.types if n not in {*market_flags.NAMES, "regime"}]
    check_joined(computed.select(names), rows.frame, joined, request)
    bare = {_BARE: found.without_candles} if names and found.without_candles else {}
    frame = pl.DataFrame(
        [
            *rows.frame.select(IDENTITY).get_columns(),
            *computed.select(names).get_columns(),
            *told.get_columns(),
            *rows.frame.select(LABELS).get_columns(),
            *_weights(rows.frame, request),
            *rows.frame.select(n for n in (FLAG_INSIDE,) if n in rows.frame.columns).get_columns(),
            *computed.select(*market_flags.NAMES, "regime").get_columns(),
        ]
    )
    return Assembled(frame, (*names, *told.columns), joined, rows.excluded, {**rows.notes, **bare})


def told_features(rows: pl.DataFrame, request: Request) -> pl.DataFrame:
    """The features that come with the rows: what was planned, and what was recorded, as the request asks for them."""
    planned = plan_features(rows) if request.plan else pl.DataFrame()
    strategy = strategy_feature(rows) if request.strategy else pl.DataFrame()
    parts = (planned, strategy, recorded_features(rows, request))
    return pl.DataFrame([column for part in parts for column in part.get_columns()])


def timeframe_of(pinned: Pinned, request: Request, feature_set: FeatureSet | None, rows: pl.DataFrame) -> str:
    """Of the candles: as asked for, else the set's, else that of the rows, else the only one of which any are held.

    Raises:
        UsageError: nothing tells, or the rows are of several timeframes.
    """
    told = request.timeframe or (feature_set.timeframe if feature_set is not None else None)
    if told is not None:
        return told
    held = {f.partition["timeframe"] for f in pinned.snapshot("candles").states["candles"].files.values()}
    known = [t for t in timeframes.ALL if t in held]
    found = [t for t in rows["timeframe"].unique().to_list() if t in known]
    for choice in (found, known):
        if len(choice) == 1:
            return choice[0]
    if not known:
        return found[0] if found else timeframes.ALL[0]  # without candles no feature can be told, of any timeframe
    raise UsageError(
        "candles of which timeframe are the features of?",
        where=f"data set {request.name}",
        value=sorted(found) or known,
        todo=f"Give timeframe=: candles of {', '.join(known)} are held.",
    )


def check_joined(computed: pl.DataFrame, rows: pl.DataFrame, joined: Joined, request: Request) -> None:
    """Rows of which none has a single feature teach nothing; they are of another market than the candles."""
    if not computed.width or computed.select(pl.any_horizontal(pl.all().is_not_null()).any()).item():
        return
    wanted = sorted({f"{s} of {v or 'no venue'}" for v, s in rows.select("venue", "symbol").unique().iter_rows()})
    raise UsageError(
        f"no row has a {joined.timeframe} candle of its venue and symbol that was known in time, with its look-back",
        where=f"data set {request.name}",
        value=wanted[:5],
        todo="Check venue, symbol and timeframe with lk.candles.stats(); features=None needs no candles.",
    )


def _weights(rows: pl.DataFrame, request: Request) -> list[pl.Series]:
    decided, ended = rows["decision_time"], rows["label_time"]
    unique = weights.uniqueness(decided, ended, rows.select("venue", "symbol"))
    half_life = _HALF_LIFE if request.half_life is None else timedelta(seconds=request.half_life)
    result = rows["label_pnl_percent"].cast(pl.Float64)
    sound = result.is_finite().fill_null(value=False)
    moved = np.full(rows.height, np.nan)
    moved[sound.to_numpy()] = weights.by_return(result.filter(sound)) * unique[sound.to_numpy()]
    return [
        pl.Series("weight_uniqueness", unique),
        pl.Series("weight_return", moved).fill_nan(None),
        pl.Series("weight_recency", weights.recency(decided, half_life)),
    ]
