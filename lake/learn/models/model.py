"""A trained model: what it takes, what it says, and how good it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import polars as pl

from lake.learn.models import ensemble
from lake.learn.models.judging import Bucket, bucket_numbers
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import FeatureSchema, Floats
from lake.learn.recalibration import Map, from_dict, to_dict

_EDGE = 1e-6  # a calibrated probability is kept so far from 0 and 1


@dataclass(frozen=True, eq=False)
class Model:
    """A trained ensemble with its calibration, threshold and score buckets.

    Attributes:
        name: of the model.
        schema: of its features.
        members: the fitted estimators, by name.
        calibration: from the members' mean score to a probability.
        threshold: from this probability on it says yes; 1 where nothing was worth a yes.
        buckets: of the probability, with what came of rows like these.
        gain_name: unit of expected values: label_rr (R multiples), label_pnl_percent, or unit (1 won, 1 lost).
        recipe: how it was made.
        metrics: ``folds`` (figures of each test block), ``overall``, ``importance``, ``rows``, ``trained_until``.
        manifest: of its data set, and ``symbol`` and ``regime`` that it was trained for.
        version: under which the registry holds it; empty before it is saved.
        stage: candidate, live or retired when it was loaded.
        symbol, regime: what it is for; empty for all.
    """

    name: str
    schema: FeatureSchema
    members: Mapping[str, Any]
    calibration: Map
    threshold: float
    buckets: tuple[Bucket, ...]
    gain_name: str
    recipe: Recipe
    metrics: Mapping[str, Any]
    manifest: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    stage: str = ""
    symbol: str = ""
    regime: str = ""

    def predict(self, data: Any) -> pl.DataFrame:
        """What it says of rows.

        Args:
            data: a Polars or pandas frame, a dict, or a list of dicts, with the features it was trained on, in any
                order. Missing values may be null. Columns that describe a row (id, symbol, decision_time, label_...)
                may be there too.

        Returns:
            A frame in the order of the rows: ``score`` (0-1, before calibration), ``probability`` (of a win,
            calibrated), ``ml_score`` (100 * probability, as phantoms record it), ``bucket`` (from 0),
            ``expected_value`` (mean gain of the bucket), ``decision`` (probability >= threshold, an edge of buckets
            of which none above it lost).

        Raises:
            FeatureMismatchError: columns are missing, unknown or of another type; all are named.
        """
        raw = ensemble.score(self.members, self.schema.matrix(data))
        probability = calibrated(self.calibration, raw)
        number = bucket_numbers(probability, self.buckets)
        value = np.array([bucket.mean_gain for bucket in self.buckets])[number] if len(raw) else np.empty(0)
        return pl.DataFrame(
            {
                "score": raw,
                "probability": probability,
                "ml_score": 100 * probability,
                "bucket": number,
                "expected_value": pl.Series(value, dtype=pl.Float64).fill_nan(None),
                "decision": probability >= self.threshold,
            }
        )

    def about(self) -> dict[str, Any]:
        """All but the members, as JSON has it."""
        return {
            "format": 1, "name": self.name, "schema": self.schema.as_dict(), "calibration": to_dict(self.calibration),
            "threshold": self.threshold, "buckets": [asdict(b) for b in self.buckets], "gain_name": self.gain_name,
            "recipe": self.recipe.as_dict(), "metrics": dict(self.metrics), "manifest": dict(self.manifest),
            "symbol": self.symbol, "regime": self.regime,
        }  # fmt: skip

    @classmethod
    def from_parts(cls, about: Mapping[str, Any], members: Mapping[str, Any]) -> Model:
        """The model of what :meth:`about` gave, and its members."""
        return cls(
            name=about["name"],
            schema=FeatureSchema.from_dict(about["schema"]),
            members=members,
            calibration=from_dict(about["calibration"]),
            threshold=about["threshold"],
            buckets=tuple(Bucket(**b) for b in about["buckets"]),
            gain_name=about["gain_name"],
            recipe=Recipe(**{"bins": 255, **about["recipe"]}),  # files of older versions do not tell
            metrics=about["metrics"],
            manifest=about["manifest"],
            symbol=about["symbol"],
            regime=about["regime"],
        )


def calibrated(calibration: Map, raw: Floats) -> Floats:
    """Probabilities of scores, kept a millionth away from 0 and 1."""
    found: Floats = np.clip(calibration.apply(raw), _EDGE, 1 - _EDGE)
    return found
