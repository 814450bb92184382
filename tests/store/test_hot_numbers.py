"""The highest number that a host's logs have given out only rises, whoever tells it last."""

from __future__ import annotations

import fcntl
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import Any

from lake.store.hot.numbers import Numbers
from tests.helpers import finished, spawned

HIGHEST = 20_000


def test_a_late_write_does_not_lower_it(tmp_path: Path) -> None:
    with closing(Numbers(tmp_path)) as first, closing(Numbers(tmp_path)) as second:
        first.gave(2000)
        second.gave(1000)
        assert first.highest() == second.highest() == 2000
        second.gave(2001)
        assert first.highest() == 2001


def _tells(folder: str, seed: int, ready: Any) -> None:
    told = list(range(1, HIGHEST + 1))
    Random(seed).shuffle(told)
    above = 0
    with closing(Numbers(Path(folder))) as numbers:
        ready.wait(60)
        for number in told:
            numbers.gave(number)
            above = max(above, number)
            assert numbers.highest() >= above


def test_it_never_falls_while_processes_tell_numbers_in_any_order(tmp_path: Path) -> None:
    ready = get_context("spawn").Barrier(3)
    for process in [spawned(_tells, str(tmp_path), seed, ready) for seed in range(3)]:
        finished(process)
    with closing(Numbers(tmp_path)) as numbers:
        assert numbers.highest() == HIGHEST


def test_it_is_told_though_another_process_was_stopped_in_the_middle(tmp_path: Path) -> None:
    with closing(Numbers(tmp_path)) as numbers, (tmp_path / "numbers").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        numbers.gave(7)
        assert numbers.highest() == 7
