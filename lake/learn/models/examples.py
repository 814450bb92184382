"""What a model learns from: the rows of a data set or frame that have a label, as arrays in the order of time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lake.errors import FeatureMismatchError, NotEnoughRowsError, UsageError
from lake.kernels.overlaps import Spans
from lake.learn.models.recipe import COLD_START
from lake.learn.models.schema import FeatureSchema, Floats, as_frame
from lake.spec.times import from_micros

Times = npt.NDArray[np.int64]
GAINS = ("label_rr", "label_pnl_percent")  # what a row won or lost, the first that is known of all rows
WEIGHTS = ("weight_uniqueness", "weight_recency")


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled rows, oldest first.

    Attributes:
        x: features (rows, columns).
        y: 1 for a win, else 0.
        weight: how much each counts in training; mean 1.
        gain: what each won or lost, in the unit that ``gain_name`` tells: R multiples, percent, or 1 and -1.
        starts, ends: when each was decided, and its label was over; microseconds UTC.
        schema: of the features.
        target, gain_name: the columns that y and gain came from.
        left_out: rows without a label.
    """

    x: Floats
    y: Floats
    weight: Floats
    gain: Floats
    starts: Times
    ends: Times
    schema: FeatureSchema
    target: str
    gain_name: str
    left_out: int

    def __len__(self) -> int:
        return len(self.y)

    @property
    def lives(self) -> Spans:
        """When each was decided, and its label was over."""
        return Spans(self.starts, self.ends)

    @property
    def until(self) -> Any:
        """When the last of their labels was over."""
        return from_micros(int(self.ends.max()))


def examples(
    data: Any,
    features: Iterable[str] | None = None,
    target: str = "label_win",
    weight: str | Iterable[str] | None = None,
) -> Examples:
    """The labelled rows of a data set.

    Args:
        data: a data set (``.frame`` and ``.manifest``), or a frame with decision_time, label_time and the target.
        features: columns; those of the manifest when left out.
        target: a column of True and False, or 0 and 1; rows without it are left out.
        weight: columns whose product is the weight of a row; None takes those of uniqueness and recency that are there.

    Raises:
        NotEnoughRowsError: fewer than 30 labelled rows, or all labels alike.
        FeatureMismatchError: a column is missing, or of a type that no model learns from.
        UsageError: no features are named, or a label ends before its decision.
    """
    frame = as_frame(getattr(data, "frame", data))
    names = _feature_names(data, features)
    missing = [n for n in (target, "decision_time", "label_time") if n not in frame.columns]
    if missing:
        raise FeatureMismatchError("; ".join(f"{n} is missing" for n in missing), where="training")
    known = frame.filter(pl.col(target).is_not_null() & pl.col("label_time").is_not_null())
    known = known.sort("decision_time", "label_time", maintain_order=True)
    y = _target(known[target])
    _must_suffice(y, target)
    schema = FeatureSchema.of(known, names)
    starts, ends = (_micros(known[n]) for n in ("decision_time", "label_time"))
    if (ends < starts).any():
        raise UsageError("a label is over before its decision", where="training, label_time")
    gain_name = next((n for n in GAINS if n in known.columns and known[n].null_count() == 0), "unit")
    gain = 2 * y - 1 if gain_name == "unit" else known[gain_name].cast(pl.Float64).to_numpy()
    x = schema.matrix(known.select(schema.names))
    return Examples(
        x, y, _weights(known, weight), gain, starts, ends, schema, target, gain_name, frame.height - known.height
    )


def _feature_names(data: Any, features: Iterable[str] | None) -> list[str]:
    if features is not None:
        names = [features] if isinstance(features, str) else list(features)
        told = [n for n in names if str(n).startswith("label_") or n == "weight_return"]
        if told:
            raise UsageError(
                "these tell the outcome, and are known after it only", where="training, features", value=told,
                todo="Leave them out.",
            )  # fmt: skip
        if not names:
            raise UsageError("no feature is named", where="training, features", todo="None takes all of the data set.")
        return names
    manifest = getattr(data, "manifest", None)
    if manifest is None:
        raise UsageError("which columns are features?", where="training", todo="Give features=[...], or a data set.")
    return list(manifest["features"])


def _target(column: pl.Series) -> Floats:
    if column.dtype != pl.Boolean and not column.dtype.is_numeric():
        raise FeatureMismatchError(f"{column.name} is {column.dtype}, not True or False", where="training")
    y = column.cast(pl.Float64).to_numpy()
    if not np.isin(y, (0.0, 1.0)).all():
        raise FeatureMismatchError(
            f"{column.name} is other than 0 and 1", where="training", todo="Make a column of True and False."
        )
    return y


def _must_suffice(y: Floats, target: str) -> None:
    if len(y) < COLD_START:
        raise NotEnoughRowsError(
            f"{len(y)} labelled rows are too few to train on", where=f"training, {target}",
            todo=f"At least {COLD_START} are needed: let more outcomes come in.",
        )  # fmt: skip
    if min(y.sum(), len(y) - y.sum()) < 1:
        raise NotEnoughRowsError(
            "all labels are alike", where=f"training, {target}", todo="Both wins and losses are needed."
        )


def _micros(column: pl.Series) -> Times:
    if not isinstance(column.dtype, pl.Datetime):
        raise FeatureMismatchError(f"{column.name} is {column.dtype}, not a time", where="training")
    if column.null_count():
        raise FeatureMismatchError(f"{column.name} is missing in {column.null_count()} rows", where="training")
    found: Times = column.dt.epoch("us").to_numpy()
    return found


def _weights(frame: pl.DataFrame, weight: str | Iterable[str] | None) -> Floats:
    names = [weight] if isinstance(weight, str) else list(weight) if weight is not None else None
    if names is None:
        names = [n for n in WEIGHTS if n in frame.columns]
    if missing := [n for n in names if n not in frame.columns]:
        raise FeatureMismatchError("; ".join(f"{n} is missing" for n in missing), where="training, weight")
    found = np.ones(frame.height)
    for name in names:
        found = found * frame[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    if not (np.isfinite(found) & (found >= 0)).all() or not found.sum() > 0:
        raise UsageError("weights are numbers from 0 on, not all of them 0", where="training, weight", value=names)
    scaled: Floats = found / found.mean()
    return scaled
