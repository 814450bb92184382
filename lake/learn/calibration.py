"""Is a confidence of 0.8 right eight times in ten, and what should have been said instead: ``lk.calibration``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels import overlaps, scores
from lake.kernels.chance import Lots, ece_by_chance
from lake.learn import recalibration
from lake.learn.cutoff import COLUMN, Cutoffs, Guarded
from lake.learn.judged import Asked, columns, judged, moment
from lake.learn.pairing import lives_of
from lake.learn.recalibrated import Recalibration, fitted_group, grouped, resolved, stated_and_hit
from lake.query.engine import Engine

By = str | list[str] | tuple[str, ...] | None


@dataclass(frozen=True)
class CalibrationReport:
    """How well stated confidences held.

    Args:
        frame: one row per group, the largest first: n (resolved, with a confidence), unresolved,
            inside_training_period, unknown_cutoff; accuracy, confidence (means, 0-1), brier and its parts reliability,
            resolution and uncertainty, log_loss; ece, ece_by_chance (its mean were the confidences right), ece_p (how
            often chance alone gives such an ece); auc with auc_low and auc_high; overlap, how many rows run at the
            same time, which chance and intervals know of.
        curves: one row per group and bin: low, high, n, stated, observed, observed_low, observed_high.
        notes: what a reader has to be told.
    """

    frame: pl.DataFrame
    curves: pl.DataFrame
    notes: tuple[str, ...] = ()


class Calibration:
    """Says how well stated confidences held, and learns what should have been said instead.

    Only LONG and SHORT with a stated confidence are judged, traded or not. What is not resolved is counted beside.
    """

    def __init__(self, engine: Engine, cutoffs: Cutoffs) -> None:
        self._engine = engine
        self._cutoffs = cutoffs

    def report(self, by: By = "prompt_version", *, bins: int = 10, **which: Any) -> CalibrationReport:
        """Calibration by prompt, model, symbol, ...

        Args:
            by: column or columns that part the rows: prompt_version, model_version, symbol, bot_id, venue, timeframe,
                recommendation; None: all rows together.
            bins: of equal width.
            which: source, before, days, keep_inside, cutoffs: see :class:`lake.learn.judged.Asked`.
        """
        names = columns(by)
        guarded = judged(self._engine, Asked(**which), self._cutoffs)
        rows = _judgeable(guarded.rows)
        inside = _counts(_judgeable(guarded.inside_rows), names)
        figures, curves = [], []
        for key, places in grouped(rows, names):
            of = dict(zip(names, key, strict=True))
            figures.append({**of, **_figures(rows[places], bins), "inside_training_period": inside.pop(key, 0)})
            curves += [{**of, **bin_} for bin_ in _curve(rows[places], bins)]
        for key, count in inside.items():  # groups of which nothing counts are told, too
            empty = _figures(rows.clear(), bins)
            figures.append({**dict(zip(names, key, strict=True)), **empty, "inside_training_period": count})
        figures.sort(key=lambda row: -int(row["n"]))
        return CalibrationReport(_framed(figures), _framed(curves), guarded.notes)

    def fit(
        self, by: By = "prompt_version", *, method: str = "auto", min_n: int = 50, holdout: float = 0.3, **which: Any
    ) -> Recalibration:
        """Learn what stated confidences are worth, from decisions that were resolved.

        Each map is tried first: one is fitted on the decisions resolved before the last ``holdout`` of them were
        made, and held against those (see ``frame``). The map that is kept is fitted on all. A group whose map made the
        later decisions worse, beyond chance, has none.

        Args:
            by: what has a map of its own: see :meth:`report`.
            method: isotonic, platt, or auto: isotonic from 1,000 rows on.
            min_n: a group with fewer resolved decisions has no map.
            holdout: share of the newest decisions on which maps are tried.
            which: as for :meth:`report`; with ``before`` nothing counts that was recorded at that time or later.

        Raises:
            UsageError: an argument that does not fit.
            MissingExtraError: scikit-learn is not installed.
        """
        recalibration.check_method(method)
        if type(min_n) is not int or min_n < 2:
            raise UsageError("a map needs at least 2 rows", where="min_n", value=min_n, todo="Such as 50.")
        if not 0 < holdout < 1:
            raise UsageError("the share held out lies between 0 and 1", where="holdout", value=holdout)
        asked, names = Asked(**which), columns(by)
        guarded = judged(self._engine, asked, self._cutoffs)
        rows = _judgeable(guarded.rows)
        groups = tuple(fitted_group(key, rows[places], method, min_n, holdout) for key, places in grouped(rows, names))
        return Recalibration(tuple(names), moment(asked.before), groups, guarded.notes)

    def apply(self, maps: Recalibration, **which: Any) -> pl.DataFrame:
        """Decisions with their ``calibrated_confidence``; ``in_sample`` where the map may have been fitted on them.

        Args:
            maps: what :meth:`fit` gave.
            which: as for :meth:`report`.
        """
        guarded: Guarded = judged(self._engine, Asked(**which), self._cutoffs)
        known = pl.lit(value=True) if maps.before is None else pl.col("made_at") < maps.before
        return maps.apply(guarded.rows).with_columns(known.alias("in_sample"))


def _judgeable(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with a direction and a confidence within 0-1."""
    return rows.filter(
        pl.col("confidence").is_between(0, 1),
        pl.col("recommendation").is_not_null(),
        pl.col("recommendation") != "HOLD",
    )


