"""How a model is made: every number that training depends on, besides its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import timedelta
from typing import Any

from lake.errors import UsageError

CALIBRATIONS = ("isotonic", "platt", "auto")
COLD_START = 30  # labelled rows, below which nothing is trained


def is_number(value: Any) -> bool:
    """Whether it is a number, and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Recipe:
    """The parameters of a training.

    Attributes:
        trees: of the random forest.
        depth: of each of its trees, at most; None for no limit.
        sample: rows that each of them draws, at most: with more data trees differ more, and take no longer.
        leaf: rows in a leaf, at least, of forest and boosting.
        rounds: of boosting.
        learning_rate: of boosting.
        leaves: of a boosted tree, at most.
        bins: of each feature in boosting, at most: with weights scikit-learn looks for each edge by itself, so that 255
            take four times as long as 63, and tell no more of rows that overlap.
        neural: whether a small neural network joins the ensemble.
        folds: test blocks of the walk-forward from which calibration, threshold and metrics come.
        embargo: seconds to keep free before a test block.
        calibration: isotonic, platt, or auto: isotonic from 1,000 rows on.
        buckets: of the score, of equal numbers of rows but for the edge that the threshold makes.
        min_share: of the rows that must lie above the threshold, at least.
        repeats: permutations of each feature on each fold for its importance; 0 leaves importance out.
        seed: of all random numbers.

    Raises:
        UsageError: a number out of range.
    """

    trees: int = 200
    depth: int | None = 8
    sample: int = 10_000
    leaf: int = 5
    rounds: int = 100
    learning_rate: float = 0.05
    leaves: int = 15
    bins: int = 63
    neural: bool = False
    folds: int = 5
    embargo: float = 0.0
    calibration: str = "isotonic"
    buckets: int = 5
    min_share: float = 0.05
    repeats: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"trees": 1, "sample": 1, "leaf": 1, "rounds": 1, "leaves": 2, "folds": 2, "buckets": 1, "repeats": 0}
        least["seed"] = 0
        for name, low in least.items():
            value = getattr(self, name)
            if type(value) is not int or value < low:
                raise UsageError(f"a whole number from {low} on", where=f"recipe, {name}", value=value)
        if type(self.bins) is not int or not 2 <= self.bins <= 255:
            raise UsageError("a whole number from 2 to 255", where="recipe, bins", value=self.bins)
        if self.depth is not None and (type(self.depth) is not int or self.depth < 1):
            raise UsageError("a whole number from 1 on, or None", where="recipe, depth", value=self.depth)
        for name, high in (("learning_rate", 1.0), ("min_share", 1.0)):
            if not is_number(getattr(self, name)) or not 0 < getattr(self, name) <= high:
                raise UsageError("above 0, and at most 1", where=f"recipe, {name}", value=getattr(self, name))
        if not is_number(self.embargo) or not 0 <= self.embargo < float("inf"):
            raise UsageError("seconds, from 0 on", where="recipe, embargo", value=self.embargo)
        if self.calibration not in CALIBRATIONS:
            raise UsageError(
                "unknown calibration", where="recipe", value=self.calibration, todo=f"It is {', '.join(CALIBRATIONS)}."
            )

    @property
    def embargo_time(self) -> timedelta:
        """The embargo as a length of time."""
        return timedelta(seconds=self.embargo)

    def with_changes(self, changes: Mapping[str, Any]) -> Recipe:
        """The recipe with other numbers.

        Raises:
            UsageError: no mapping, a name that it does not have, or a number out of range.
        """
        if not isinstance(changes, Mapping):
            raise UsageError(
                "a recipe is a Recipe, or {parameter: value}",
                where="recipe",
                value=changes,
                todo="Such as {'trees': 100}.",
            )
        strange = sorted(set(changes) - {f.name for f in fields(self)})
        if strange:
            raise UsageError(
                "a recipe has no such parameters", where="recipe", value=strange,
                todo=f"It has {', '.join(f.name for f in fields(self))}.",
            )  # fmt: skip
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)
