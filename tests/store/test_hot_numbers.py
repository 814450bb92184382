"""The numbers that the logs of a host give out only rise, and each is given once."""

from __future__ import annotations

import fcntl
import time
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

import pytest

from lake import clock
from lake.store.hot import numbers as numbers_module
from lake.store.hot.numbers import Numbers
from tests.helpers import finished, spawned

TAKEN = 5_000


def test_whoever_is_late_is_given_later_numbers(tmp_path: Path) -> None:
    with closing(Numbers(tmp_path, "a")) as first, closing(Numbers(tmp_path, "b")) as second:
        assert first.take(1999, 1) == 1999
        assert second.take(1000, 3) == 2000
        assert first.highest() == second.highest() == 2003
        assert second.take(3000, 2) == 3000
        assert first.take(0, 1) == 3002


def _takes(folder: str, seed: int, ready: Any, taken: Any) -> None:
    random, mine = Random(seed), [0]
    numbers_module._PATIENCE_SECONDS = 60  # however little of the processor a test gets
    with closing(Numbers(Path(folder), str(seed))) as numbers:
        ready.wait(60)
        for _ in range(TAKEN):
            count = random.randint(1, 3)
            before = numbers.take(max(mine[-1], random.randint(0, 4 * TAKEN)), count)
            mine += range(before + 1, before + count + 1)
    taken.put(mine[1:])


def test_no_number_is_given_twice_and_each_process_is_given_rising_ones(tmp_path: Path) -> None:
    context = get_context("spawn")
    ready, taken = context.Barrier(3), context.Queue()
    processes = [spawned(_takes, str(tmp_path), seed, ready, taken) for seed in range(3)]
    given = [taken.get(timeout=60) for _ in processes]
    finished(*processes)
    assert all(mine == sorted(mine) for mine in given)
    every = [number for mine in given for number in mine]
    assert len(set(every)) == len(every)
    with closing(Numbers(tmp_path, "a")) as numbers:
        assert numbers.highest() == max(every)


def test_it_is_told_though_another_process_was_stopped_in_the_middle(tmp_path: Path) -> None:
    with closing(Numbers(tmp_path, "a")) as numbers, (tmp_path / "numbers").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert numbers.take(6, 1) == 6
        assert numbers.highest() == 7


def test_numbers_of_new_rows_wait_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Numbers(tmp_path, "a")) as first, closing(Numbers(tmp_path, "b")) as second:
        first.take(1000, 3)
        monkeypatch.setattr(Numbers, "_await_turn", pytest.fail)
        assert first.take_own(1003, 3) == 1003
        assert second.take_own(1004, 2) == 1004


def test_new_rows_are_numbered_above_those_from_before_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Numbers(tmp_path, "a")) as first, closing(Numbers(tmp_path, "b")) as second:
        assert first.take_own(5000, 1) == 5000
        now = time.time_ns
        monkeypatch.setattr(clock.time, "time_ns", lambda: now() - 3_600 * 10**9)
        assert second.take_own(10, 2) == 5001
        assert second.take(10, 1) == 5003
        assert first.take_own(10, 1) == 5004
        assert first.take(10, 1) == 5005


def test_a_writer_that_comes_again_goes_on_above_its_own_numbers(tmp_path: Path) -> None:
    for last in (7000, 10, 20):
        with closing(Numbers(tmp_path, "a")) as numbers:
            before = numbers.take_own(last, 1)
            assert before >= 7000
    assert before == 7002
    assert (tmp_path / "numbers").stat().st_size == 2 * 16


def test_a_file_of_a_former_version_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "numbers").write_bytes((9000).to_bytes(8, "little"))
    with closing(Numbers(tmp_path, "a")) as numbers:
        assert numbers.take_own(10, 1) == 9000
        assert numbers.take(10, 1) == 9001
    assert int.from_bytes((tmp_path / "numbers").read_bytes()[:8], "little") == 9002


def test_writers_beyond_those_that_have_a_place_give_numbers_in_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbers_module, "_WRITERS", 1)
    with closing(Numbers(tmp_path, "a")) as first, closing(Numbers(tmp_path, "b")) as second:
        assert second.take_own(100, 2) == 100
        assert first.take_own(102, 1) == 102
        assert second.take_own(50, 1) == 103


@pytest.mark.parametrize("content", [b"", b"\x01", b"\xff" * 8, b"\xff" * 48])
def test_a_file_that_is_damaged_while_it_is_used_keeps_no_number_from_rising(tmp_path: Path, content: bytes) -> None:
    with closing(Numbers(tmp_path, "a")) as numbers:
        assert numbers.take_own(100, 2) == 100
        (tmp_path / "numbers").write_bytes(content)
        assert numbers.take_own(102, 1) == 102
        assert numbers.take_own(103, 1) == 103
        assert numbers.highest() == 104
