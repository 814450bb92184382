"""Rows whose names came before are told by one function: they are what they were the first time."""

from __future__ import annotations

from copy import copy
from enum import StrEnum
from typing import Any

import numpy as np
import pytest

from lake.errors import InvalidRowError
from lake.spec import flat, registry
from lake.spec.dataset import Column, Dataset, Type
from lake.spec.rows import row_checker
from lake.spec.rules import Levels

MOMENT = 1_704_067_200_000_000
_VALUES = {Type.FLOAT: 1, Type.INT: 7, Type.BOOL: True, Type.JSON: '{"a":1}', Type.TIMESTAMP: MOMENT, Type.STRING: "x"}
_NAMED = {"symbol": "BTCUSDT", "timeframe": "15m"}


def value_of(column: Column) -> Any:
    """One that fits."""
    if column.choices:
        return column.choices[0]
    return _NAMED.get(column.name, _VALUES.get(column.type, "2024-01-01"))


def whole(ds: Dataset) -> dict[str, Any]:
    """A row with a value of each column but of levels, which would have to lie in order."""
    levels = {name for rule in ds.rules if isinstance(rule, Levels) for name in rule.names}
    return {c.name: value_of(c) for c in ds.columns if c.name not in levels or c.required}


def outcome(ds: Dataset, row: dict[str, Any]) -> object:
    """The row in the order of its columns, or the words of the error."""
    try:
        return list(row_checker(ds)(row).items())
    except InvalidRowError as error:
        return error.sentence()


@pytest.mark.parametrize("name", registry.names())
def test_a_row_is_the_same_however_often_its_names_came(name: str) -> None:
    ds = registry.get(name)
    every = whole(ds)
    needed = {c.name: every[c.name] for c in ds.columns if c.required}
    for row in (every, needed, {**needed, "mood": "good", "n": [1]}, {**every, "mood": None}, {**needed, "period": 3}):
        found = [outcome(ds, row) for _ in range(4)]
        assert found == [found[0]] * 4


@pytest.mark.parametrize("name", registry.names())
def test_a_value_that_does_not_fit_is_refused_however_often_its_names_came(name: str) -> None:
    ds = registry.get(name)
    every = whole(ds)
    for _ in range(3):
        row_checker(ds)(every)
    for column in ds.columns:
        if column.type is Type.JSON:
            continue
        with pytest.raises(InvalidRowError, match=rf"{name}\.{column.name}"):
            row_checker(ds)({**every, column.name: [1, 2]})


def test_times_and_ids_that_are_not_given_are_made_for_each_row() -> None:
    check = row_checker(registry.get("signals"))
    rows = [check({"symbol": "BTCUSDT", "direction": "LONG"}) for _ in range(4)]
    assert sorted({row["signal_id"] for row in rows}) == [row["signal_id"] for row in rows]
    assert all(abs(row["signal_time"] - rows[0]["signal_time"]) < 60_000_000 for row in rows)


def test_rules_hold_however_often_the_names_came() -> None:
    check = row_checker(registry.get("phantoms"))
    row = {
        "phantom_id": "p",
        "symbol": "BTCUSDT",
        "side": "LONG",
        "entry_price": 10.0,
        "tp1": 11.0,
        "signal_time": MOMENT,
    }
    for _ in range(3):
        assert check(row)["tp1"] == 11.0
    with pytest.raises(InvalidRowError, match="on the wrong side of entry_price"):
        check({**row, "tp1": 9.0})
    with pytest.raises(InvalidRowError, match="it is before signal_time"):
        [check({**row, "timeout_at": MOMENT - 1}) for _ in range(3)]


def test_a_row_of_ever_other_names_is_taken_as_any() -> None:
    check = row_checker(registry.get("signals"))
    for number in range(3 * flat.MOST):
        row = {"signal_id": "s", "symbol": "BTCUSDT", "signal_time": MOMENT, f"field_{number}": number}
        assert check(row)["extra"] == f'{{"field_{number}":{number}}}' == check(row)["extra"]


class Field(StrEnum):
    """Names of fields as a bot may have them."""

    ID = "signal_id"
    SYMBOL = "symbol"
    MOMENT = "signal_time"
    MOOD = "mood"


@pytest.mark.parametrize("odd", [Field, np.str_])
@pytest.mark.parametrize("is_first", [True, False])
def test_names_that_are_members_of_an_enum_or_texts_of_numpy_are_taken_as_texts(odd: Any, *, is_first: bool) -> None:
    ds = copy(registry.get("signals"))  # of which nobody has told names yet
    row = {"signal_id": "s", "symbol": "BTCUSDT", "signal_time": MOMENT, "mood": 3}
    named = {odd(name): value for name, value in row.items()}
    first, then = (named, row) if is_first else (row, named)
    found = [row_checker(ds)(given) for given in (first, first, first, then, then, then)]
    assert found == [found[0]] * 6
    assert found[0]["extra"] == '{"mood":3}'
    assert {type(name) for done in found for name in done} == {str}
