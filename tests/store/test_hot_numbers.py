"""The numbers that the logs of a host give out only rise, and each is given once."""

from __future__ import annotations

import fcntl
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from lake.store.hot import numbers as numbers_module
from lake.store.hot.numbers import Numbers
from tests.helpers import finished, spawned

TAKEN = 5_000


def test_whoever_is_late_is_given_later_numbers(tmp_path: Path) -> None:
    with closing(Numbers(tmp_path)) as first, closing(Numbers(tmp_path)) as second:
        assert first.take(1999, 1) == 1999
        assert second.take(1000, 3) == 2000
        assert first.highest() == second.highest() == 2003
        assert second.take(3000, 2) == 3000
        assert first.take(0, 1) == 3002


def _takes(folder: str, seed: int, ready: Any, taken: Any) -> None:
    random, mine = Random(seed), [0]
    numbers_module._PATIENCE_SECONDS = 60  # however little of the processor a test gets
    with closing(Numbers(Path(folder))) as numbers:
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
    with closing(Numbers(tmp_path)) as numbers:
        assert numbers.highest() == max(every)


def test_it_is_told_though_another_process_was_stopped_in_the_middle(tmp_path: Path) -> None:
    with closing(Numbers(tmp_path)) as numbers, (tmp_path / "numbers").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert numbers.take(6, 1) == 6
        assert numbers.highest() == 7
