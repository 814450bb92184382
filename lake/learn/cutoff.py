"""What a language model may remember: rows dated inside its training period are flagged, and left out by default.

A model that was trained on texts of 2025 knows what the market did in 2025. Its decisions on candles of that year, made
later in a backtest or a replay, are no evidence of skill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from lake.errors import UsageError

COLUMN = "inside_training_period"


@dataclass(frozen=True)
class Cutoffs:
    """The last day that each model was trained on.

    Args:
        days: model version -> day, a date or ISO text. A name that ends in * holds for all versions that begin so; a
            whole name goes before, then the longest beginning.

    >>> Cutoffs({"gpt-x": "2025-06-30", "gpt-*": "2024-01-31"}).until("gpt-x").isoformat()
    '2025-07-01T00:00:00+00:00'
    >>> Cutoffs({"gpt-*": "2024-01-31"}).until("llama") is None
    True

    Raises:
        UsageError: a day that is none.
    """

    days: Mapping[str, date | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.days, Mapping):
            raise UsageError("knowledge cutoffs are {model version: day}", value=self.days)
        object.__setattr__(self, "days", {str(model): _day(model, day) for model, day in self.days.items()})

    def until(self, model: str | None) -> datetime | None:
        """The first moment after the training period of a model; None where it is not known."""
        if model is None:
            return None
        names = [n for n in self.days if n == model or (n.endswith("*") and model.startswith(n[:-1]))]
        if not names:
            return None
        day = self.days[max(names, key=lambda name: (name == model, len(name)))]
        return datetime.combine(_day(model, day), datetime.min.time(), UTC) + timedelta(days=1)


@dataclass(frozen=True)
class Guarded:
    """Rows that may count, and what is to be told of the others.

    Args:
        rows: those that count, with ``inside_training_period``: true, false, or null where the cutoff is not known.
        inside_rows: those that were dated inside the training period of their model.
        kept: whether these are among ``rows``.
        unknown: rows of ``rows`` whose model's cutoff is not known.
        unknown_models: their models; None for rows that name no model.
    """

    rows: pl.DataFrame
    inside_rows: pl.DataFrame
    kept: bool
    unknown: int
    unknown_models: tuple[str | None, ...]

    @property
    def inside(self) -> int:
        """How many rows were dated inside the training period of their model."""
        return self.inside_rows.height

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to be told, in sentences; empty where every model is known and none is inside."""
        found = []
        if self.inside:
            done = "counted all the same" if self.kept else "left out"
            found.append(f"Dated inside their model's training period: {self.inside}, {done}.")
        if self.unknown:
            names = ", ".join(name or "(no model)" for name in self.unknown_models)
            found.append(
                f"Of models whose knowledge cutoff is not known, so that they may remember rather than foresee: "
                f"{self.unknown}, of {names}. Name it in the settings under [knowledge_cutoffs]."
            )
        return tuple(found)


def flagged(rows: pl.DataFrame, cutoffs: Cutoffs, *, time: str = "made_at") -> pl.DataFrame:
    """Rows with a column ``inside_training_period``; null where the cutoff of ``model_version`` is not known."""
    models = rows.get_column("model_version").unique().to_list()
    ends = pl.DataFrame(
        {"model_version": models, "_until": [cutoffs.until(model) for model in models]},
        schema={"model_version": pl.String, "_until": pl.Datetime("us", "UTC")},
    )
    joined = rows.join(ends, on="model_version", how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns((pl.col(time) < pl.col("_until")).alias(COLUMN)).drop("_until")


def guard(rows: pl.DataFrame, cutoffs: Cutoffs, *, keep_inside: bool = False, time: str = "made_at") -> Guarded:
    """Leave out what is dated inside its model's training period, and say how much that was.

    Args:
        rows: with ``model_version`` and the column ``time``.
        cutoffs: of the models.
        keep_inside: flag them, and keep them.
        time: when the market was that the model was asked about.
    """
    found = flagged(rows, cutoffs, time=time)
    is_inside = pl.col(COLUMN).fill_null(value=False)
    kept = found if keep_inside else found.filter(~is_inside)
    unknown = kept.filter(pl.col(COLUMN).is_null()).get_column("model_version")
    names = sorted(unknown.unique().to_list(), key=lambda name: (name is not None, name))
    return Guarded(kept, found.filter(is_inside), keep_inside, len(unknown), tuple(names))


def _day(model: Any, value: Any) -> date:
    if isinstance(value, datetime):
        value = value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise UsageError(
            "a knowledge cutoff is a day", where=f"knowledge_cutoffs, {model}", value=value, todo="Such as 2025-06-30."
        ) from None
