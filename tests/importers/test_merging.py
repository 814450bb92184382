from __future__ import annotations

import json
from typing import Any

import pytest

from lake.importers.merging import is_same, merged
from lake.spec import registry
from lake.spec.rows import row_checker

AT = "2024-03-01T00:00:00Z"
OPEN = {"trade_id": "t", "symbol": "BTCUSDT", "status": "open", "created_at": AT, "opened_at": AT}
CLOSED = {**OPEN, "status": "closed", "closed_at": "2024-03-02T00:00:00Z"}

FINE, SOON = "2024-03-01T00:00:00.7Z", "2024-03-01T00:00:00.5Z"
MICROS = 1_709_251_200_000_000  # AT


def row(values: dict[str, Any], **found: Any) -> dict[str, Any]:
    """A trade of the lake; ``found`` is what each table said of it."""
    extra = {"imported": found} if found else {}
    return row_checker(registry.get("trades"))({**values, **({"extra": extra} if extra else {})})


# what is there, what comes, what becomes of the columns; those that are kept against the source, and given up for it
TABLE = {
    "another source adds what was not known": (
        row({**CLOSED, "pnl": 1.5}, other={}), row({**CLOSED, "fees": 0.5}, own={}),
        {"pnl": 1.5, "fees": 0.5}, (), (),
    ),
    "another source does not change what was known": (
        row({**CLOSED, "pnl": 1.5}, other={}), row({**CLOSED, "pnl": 1.75}, own={}),
        {"pnl": 1.5}, ("pnl",), (),
    ),
    "a row that a bot wrote is not changed": (
        row({**CLOSED, "pnl": 1.5}), row({**CLOSED, "pnl": 1.75}, own={}),
        {"pnl": 1.5}, ("pnl",), (),
    ),
    "the same source, told otherwise now, is believed, and what had ended told of": (
        row({**CLOSED, "pnl": 1.5}, own={"pnl": 1.5}), row({**CLOSED, "pnl": 1.75}, own={"pnl": 1.75}),
        {"pnl": 1.75}, (), ("pnl",),
    ),
    "the same source, told the same again, does not undo what a bot changed": (
        row({**CLOSED, "pnl": 9.0}, own={"pnl": 1.5}), row({**CLOSED, "pnl": 1.5}, own={"pnl": 1.5}),
        {"pnl": 9.0}, ("pnl",), (),
    ),
    "a row that has ended elsewhere has ended": (
        row(OPEN, other={}), row({**CLOSED, "pnl": 2.0}, own={}),
        {"status": "closed", "pnl": 2.0}, (), (),
    ),
    "prices that an ended row puts in the place of others are told": (
        row({**OPEN, "stop_loss": 9.0, "max_favorable": 11.0}, other={}),
        row({**CLOSED, "stop_loss": 9.5, "max_favorable": 12.0}, own={}),
        {"stop_loss": 9.5, "max_favorable": 12.0}, (), ("stop_loss",),
    ),
    "what was known at the entry stays when another source knows the end": (
        row({**OPEN, "features": {"rsi": 1}}, other={}), row({**CLOSED, "features": {"rsi": 2}}, own={}),
        {"status": "closed", "features": '{"rsi":1}'}, ("features",), (),
    ),
    "a trade that ended in the second of its beginning, which only one store tells finely, has the times of one": (
        row({**OPEN, "created_at": FINE, "opened_at": FINE}, other={}), row({**CLOSED, "closed_at": SOON}, own={}),
        {"created_at": MICROS, "opened_at": MICROS, "closed_at": MICROS + 500_000}, (), ("opened_at",),
    ),
    "an end that was not known comes with the beginning that it is told with": (
        row({**CLOSED, "opened_at": "2024-03-01T00:00:50Z", "closed_at": None}, other={}),
        row({**CLOSED, "closed_at": "2024-03-01T00:00:30Z"}, own={}),
        {"opened_at": MICROS, "closed_at": MICROS + 30_000_000}, (), ("opened_at",),
    ),
    "an end without its beginning is not put before the other's": (
        row({**CLOSED, "opened_at": "2024-03-01T00:00:50Z", "closed_at": None}, other={}),
        row({**CLOSED, "opened_at": None, "closed_at": "2024-03-01T00:00:30Z"}, own={}),
        {"opened_at": MICROS + 50_000_000, "closed_at": None}, ("closed_at",), (),
    ),
    "a beginning without its end is not put behind the other's": (
        row({**CLOSED, "opened_at": None, "closed_at": SOON}, other={}),
        row({**CLOSED, "opened_at": FINE, "closed_at": None}, own={}),
        {"opened_at": None, "closed_at": MICROS + 500_000}, ("opened_at",), (),
    ),
    "an order that a store tells itself is kept": (
        row(OPEN, other={}), row({**CLOSED, "opened_at": FINE, "closed_at": AT}, own={}),
        {"opened_at": MICROS, "closed_at": MICROS}, (), (),
    ),
    "a row that has ended is not opened again, but learns": (
        row({**CLOSED, "pnl": 2.0, "stop_loss": 9.0}, other={}),
        row({**OPEN, "stop_loss": 8.0, "take_profit": 12.0}, own={}),
        {"status": "closed", "pnl": 2.0, "stop_loss": 9.0, "take_profit": 12.0}, ("stop_loss",), (),
    ),
    "an older copy of the same source, in which it is open, changes nothing": (
        row({**CLOSED, "pnl": 2.0}, own={"status": "closed"}),
        row({**OPEN, "take_profit": 12.0}, own={"status": "open"}),
        {"status": "closed", "pnl": 2.0, "take_profit": None}, (), (),
    ),
    "what the dataset says by default is no difference": (
        row({**CLOSED, "mode": "paper", "leverage": 5.0}, other={}), row(CLOSED, own={}),
        {"mode": "paper", "leverage": 5.0}, (), (),
    ),
    "a time is no default": (
        row({**CLOSED}, other={}), row({**CLOSED, "created_at": "2024-02-29T00:00:00Z"}, own={}),
        {"created_at": 1_709_251_200_000_000}, ("created_at",), (),
    ),
    "an empty text is not known": (
        row({**CLOSED, "venue": ""}, other={}), row({**CLOSED, "venue": "binance"}, own={}),
        {"venue": "binance"}, (), (),
    ),
    "numbers that decimals and floats tell apart are the same": (
        row({**CLOSED, "pnl": 0.1 + 0.2}, other={}), row({**CLOSED, "pnl": 0.3}, own={}),
        {"pnl": 0.1 + 0.2}, (), (),
    ),
    "documents are the same however they are written": (
        row({**CLOSED, "features": '{"a": 1, "b": 2}'}, other={}), row({**CLOSED, "features": '{"b":2,"a":1}'}, own={}),
        {"features": '{"a": 1, "b": 2}'}, (), (),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("there", "incoming", "becomes", "kept", "given_up"), TABLE.values(), ids=TABLE.keys())
def test_two_stories_of_a_row_become_one(
    there: dict[str, Any],
    incoming: dict[str, Any],
    becomes: dict[str, Any],
    kept: tuple[str, ...],
    given_up: tuple[str, ...],
) -> None:
    ds = registry.get("trades")
    done = merged(ds, there, incoming, "own")
    assert {name: done.row.get(name) for name in becomes} == becomes
    assert (done.kept, done.given_up) == (kept, given_up)
    again = merged(ds, done.row, incoming, "own")
    assert again.row == done.row  # told once more, it changes nothing


def test_what_every_source_said_is_kept_beside_the_row() -> None:
    there = row({**CLOSED, "extra": {"note": "first", "imported": {"other": {"a": 1}}}})
    incoming = row({**CLOSED, "extra": {"note": "second", "more": 1, "imported": {"own": {"b": 2}}}})
    extra = json.loads(merged(registry.get("trades"), there, incoming, "own").row["extra"])
    assert extra == {"note": "first", "more": 1, "imported": {"other": {"a": 1}, "own": {"b": 2}}}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1_700_000_000_123_456, 1_700_000_000_123_000, True),
        (1_700_000_000_123_456, 1_700_000_000_000_000, True),
        (1_700_000_000_000_000, 1_700_000_000_123_456, True),
        (1_700_000_000_123_456, 1_700_000_000_223_456, False),
        (1_700_000_000_123_456, 1_700_000_001_000_000, False),
        (1, 2, False),
        (1.0, 1, True),
        ("a", "b", False),
        ("{broken", "{broken ", False),
        (None, "a", False),
        (True, False, False),
    ],
)
def test_values_are_the_same_but_for_what_stores_cannot_keep(one: Any, other: Any, same: bool) -> None:
    assert is_same(one, other) is same
