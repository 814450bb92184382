"""Walk forward: members that were trained on what was over before a block of time, and their scores of the block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from lake.errors import NotEnoughRowsError
from lake.learn.models import ensemble
from lake.learn.models.examples import Examples
from lake.learn.models.parallel import parallel
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import Floats
from lake.learn.splits import Rows, WalkForward


@dataclass(frozen=True, eq=False)
class Fold:
    """A test block.

    Attributes:
        train: rows that the members were trained on.
        test: rows of the block.
        members: trained on the former.
        raw: their scores of the latter.
    """

    train: Rows
    test: Rows
    members: ensemble.Members
    raw: Floats


def walk_forward(rows: Examples, recipe: Recipe, n_jobs: int = 1) -> list[Fold]:
    """Every test block with its members; blocks before which there are not both wins and losses are left out.

    Raises:
        NotEnoughRowsError: that are all of them.
    """
    pairs = [(train, test) for train, test in splitter(rows, recipe).split(rows.x) if has_both(rows.y[train])]
    if not pairs:
        raise NotEnoughRowsError(
            "no test block has both wins and losses before it", where="training", todo="Let more outcomes come in."
        )
    made: list[Fold] = parallel(_fold, [(rows, train, test, recipe) for train, test in pairs], n_jobs)
    return made


def splitter(rows: Examples, recipe: Recipe) -> WalkForward:
    """The purged walk-forward of these rows."""
    starts, ends = (pl.Series(t).cast(pl.Datetime("us", "UTC")) for t in (rows.starts, rows.ends))
    return WalkForward(recipe.folds, embargo=recipe.embargo_time, start_times=starts, end_times=ends)


def has_both(y: Any) -> bool:
    """Whether there are wins and losses."""
    return bool(0 < y.sum() < len(y))


def _fold(rows: Examples, train: Rows, test: Rows, recipe: Recipe) -> Fold:
    members = ensemble.fit(rows.x[train], rows.y[train], rows.weight[train], recipe)
    return Fold(train, test, members, ensemble.score(members, rows.x[test]))
