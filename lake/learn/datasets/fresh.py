"""The features of rows whose outcome is not known yet, as a data set of them would have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from lake.errors import FeatureMismatchError, UsageError
from lake.learn.datasets.asof import Joined, join
from lake.learn.datasets.assemble import check_joined
from lake.learn.datasets.inputs import without_own_scores
from lake.learn.datasets.planned import plan_features, strategy_feature
from lake.learn.datasets.request import Request
from lake.learn.datasets.sources import DOCUMENTS, IDENTITY, RECORDED, rows_of
from lake.learn.features import FeatureSet, load, read_recorded
from lake.query.engine import Engine
from lake.store.snapshot import Snapshot
from lake.store.store import Store

_EVENT = ("venue", "symbol", "decision_time")


@dataclass(frozen=True)
class Live:
    """The lake as it is, with what waits in its hot logs; nothing is pinned or settled."""

    store: Store
    engine: Engine

    def snapshot(self, *names: str) -> Snapshot:
        """These tables as they are."""
        return self.store.snapshot(names)


@dataclass(frozen=True)
class Wanted:
    """Features of which rows, and how they are made.

    Attributes:
        manifest: of the data set whose features these are.
        ids: of the rows.
        source: what the rows are; that of the data set when None.
        features: the feature set, where its name is not known in this process.

    Raises:
        UsageError: no ids, or a manifest that tells of no request.
    """

    manifest: Mapping[str, Any]
    ids: Sequence[str]
    source: str | None = None
    features: str | FeatureSet | None = None

    def __post_init__(self) -> None:
        if not self.manifest.get("request"):
            raise UsageError(
                "it does not say how its features are made: it was trained on a frame", where="predict",
                todo="Give its features yourself: lk.models.load(name).predict({...}).",
            )  # fmt: skip
        ids = [self.ids] if isinstance(self.ids, str) else list(self.ids)
        if not ids or not all(isinstance(each, str) for each in ids) or len(set(ids)) < len(ids):
            raise UsageError("ids are one id, or several different ones", where="predict", value=self.ids)
        object.__setattr__(self, "ids", ids)

    @property
    def request(self) -> Request:
        """That of the data set, of these rows."""
        asked = Request.of(self.manifest["request"])
        return asked if self.source is None else replace(asked, source=self.source)

    @property
    def feature_set(self) -> FeatureSet | None:
        """What is computed from candles, as it was for the data set."""
        told = self.manifest.get("feature_set")
        if told is None:
            return None
        found = load(self.features or str(self.manifest["request"]["features"]))
        if found.fingerprint != told["fingerprint"]:
            raise FeatureMismatchError(
                f"the feature set {found.name} is another one than the model was trained with", where="predict",
                todo="Give the set as it was, features=my_set, or train again.",
            )  # fmt: skip
        return found


def features_of(live: Live, wanted: Wanted) -> pl.DataFrame:
    """Who and when, the features of the data set, and the regime: a row for each id, in their order.

    Candles and market metrics count that were known at the decision, and what was recorded as it was then. A feature
    that cannot be told is null.

    Raises:
        UnknownRowError: there is no such row.
        FeatureMismatchError: rows of this source do not record a feature, or the feature set is another one now.
        UsageError: no row has a candle that was known in time, or the feature set is not known here.
        InvalidRowError: a recorded value is of another type than in the data set.
    """
    request = wanted.request
    joined = Joined(wanted.feature_set, str(wanted.manifest["timeframe"]))
    rows = without_own_scores(rows_of(live.engine, request, wanted.ids), request)
    computed = join(live, joined, rows.select(_EVENT)).frame
    names = () if joined.feature_set is None else joined.feature_set.names
    check_joined(computed.select(names), rows, joined, request)
    planned = plan_features(rows, every=True), strategy_feature(rows, every=True)
    told = [*(c for part in planned for c in part.get_columns()), *_recorded(rows, request, wanted.manifest)]
    return pl.DataFrame([*rows.select(IDENTITY).get_columns(), *computed.get_columns(), *told])


def _recorded(rows: pl.DataFrame, request: Request, manifest: Mapping[str, Any]) -> list[pl.Series]:
    """The columns that were recorded, of the types that they have in the data set; to a model a number is a number.

    What does not fit is null where the request says the types, as in the data set, and refused else.
    """
    source, chosen = request.source, isinstance(request.recorded, Mapping)
    documents = {f"{name}." for name in DOCUMENTS.values()}
    own = f"{DOCUMENTS[source]}." if source in DOCUMENTS else None
    types = {n: t for n, t in manifest["features"].items() if n.startswith((RECORDED, *documents))}
    inside = {n: t for n, t in types.items() if own is not None and n.startswith(own)}
    if not chosen:  # whole numbers as far as the data set goes may have fractions later
        inside = {n: "Float64" if t == "Int64" else t for n, t in inside.items()}
    single = [n for n in types if n not in inside]
    if strange := [n for n in single if n not in rows.columns]:
        raise FeatureMismatchError(
            f"{source} do not record {', '.join(strange)}", where="predict",
            todo=f"The model was trained on {manifest['source']}.",
        )  # fmt: skip
    found = rows.select(single).get_columns()
    if inside:
        found += read_recorded(rows, DOCUMENTS[source], inside, strict=not chosen).frame.get_columns()
    return found
