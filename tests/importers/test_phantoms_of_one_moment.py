"""Phantoms that several keys of a Redis tell with the same facts: a second import finds each where it landed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

import lake
from lake.importers.run import import_from
from tests.importers.conftest import Redis
from tests.importers.contract import imported, rows

_FACTS = {"symbol": "SOLUSDT", "side": "short", "entry_price": 50.0, "signal_time": "2025-04-01T01:15:00"}
_KEYS = [f"{whose}phantom:{stage}" for whose in ("", "mr_", "scalp_") for stage in ("active", "completed")]
_CHOICES: dict[str, list[Any]] = {
    "stop_loss": [52.0, 53.0, 50.0], "take_profit": [45.0, 44.0], "ml_score": [60.0, 80.0],
    "be_moved": [None, True, False], "strategy_name": [None, "trend", "mr", "x"], "phantom_id": ["", "a", "b"],
}  # fmt: skip
_END: dict[str, list[Any]] = {
    "outcome": ["win", "loss", "timeout", "active"], "exit_time": [f"2025-04-01T0{n}:55:30.5" for n in (3, 4)],
    "exit_price": [45.0, 46.0], "pnl_percent": [10.0, -4.0], "realized_rr": [2.5, 0],
}  # fmt: skip
_ODD = [None, "", "x", "12.5", float("nan"), 1e300, 10**30, -1, 0, [], {}, True, "null", "2025-13-45T00:00:00"]


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as lk:
        yield lk


def told(strategy: str | None = None, **more: Any) -> dict[str, Any]:
    return {**_FACTS, "strategy_name": strategy, **more}


def ended(strategy: str | None = None, **more: Any) -> dict[str, Any]:
    return told(strategy, outcome="win", exit_time="2025-04-01T04:55:30.5", pnl_percent=10.0, **more)


def put(redis: Redis, **keys: list[Any]) -> None:
    redis.server.flushdb()
    for name, entries in keys.items():
        prefix, _, stage = name.rpartition("_")
        redis.server.set(f"{prefix}:{stage}", json.dumps({"SOLUSDT": entries} if stage == "active" else entries))


def test_a_phantom_stays_where_it_landed_when_the_first_got_its_strategy_later(lk: lake.Lake, redis: Redis) -> None:
    put(redis, phantom_active=[told()], phantom_completed=[ended("x")], scalp_phantom_completed=[ended("x")])
    imported(lk, "phantoms-redis", redis.address)
    assert rows(lk, "phantoms", "strategy", "outcome") == [("x", "win"), ("x", "win")]


def test_a_phantom_that_is_refused_does_not_move_one_of_other_keys(lk: lake.Lake, redis: Redis) -> None:
    refused = told("trend", take_profit="2025-04-01")
    put(redis, mr_phantom_active=[refused], mr_phantom_completed=[ended()], scalp_phantom_completed=[ended("mr")])
    assert imported(lk, "phantoms-redis", redis.address).totals["refused"] == 1
    assert rows(lk, "phantoms", "strategy", "outcome") == [("mr", "win"), ("mr", "win")]


def test_a_phantom_that_two_keys_told_stays_one_when_one_of_them_corrects_it(lk: lake.Lake, redis: Redis) -> None:
    put(redis, phantom_completed=[ended("trend")], mr_phantom_completed=[ended("trend")])
    imported(lk, "phantoms-redis", redis.address)
    put(redis, phantom_completed=[ended("x")], mr_phantom_completed=[ended("trend")])
    imported(lk, "phantoms-redis", redis.address)
    assert rows(lk, "phantoms", "strategy") == ["x"]


def test_a_phantom_has_not_ended_in_another_beside_it_under_one_key(lk: lake.Lake, redis: Redis) -> None:
    put(redis, phantom_active=[told("trend"), ended("x")], phantom_completed=[told("x")])
    imported(lk, "phantoms-redis", redis.address)
    assert rows(lk, "phantoms", "strategy", "status") == [("trend", "active"), ("x", "completed")]


def test_two_phantoms_of_one_key_are_two_though_another_key_tells_one_of_them_otherwise(
    lk: lake.Lake, redis: Redis
) -> None:
    """Of one that has ended and one that goes on, with another score, each is found where it landed."""
    later = {"signal_time": "2025-04-01T02:15:00"}
    put(
        redis,
        mr_phantom_completed=[ended("mr", ml_score=60.0), ended("mr", **later, realized_rr=0)],
        scalp_phantom_completed=[
            ended("mr", **later, realized_rr=2.5),
            {**ended("mr", ml_score=70.0), "exit_time": "2025-04-01T03:55:30.5"},
            told("mr", ml_score=80.0),
        ],
    )
    imported(lk, "phantoms-redis", redis.address)
    assert rows(lk, "phantoms", "status", "ml_score") == [("active", 80.0), ("completed", 60.0), ("completed", None)]


def test_of_two_keys_of_a_stage_none_corrects_what_the_other_tells(lk: lake.Lake, redis: Redis) -> None:
    put(redis, phantom_completed=[ended(ml_score=60.0, phantom_id="a")])
    more = [ended(ml_score=80.0), ended(ml_score=60.0, phantom_id="b")]
    redis.server.set("phantom:completed:SOLUSDT", json.dumps(more))
    report = imported(lk, "phantoms-redis", redis.address)
    assert [(table.table, table.found) for table in report.tables] == [("phantom:completed, 2 keys", 3)]
    assert rows(lk, "phantoms", "ml_score") == [60.0, 80.0]


@pytest.mark.parametrize("seed", range(12))
def test_whatever_phantoms_of_one_moment_keys_hold_a_second_import_lands_none(
    lk: lake.Lake, redis: Redis, seed: int
) -> None:
    random = Random(seed)
    keys = random.sample(_KEYS, random.randint(2, 6))
    put(redis, **{key.replace(":", "_"): [_some(random, key) for _ in range(random.randint(1, 5))] for key in keys})
    first, second = (import_from(lk, "phantoms-redis", redis.address) for _ in range(2))
    assert first.balanced
    assert second.balanced
    assert second.totals["landed"] == 0, second.text()
    assert second.totals["refused"] == first.totals["refused"]


def _some(random: Random, key: str) -> Any:
    """A phantom of a few values, of which some are odd."""
    is_over = key.endswith("completed") or random.random() < 0.1
    choices = _CHOICES | (_END if is_over else {})
    row = {**_FACTS, **{name: random.choice(values) for name, values in choices.items()}}
    if random.random() < 0.3:
        row[random.choice(list(row))] = random.choice(_ODD)
    return row if random.random() < 0.95 else random.choice([[], [row], 7, "s", None])
