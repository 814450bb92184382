"""What models say of rows that were just recorded, from their features as of the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import polars as pl

from lake.learn.datasets.fresh import Live, Wanted, features_of
from lake.learn.features import FeatureSet
from lake.learn.models.model import Model

_TOLD = ("id", "symbol", "side", "decision_time")
_DESCRIBING = ("venue", "symbol", "side", "decision_time", "regime")


class PredictOptions(TypedDict, total=False):
    """Further arguments of :meth:`lake.learn.models.registry.Models.predict`.

    Attributes:
        source: phantoms, decisions, predictions or signals: what the rows are; what the model was trained on when left
            out.
        version: which version; the live one that serves symbol and regime of each row when left out.
        features: the feature set, where its name is not known in this process.
        load: further arguments of :meth:`lake.learn.models.registry.Models.load`.
    """

    source: str | None
    version: str | None
    features: str | FeatureSet | None
    load: Mapping[str, Any]


@dataclass(frozen=True)
class Predicting:
    """Predicts rows of a lake, with models that ``load`` gives by name and version; ``find`` tells which is live.

    Their features are made as those of the model's data set were: from the candles that were known at each row's
    decision, and from what was planned and recorded with it.

    Returns:
        A frame in the order of the ids: id, symbol, side, decision_time, version, the columns of
        :meth:`lake.learn.models.model.Model.predict`, and ``missing``: how many features were null.

    Raises:
        UnknownModelError: no version of the name is live.
        UnknownRowError: there is no such row.
        FeatureMismatchError: rows of the source do not record a feature of the model, or its feature set has changed.
        UsageError: it was trained on a frame, or no candle was known in time.
    """

    load: Callable[..., Model]
    find: Callable[..., Mapping[str, Any]]
    live: Live

    def __call__(self, name: str, ids: str | Sequence[str], options: PredictOptions) -> pl.DataFrame:
        """What the model says of the rows; see :meth:`lake.learn.models.registry.Models.predict`."""
        wanted = options.get("source"), options.get("features")
        given = options.get("load") or {}
        model = self.load(name, options.get("version"), **given)
        rows = features_of(self.live, Wanted(model.manifest, ids, *wanted))
        if options.get("version") is not None:
            return _said(model, rows)
        serving = [
            self.find(name, symbol=symbol, regime=regime)["version"]
            for symbol, regime in rows.select("symbol", "regime").iter_rows()
        ]
        parts = []
        for version in dict.fromkeys(serving):
            mine = rows.filter(pl.Series([each == version for each in serving]))
            if version != model.version:
                other = self.load(name, version, **given)
                mine = features_of(self.live, Wanted(other.manifest, mine["id"].to_list(), *wanted))
                parts.append(_said(other, mine))
            else:
                parts.append(_said(model, mine))
        return rows.select("id").join(pl.concat(parts), on="id", how="left", maintain_order="left")


def _said(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    known = [n for n in model.schema.names if n in rows.columns]
    shown = [n for n in _DESCRIBING if n not in known]
    said = model.predict(rows.select(*shown, *known))
    missing = rows.select(pl.sum_horizontal(pl.col(known).is_null().cast(pl.Int64)).alias("missing"))
    version = pl.Series("version", [model.version] * rows.height, dtype=pl.String)
    return pl.DataFrame([*rows.select(_TOLD), version, *said, *missing])
