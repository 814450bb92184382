"""Versions of a prompt: one of them in use, whoever puts which to use at once."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lake
from lake.errors import InvalidRowError, LifeCycleError, UnknownRowError
from tests.helpers import finished, spawned


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def in_use(lk: lake.Lake) -> list[str]:
    return lk.frame("SELECT version FROM prompt_versions WHERE is_active ORDER BY ALL")["version"].to_list()


def test_one_version_is_in_use_and_its_text_is_at_hand(lk: lake.Lake) -> None:
    assert lk.prompts.active() is None
    assert lk.prompts.register("v1", "Look at the chart.", name="chart", activate=True).inserted == 1
    assert lk.prompts.register("v2", "Look twice.", description="doubts itself").inserted == 1
    active = lk.prompts.active()
    assert active is not None
    assert (active["version"], active["prompt_text"], active["name"]) == ("v1", "Look at the chart.", "chart")
    assert lk.prompts.activate("v2").updated == 1
    assert lk.prompts.activate("v2").unchanged == 1
    assert in_use(lk) == ["v2"]


def test_a_version_never_changes_its_text(lk: lake.Lake) -> None:
    lk.prompts.register("v1", "Look.", name="chart", activate=True)
    before = lk.prompts.get("v1")
    assert lk.prompts.register("v1", "Look.").unchanged == 1
    assert lk.prompts.register("v1", "Look.", "chart").unchanged == 1
    assert lk.prompts.get("v1") == before
    with pytest.raises(LifeCycleError, match=r"v1: it is registered with another text.*version of its own"):
        lk.prompts.register("v1", "Look again.", activate=True)
    assert lk.prompts.get("v1") == before
    assert lk.prompts.register("v1", "Look.", description="the first").updated == 1
    row = lk.prompts.get("v1")
    assert row is not None
    assert (row["description"], row["is_active"]) == ("the first", True)


def test_a_patch_neither_puts_a_second_one_to_use_nor_changes_a_text(lk: lake.Lake) -> None:
    lk.prompts.register("v1", "Look.", activate=True)
    lk.prompts.register("v2", "Look twice.")
    with pytest.raises(LifeCycleError, match=r"v2: .*lk\.prompts\.activate\('v2'\)"):
        lk.prompts.patch("v2", is_active=True)
    with pytest.raises(LifeCycleError, match=r"v2: it is registered with another text"):
        lk.prompts.patch("v2", prompt_text="other", description="x")
    assert lk.prompts.patch("v2", prompt_text="Look twice.", is_active=False).unchanged == 1
    assert lk.prompts.patch("v1", is_active=True, description="the first", mood="calm").updated == 1
    assert in_use(lk) == ["v1"]
    assert lk.read("prompt_versions", {"version": "v1"}).select("description", "extra").rows() == [
        ("the first", '{"mood":"calm"}')
    ]
    assert lk.prompts.patch("v1", is_active=False).updated == 1
    assert in_use(lk) == []
    with pytest.raises(UnknownRowError, match="'v9'"):
        lk.prompts.patch("v9", name="x")


def test_what_is_not_registered_is_not_put_to_use(lk: lake.Lake) -> None:
    lk.prompts.register("v1", "Look.", activate=True)
    with pytest.raises(UnknownRowError, match="'v9'"):
        lk.prompts.activate("v9")
    with pytest.raises(InvalidRowError, match=r"prompt_versions\.version"):
        lk.prompts.register("", "Look.", activate=True)
    assert in_use(lk) == ["v1"]


def test_threads_that_put_different_versions_to_use_end_with_one(lk: lake.Lake) -> None:
    names = [f"v{number}" for number in range(4)]
    for name in names:
        lk.prompts.register(name, name)
    for _ in range(10):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lk.prompts.activate, names))
        assert len(in_use(lk)) == 1


def test_versions_that_are_registered_and_put_to_use_at_once_end_with_one(lk: lake.Lake) -> None:
    for turn in range(5):
        names = [f"v{turn}-{number}" for number in range(4)]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda name: lk.prompts.register(name, name, activate=True), names))
        assert len(in_use(lk)) == 1
        assert in_use(lk)[0] in names


def test_tasks_that_put_different_versions_to_use_end_with_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with await lake.open_async(tmp_path, bot_id="tester") as alk:
            for turn in range(4):
                names = [f"v{turn}-{number}" for number in range(3)]
                await asyncio.gather(*(alk.prompts.register(name, name, activate=True) for name in names))
                await asyncio.gather(*(alk.prompts.activate(name) for name in names))
                assert len(in_use(alk.lake)) == 1

    asyncio.run(work())


def test_inside_a_transaction_the_last_one_holds_and_nothing_lands_when_it_raises(lk: lake.Lake) -> None:
    with lk.transaction():
        lk.prompts.register("v1", "one", activate=True)
        lk.prompts.register("v2", "two", activate=True)
        lk.prompts.register("v3", "three")
    assert in_use(lk) == ["v2"]

    def put_to_use_and_fail() -> None:
        with lk.transaction():
            lk.prompts.activate("v3")
            lk.prompts.register("v4", "four", activate=True)
            lk.prompts.activate("v9")

    with pytest.raises(UnknownRowError, match="'v9'"):
        put_to_use_and_fail()
    assert in_use(lk) == ["v2"]
    assert lk.prompts.get("v4") is None
    assert lk.prompts.register("v5", "five", activate=True).inserted == 1  # it does not wait for v4
    assert in_use(lk) == ["v5"]


def test_it_stays_in_use_over_a_drain_and_a_restart(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.prompts.register("v1", "one", activate=True)
        lk.drain()
        lk.prompts.register("v2", "two", activate=True)
    with lake.open(tmp_path, bot_id="tester") as lk:
        assert in_use(lk) == ["v2"]
        lk.prompts.activate("v1")
        lk.drain()
        lk.prompts.activate("v2")
        assert in_use(lk) == ["v2"]
        lk.drain()
        assert in_use(lk) == ["v2"]


def _put_to_use(uri: str, name: str, times: int) -> None:
    with lake.open(uri, bot_id=name) as lk:
        for number in range(times):
            lk.prompts.activate(name)
            lk.prompts.register(f"{name}-{number}", "new", activate=True)


def test_processes_that_put_different_versions_to_use_end_with_one(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="tester") as lk:
        lk.prompts.register("a", "one")
        lk.prompts.register("b", "two")
        finished(*(spawned(_put_to_use, str(tmp_path), name, 10) for name in ("a", "b")))
        before = in_use(lk)
        assert len(before) == 1
        lk.drain(every_writer=True)
        assert in_use(lk) == before


def _put_to_use_in_transactions(uri: str, name: str, step: Any, wrong: Any) -> None:
    with lake.open(uri, bot_id=name) as lk:
        for number in range(10):
            step.wait(60)
            with lk.transaction():
                lk.prompts.register(f"{name}{number}", "Trade.")
                lk.prompts.activate(f"{name}{number}")
            step.wait(60)
            with wrong.get_lock():
                wrong.value += len(in_use(lk)) != 1


def test_processes_that_put_versions_to_use_in_transactions_at_once_end_with_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    step, wrong = context.Barrier(3), context.Value("i", 0)
    finished(*(spawned(_put_to_use_in_transactions, str(tmp_path), name, step, wrong) for name in "abc"))
    assert wrong.value == 0


def test_what_put_a_version_to_use_and_was_undone_puts_no_other_out_of_use(lk: lake.Lake) -> None:
    with lk.transaction():
        lk.prompts.register("v1", "Trade.", activate=True)
        with pytest.raises(LifeCycleError), lk.transaction():
            _activate_and_fail(lk)
    assert in_use(lk) == ["v1"]


def _activate_and_fail(lk: lake.Lake) -> None:
    lk.prompts.register("v2", "Trade well.", activate=True)
    lk.prompts.register("v1", "Do not trade.")


def test_versions_are_compared_by_what_their_decisions_made(lk: lake.Lake) -> None:
    for version, pnl in (("v1", 5.0), ("v2", -3.0), ("v3", 1.0)):
        lk.prompts.register(version, version)
        made = lk.decisions.record(
            symbol="BTCUSDT", recommendation="LONG", prompt_version=version, cost_usd=1.0, traded=True
        )
        lk.decisions.resolve(made.id, actual_pnl=pnl)
    found = lk.prompts.compare("v1", "v2")
    assert found.select("prompt_version", "net_pnl", "accuracy").rows() == [("v1", 4.0, 100.0), ("v2", -4.0, 0.0)]
    assert lk.prompts.compare().height == 3
    assert lk.prompts.compare("v1", days=7).height == 1