def _counts(rows: pl.DataFrame, names: Sequence[str]) -> dict[tuple[Any, ...], int]:
    return {key: len(places) for key, places in grouped(rows, names)}


def _figures(rows: pl.DataFrame, bins: int) -> dict[str, Any]:
    (p, y), lives = stated_and_hit(rows), lives_of(resolved(rows))
    parts, ranking = scores.brier_parts(p, y, bins), overlaps.auc_of(p, y, lives)
    chance = ece_by_chance(p, bins, lots=Lots(lives=lives))
    error = scores.ece(p, y, bins)
    return {
        "n": len(p),
        "unresolved": rows.height - len(p),
        "unknown_cutoff": int(rows.get_column(COLUMN).is_null().sum()),
        "accuracy": float(y.mean()) if len(y) else math.nan,
        "confidence": float(p.mean()) if len(p) else math.nan,
        "brier": parts.brier,
        "reliability": parts.reliability,
        "resolution": parts.resolution,
        "uncertainty": parts.uncertainty,
        "log_loss": scores.log_loss(p, y),
        "ece": error,
        "ece_by_chance": float(chance.mean()) if len(chance) else math.nan,
        "ece_p": float((1 + np.sum(chance >= error - 1e-12)) / (len(chance) + 1)) if len(chance) else math.nan,
        "auc": ranking.auc,
        "auc_low": ranking.low,
        "auc_high": ranking.high,
        "overlap": overlaps.running(lives),
    }


def _curve(rows: pl.DataFrame, bins: int) -> list[dict[str, Any]]:
    (p, y), lives = stated_and_hit(rows), lives_of(resolved(rows))
    curve, at = scores.reliability_curve(p, y, bins), scores.assigned(p, bins, "width")[0]
    sure = [overlaps.rate_of(y[at == number], lives.of(at == number)) for number in np.unique(at)]
    low, high = (np.array([each[end] for each in sure]) for end in (0, 1))
    held = curve._replace(observed_low=low, observed_high=high)
    return [dict(zip(held._fields, values, strict=True)) for values in zip(*(c.tolist() for c in held), strict=True)]


def _framed(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """A frame in which what is not defined is null."""
    made = pl.DataFrame(rows, infer_schema_length=None)
    return made.with_columns(pl.selectors.float().fill_nan(None))
