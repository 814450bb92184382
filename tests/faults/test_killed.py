"""Processes killed at any moment: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from time import sleep

import pytest

import lake
from tests.faults.oracle import Oracle

PROJECT = Path(__file__).resolve().parents[2]


class Victim:
    """One run of the writer, its words kept in a file."""

    def __init__(self, path: Path, bot: str, seed: int, kill_at: int = 0) -> None:
        self.words = path.parent / f"{path.name}-{bot}-{seed}-{kill_at}.txt"
        arguments = [sys.executable, "-m", "tests.faults.victim", str(path), bot, str(seed), str(kill_at)]
        environment = {**os.environ, "LAKE_CHECKPOINT_EVERY": "5", "LAKE_DRAIN_SECONDS": "0.5"}
        with self.words.open("wb") as out:
            self.process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.PIPE, cwd=PROJECT, env=environment)

    def is_open(self) -> bool:
        return b'"open"' in self.words.read_bytes() or self.process.poll() is not None

    def kill(self) -> None:
        self.process.kill()

    def last_words(self) -> list[str]:
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == -signal.SIGKILL, errors.decode()
        return self.words.read_text().splitlines(keepends=True)


def check(path: Path, oracle: Oracle, *victims: Victim, settle: bool) -> None:
    trying = [oracle.follow(victim.last_words()) for victim in victims]
    with lake.open(path, create=False) as lk:
        oracle.compare(lk, trying)
        assert lk.verify().findings == ()
        if settle:
            lk.drain(every_writer=True)
            oracle.compare(lk, [])
            assert lk.verify().findings == ()


@pytest.mark.parametrize("seed", range(2))
def test_writers_killed_at_random_times_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    path, oracle, chance = tmp_path / "lk", Oracle(), random.Random(seed)
    for turn in range(4):
        victims = [Victim(path, bot, seed * 1000 + turn) for bot in ("b1", "b2")]
        while not all(victim.is_open() for victim in victims):
            sleep(0.01)
        for victim in victims:
            sleep(chance.random())
            victim.kill()
        check(path, oracle, *victims, settle=turn % 2 == 1)
    assert oracle.acknowledged > 20


@pytest.mark.parametrize("seed", range(2))
def test_writers_killed_at_named_steps_lose_and_repeat_nothing(tmp_path: Path, seed: int) -> None:
    path, oracle, chance = tmp_path / "lk", Oracle(), random.Random(seed)
    for turn in range(6):
        victim = Victim(path, "b1", seed * 1000 + turn, kill_at=chance.randrange(1, 150))
        check(path, oracle, victim, settle=turn % 2 == 1)
    assert oracle.acknowledged > 20
