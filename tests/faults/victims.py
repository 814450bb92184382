"""Starting victims, ending them, and comparing what they leave with what they said."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path
from time import sleep

import lake
from tests.faults.oracle import Oracle

PROJECT = Path(__file__).resolve().parents[2]


class Victim:
    """One run of the writer; its words are kept in a file of ``words``, by default beside the lake."""

    def __init__(self, path: Path, bot: str, seed: int, kill_at: int = 0, words: Path | None = None) -> None:
        self.words = (words or path.parent) / f"{path.name}-{bot}-{seed}-{kill_at}.txt"
        arguments = [sys.executable, "-m", "tests.faults.victim", str(path), bot, str(seed), str(kill_at)]
        environment = {**os.environ, "LAKE_CHECKPOINT_EVERY": "5", "LAKE_DRAIN_SECONDS": "0.5"}
        with self.words.open("wb") as out:
            self.process = subprocess.Popen(arguments, stdout=out, stderr=subprocess.PIPE, cwd=PROJECT, env=environment)

    def has_done(self, acknowledged: int) -> bool:
        """Whether so many of its writes were acknowledged, or it has ended."""
        return self.words.read_bytes().count(b'"done"') >= acknowledged or self.process.poll() is not None

    def wait_for(self, acknowledged: int) -> None:
        """Until so many of its writes were acknowledged."""
        while not self.has_done(acknowledged):
            sleep(0.005)

    def kill(self) -> None:
        self.process.kill()

    def last_words(self, ends: Collection[int] = (-signal.SIGKILL,)) -> list[str]:
        """What it said, line by line; fails when it ended in another way than with one of the statuses given."""
        _, errors = self.process.communicate(timeout=60)
        assert self.process.returncode in ends, errors.decode()
        return self.words.read_text().splitlines(keepends=True)


def check(path: Path, oracle: Oracle, *victims: Victim, settle: bool) -> None:
    """Follow what the victims said, then compare the lake with it, as it is and, with ``settle``, drained."""
    trying = [oracle.follow(victim.last_words()) for victim in victims]
    with lake.open(path, create=False) as lk:
        oracle.compare(lk, trying)
        assert lk.verify().findings == ()
        if settle:
            lk.drain(every_writer=True)
            oracle.compare(lk, [])
            assert lk.verify().findings == ()
