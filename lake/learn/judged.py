"""The rows that are judged: decisions or predictions with what was known of their outcome at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any, TypeVar

from lake.errors import UsageError
from lake.learn.cutoff import Cutoffs, Guarded, guard
from lake.query.engine import Engine
from lake.spec.times import from_micros, to_micros

T = TypeVar("T", bound=Any)
SOURCES = ("decisions", "predictions")
GROUPS = ("prompt_version", "model_version", "symbol", "bot_id", "venue", "timeframe", "recommendation")


@dataclass(frozen=True)
class Asked:
    """Which rows are judged.

    Args:
        source: "decisions" or "predictions".
        before: only what was made, and outcomes that were recorded, before that time; all when None. Outcomes of which
            nobody said when they were known do not count then.
        days: only rows made within so many days before ``before``, or now.
        keep_inside: keep rows dated inside the training period of their model.
        cutoffs: {model version: day} in the place of the settings' ``[knowledge_cutoffs]``.

    Raises:
        UsageError: an unknown source.
    """

    source: str = "decisions"
    before: Any = None
    days: int | None = None
    keep_inside: bool = False
    cutoffs: Any = None

    def __post_init__(self) -> None:
        if self.source not in SOURCES:
            raise UsageError("nothing to judge by that name", value=self.source, todo=f"It is {' or '.join(SOURCES)}.")


def judged(engine: Engine, asked: Asked, cutoffs: Cutoffs) -> Guarded:
    """Rows in the columns of ``judged_decisions.sql``, in the order of time, guarded by the cutoffs of their models."""
    variables: dict[str, Any] = {} if asked.days is None else {"days": asked.days}
    end = moment(asked.before)
    if end is not None:
        variables["now"] = end - timedelta(microseconds=1)
    rows = engine.frame(statement(f"judged_{asked.source}"), variables=variables)
    given = cutoffs if asked.cutoffs is None else as_cutoffs(asked.cutoffs)
    return guard(rows, given, keep_inside=asked.keep_inside)


def as_cutoffs(given: Any) -> Cutoffs:
    """Cutoffs, or the mapping that makes them."""
    return given if isinstance(given, Cutoffs) else Cutoffs(given)


def given(kind: type[T], options: T | Mapping[str, Any]) -> T:
    """Options as they are, or made of a dict of those that differ from the defaults.

    Raises:
        UsageError: neither, or a name that there is not.
    """
    if isinstance(options, kind):
        return options
    known = [option.name for option in fields(kind)]
    unknown = sorted(set(options) - set(known)) if isinstance(options, Mapping) else options
    if unknown or not isinstance(options, Mapping):
        raise UsageError("no such options", value=unknown, todo=f"There are: {', '.join(known)}.")
    made: T = kind(**options)
    return made


def is_number(value: Any) -> bool:
    """Whether it is a number, and no flag."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def moment(value: Any) -> datetime | None:
    """A time as given by a caller; None for None.

    Raises:
        InvalidTimeError: it is naive, or no time.
    """
    return None if value is None else from_micros(to_micros(value, where="before"))


def columns(by: str | list[str] | tuple[str, ...] | None) -> list[str]:
    """The columns that part the rows into groups; none for None.

    Raises:
        UsageError: a column by which rows cannot be parted.
    """
    names = [] if by is None else [by] if isinstance(by, str) else list(by)
    for name in names:
        if name not in GROUPS:
            raise UsageError("rows are not parted by that", where="by", value=name, todo=f"By: {', '.join(GROUPS)}.")
    return names


@cache
def statement(name: str) -> str:
    """The SQL of that name in this folder."""
    return (resources.files("lake.learn") / f"{name}.sql").read_text(encoding="utf-8")
