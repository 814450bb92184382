"""What models say of rows that were just recorded, from their features as of the decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypedDict

import polars as pl

from lake.learn.datasets.fresh import Live, Wanted, features_of
from lake.learn.features import FeatureSet
from lake.learn.models.model import Model

_TOLD = ("id", "symbol", "side", "decision_time")
_HELD = 8  # models that are kept loaded: of a few MB each, and a second's work to load
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


class Predicting:
    """Predicts rows of a lake; the models that it used last stay loaded, since a version never changes.

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

    Args:
        load: gives a model by its version, and further arguments.
        find: tells the row of the live one by name, symbol and regime.
        list_: tells the versions by name and stage.
        live: the lake.
    """

    def __init__(
        self,
        load: Callable[..., Model],
        find: Callable[..., Mapping[str, Any]],
        list_: Callable[[str, str], pl.DataFrame],
        live: Live,
    ) -> None:
        self._load = load
        self._find = find
        self._list = list_
        self._live = live
        self._kept = lru_cache(_HELD)(lambda version: load(version=version))

    def __call__(self, name: str, ids: str | Sequence[str], options: PredictOptions) -> pl.DataFrame:
        """What the model says of the rows; see :meth:`lake.learn.models.registry.Models.predict`."""
        wanted = options.get("source"), options.get("features")
        given = options.get("load") or {}
        version = options.get("version")
        model = self._model(version or self._one_live(name), given)
        rows = features_of(self._live, Wanted(model.manifest, ids, *wanted))
        if version is not None:
            return _said(model, rows)
        parts = []
        for serving, mine in self._served(name, rows):
            if serving == model.version:
                parts.append(_said(model, mine))
            else:
                other = self._model(serving, given)
                again = features_of(self._live, Wanted(other.manifest, mine["id"].to_list(), *wanted))
                parts.append(_said(other, again))
        return rows.select("id").join(pl.concat(parts), on="id", how="left", maintain_order="left")

    def _model(self, version: str, given: Mapping[str, Any]) -> Model:
        return self._load(version=version, **given) if given else self._kept(version)

    def _one_live(self, name: str) -> str:
        """A live version: the general one, or where there is none one of a symbol or regime."""
        live = self._list(name, "live").sort(pl.col("symbol", "regime").fill_null(""), maintain_order=True)
        return str(live["version"][0] if live.height else self._find(name)["version"])

    def _served(self, name: str, rows: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
        """Live versions, each with the rows that it serves by their symbol and regime."""
        found: dict[str, list[pl.DataFrame]] = {}
        for mine in rows.partition_by("symbol", "regime", maintain_order=True):
            symbol, regime = mine.row(0, named=True)["symbol"], mine.row(0, named=True)["regime"]
            found.setdefault(self._find(name, symbol=symbol, regime=regime)["version"], []).append(mine)
        return [(version, pl.concat(parts)) for version, parts in found.items()]


def _said(model: Model, rows: pl.DataFrame) -> pl.DataFrame:
    known = [n for n in model.schema.names if n in rows.columns]
    shown = [n for n in _DESCRIBING if n not in known]
    said = model.predict(rows.select(*shown, *known))
    missing = rows.select(pl.sum_horizontal(pl.col(known).is_null().cast(pl.Int64)).alias("missing"))
    version = pl.Series("version", [model.version] * rows.height, dtype=pl.String)
    return pl.DataFrame([*rows.select(_TOLD), version, *said, *missing])
