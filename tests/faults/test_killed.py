"""Processes killed at any moment: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import random
from pathlib import Path
from time import sleep

import pytest

from tests.faults.oracle import Oracle
from tests.faults.victims import Victim, check


@pytest.mark.parametrize("seed", range(2))
def test_writers_killed_at_random_times_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    path, oracle, chance = tmp_path / "lk", Oracle(), random.Random(seed)
    for turn in range(3):
        victims = [Victim(path, bot, seed * 1000 + turn) for bot in ("b1", "b2")]
        living = {victim: chance.randrange(5, 60) for victim in victims}
        while living:
            sleep(0.005)
            for victim in [v for v, wanted in living.items() if v.has_done(wanted)]:
                sleep(chance.uniform(0, 0.05))  # somewhere inside of what it does next
                victim.kill()
                del living[victim]
        check(path, oracle, *victims, settle=turn % 2 == 1)
    assert oracle.acknowledged > 20


@pytest.mark.parametrize("seed", range(2))
def test_writers_killed_at_named_steps_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    path, oracle, chance = tmp_path / "lk", Oracle(), random.Random(seed)
    for turn in range(5):
        victim = Victim(path, "b1", seed * 1000 + turn, kill_at=chance.randrange(1, 150))
        check(path, oracle, victim, settle=turn % 2 == 1)
    assert oracle.acknowledged > 20
