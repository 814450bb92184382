"""What the steps of a life cycle demand of a row: numbers that an exchange would not go without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from lake.errors import InvalidRowError, LifeCycleError
from lake.spec import registry
from lake.spec.dataset import Dataset, Type
from lake.spec.numbers import is_null
from lake.spec.rows import converter, flat_checks, row_checker

_SURE = {int, bool}  # what is never NaN


def refuse_nan(ds: Dataset, given: Mapping[str, Any]) -> None:
    """Refuse NaN among the numbers that are given to one step: it is a mistake there, and not an unknown value.

    Raises:
        InvalidRowError: a number is NaN, or does not fit its column.
    """
    numbers = _numbers(ds.name)
    for name, value in given.items():
        if name not in numbers:
            continue
        if value is None or type(value) in _SURE or (type(value) is float and value - value == 0.0) or is_null(value):
            continue
        if converter(ds, ds.column(name))(value) is None:
            where = f"{ds.name}.{name}"
            raise InvalidRowError(
                "not a number", where=where, value=value, todo="Leave it out, or give None, when it is not known."
            )


def checked(ds: Dataset, given: Mapping[str, Any], beneath: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The row of one step, checked; NaN among its numbers is refused, which the check of a row takes for unknown.

    Args:
        ds: its dataset.
        given: the row.
        beneath: what it is where it does not say so, None saying nothing.

    Raises:
        InvalidRowError: a value does not fit, or is missing.
    """
    told = flat_checks(ds).row({**beneath, **given} if beneath else given)
    if told is not None:
        return told
    refuse_nan(ds, given)
    if beneath is None:
        return row_checker(ds)(given)
    return row_checker(ds)({**beneath, **{name: value for name, value in given.items() if value is not None}})


@cache
def _numbers(dataset: str) -> frozenset[str]:
    """The columns of numbers."""
    return frozenset(c.name for c in registry.get(dataset).columns if c.type in {Type.FLOAT, Type.INT})


def demand(ds: Dataset, row: Mapping[str, Any], step: str, names: Iterable[str]) -> None:
    """Refuse a row that lacks a value which a step needs, or has 0 for a number.

    Args:
        ds: its dataset.
        row: as checked.
        step: such as ``an open trade``.
        names: of columns.

    Raises:
        InvalidRowError: a value is missing, or 0.
    """
    for name in names:
        value = row.get(name)
        if value is None:
            raise InvalidRowError(f"{step} has one", where=f"{ds.name}.{name}", todo=f"Give {name!r}.")
        if type(value) is float and not value > 0:
            raise InvalidRowError(
                f"{step} has one above 0", where=f"{ds.name}.{name}", value=value, todo="Give a number above 0."
            )


def refuse_another(
    ds: Dataset, known: Mapping[str, Any], given: Mapping[str, Any], names: Iterable[str], bot: str = ""
) -> None:
    """Refuse what is said of another thing under the id of a known one: it would take its place.

    What is not known yet may be told, and what is not given says nothing.

    Args:
        ds: its dataset.
        known: the row that has the id.
        given: what is said.
        names: of the columns, beside bot_id, that tell one thing from another.
        bot: whose word it is, unless ``given`` says it.

    Raises:
        InvalidRowError: a value does not fit.
        LifeCycleError: a value differs.
    """
    said = {"bot_id": given.get("bot_id") or bot, **{name: given.get(name) for name in names}}
    for name, value in said.items():
        if value in (None, "") or known.get(name) in (None, ""):
            continue
        found = converter(ds, ds.column(name))(value)
        if found != known[name]:
            raise LifeCycleError(
                f"another one has this id, and its {name} is {known[name]!r}",
                where=f"{ds.name}.{name}, {known[ds.key[0]]}",
                value=value,
                todo="Give each its own id, or leave the id out; a mistake is mended with patch.",
            )
