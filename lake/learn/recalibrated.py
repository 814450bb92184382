"""Maps from stated to calibrated confidence by group, each tried on later rows before it is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from lake.errors import UsageError
from lake.kernels.scores import Floats
from lake.learn import recalibration
from lake.learn.judged import is_number, moment
from lake.learn.pairing import lives_of
from lake.learn.recalibration import Check, Map


@dataclass(frozen=True)
class Group:
    """The map of one group, or why it has none.

    Args:
        key: its values of the columns by which the rows were parted.
        n, unresolved: rows that it was fitted on; rows that wait for their outcome.
        fitted: the map; None where there is none.
        check: how a map of the earlier rows did on the later ones; None where there are too few.
        reason: why there is no map.
    """

    key: tuple[Any, ...]
    n: int
    unresolved: int
    fitted: Map | None = None
    check: Check | None = None
    reason: str = ""


@dataclass(frozen=True)
class Recalibration:
    """Maps from stated to calibrated confidence, by group.

    Args:
        by: the columns that part the rows into groups.
        before: the maps know only what was recorded before that time; None: all that was known when it was fitted.
        groups: one for each that had rows.
        notes: what a reader has to be told.
    """

    by: tuple[str, ...]
    before: datetime | None
    groups: tuple[Group, ...]
    notes: tuple[str, ...] = ()
    _maps: Mapping[tuple[Any, ...], Map] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found = {group.key: group.fitted for group in self.groups if group.fitted is not None}
        object.__setattr__(self, "_maps", found)

    @property
    def frame(self) -> pl.DataFrame:
        """One row per group: n, unresolved, method, the check on later rows, and why a group has no map."""
        return pl.DataFrame([_told(self.by, group) for group in self.groups], infer_schema_length=None)

    def value(self, confidence: float, **key: Any) -> float | None:
        """One confidence calibrated; None where its group has no map.

        Raises:
            UsageError: the group is not named by the columns of ``by``, or the confidence is not within 0-1.
        """
        if not is_number(confidence) or not 0 <= confidence <= 1:
            raise UsageError("a confidence is 0-1", where="confidence", value=confidence, todo="80 % is 0.8.")
        if set(key) != set(self.by):
            raise UsageError("the group is named by its columns", value=sorted(key), todo=f"Give {self.by}.")
        fitted = self._maps.get(tuple(key[name] for name in self.by))
        return None if fitted is None else float(fitted.apply([confidence])[0])

    def apply(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Rows with ``calibrated_confidence``; null where the confidence is unknown, or its group has no map.

        Raises:
            UsageError: ``confidence`` or a column of ``by`` is missing.
        """
        missing = [name for name in ("confidence", *self.by) if name not in rows.columns]
        if missing:
            raise UsageError("a column is missing", where="calibration.apply", value=missing)
        stated = rows.get_column("confidence").cast(pl.Float64).to_numpy()
        found = np.full(rows.height, np.nan)
        for key, places in grouped(rows, self.by):
            if key in self._maps:
                found[places] = self._maps[key].apply(stated[places])
        return rows.with_columns(pl.Series("calibrated_confidence", found).fill_nan(None))

    def to_dict(self) -> dict[str, Any]:
        """The maps as JSON can hold them; without the checks."""
        kept = [
            {"key": list(g.key), "n": g.n, "unresolved": g.unresolved, "map": recalibration.to_dict(g.fitted)}
            for g in self.groups
            if g.fitted is not None
        ]
        return {"by": list(self.by), "before": self.before and self.before.isoformat(), "groups": kept}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Recalibration:
        """What :meth:`to_dict` kept.

        Raises:
            UsageError: it is none.
        """
        try:
            groups = tuple(
                Group(tuple(g["key"]), g["n"], g["unresolved"], recalibration.from_dict(g["map"]))
                for g in kept["groups"]
            )
            return cls(tuple(kept["by"]), moment(kept["before"]), groups)
        except (KeyError, TypeError) as error:
            raise UsageError("not a recalibration that was kept", value=dict(kept)) from error


def fitted_group(key: tuple[Any, ...], rows: pl.DataFrame, method: str, min_n: int, holdout: float) -> Group:
    """The map of one group's rows, tried first; see :meth:`lake.learn.calibration.Calibration.fit`."""
    p, y = stated_and_hit(rows)
    unresolved = rows.height - len(p)
    if len(p) < min_n:
        return Group(key, len(p), unresolved, reason=f"{len(p)} resolved decisions, {min_n} are needed")
    tried = _tried(resolved(rows), method, min_n, holdout)
    if tried is not None and tried.verdict == "worse":
        return Group(key, len(p), unresolved, check=tried, reason="a map of the earlier decisions made the later worse")
    return Group(key, len(p), unresolved, recalibration.fit_map(p, y, method), tried)


def _tried(known: pl.DataFrame, method: str, min_n: int, holdout: float) -> Check | None:
    """Fit on what was resolved before the later rows were made, and try it on these."""
    split = known.get_column("made_at").sort()[int(known.height * (1 - holdout))]
    earlier, later = known.filter(pl.col("recorded_at") < split), known.filter(pl.col("made_at") >= split)
    if earlier.height < min_n / 2 or not later.height:
        return None
    p, y = stated_and_hit(earlier)
    return recalibration.check(*stated_and_hit(later), recalibration.fit_map(p, y, method), len(p), lives_of(later))


def _told(by: Sequence[str], group: Group) -> dict[str, Any]:
    check, fitted = group.check, group.fitted
    tried = {
        "n_fit": check and check.n_fit,
        "n_test": check and check.n_test,
        "ece_before": check and check.ece_before,
        "ece_after": check and check.ece_after,
        "brier_before": check and check.brier_before,
        "brier_after": check and check.brier_after,
        "gain": check and check.gain.value,
        "gain_low": check and check.gain.low,
        "gain_high": check and check.gain.high,
        "verdict": check and check.verdict,
    }
    method = None if fitted is None else type(fitted).__name__.lower()
    known = {"n": group.n, "unresolved": group.unresolved, "method": method}
    return {**dict(zip(by, group.key, strict=True)), **known, **tried, "reason": group.reason or None}


def grouped(rows: pl.DataFrame, names: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], list[int]]]:
    """Each group's key and the places of its rows, groups in the order in which they appear."""
    if not names:
        if rows.height:
            yield (), list(range(rows.height))
        return
    by_key = rows.with_row_index("_at").group_by(list(names), maintain_order=True).agg(pl.col("_at"))
    for row in by_key.iter_rows():
        yield tuple(row[:-1]), row[-1]


def stated_and_hit(rows: pl.DataFrame) -> tuple[Floats, Floats]:
    """Stated confidence and outcome of what is resolved."""
    known = resolved(rows)
    return known.get_column("confidence").to_numpy(), known.get_column("hit").cast(pl.Float64).to_numpy()


def resolved(rows: pl.DataFrame) -> pl.DataFrame:
    """Those with an outcome."""
    return rows.filter(pl.col("hit").is_not_null())
