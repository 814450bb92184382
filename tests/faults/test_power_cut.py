"""A power cut on a real file system: what was acknowledged is there, drained or not, and the lake opens.

The lake lies on ext4 in a file. The cut is the file system's own shutdown without a flush: from then on
nothing reaches the disk, and what was not synced is gone when it is mounted again.
"""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from time import sleep

import pytest

import lake
from tests.faults.oracle import Oracle
from tests.faults.victims import Victim, check

SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN
WITHOUT_FLUSH = 2


class Disk:
    """An ext4 file system in a file, whose power can be cut."""

    def __init__(self, folder: Path) -> None:
        self.image, self.mounted = folder / "disk.img", folder / "disk"
        self.mounted.mkdir()
        with self.image.open("wb") as image:
            image.truncate(96 << 20)
        self._run("mkfs.ext4", "-q", "-F", str(self.image))
        self.mount()

    def mount(self) -> None:
        self._run("mount", "-o", "loop", str(self.image), str(self.mounted))

    def unmount(self) -> None:
        self._run("umount", str(self.mounted))

    def cut_power(self) -> None:
        descriptor = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(descriptor)

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise OSError(f"{command[0]}: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or not (shutil.which("mkfs.ext4") and shutil.which("mount")):
        pytest.skip("a file system of our own needs root and mkfs.ext4")
    try:
        disk = Disk(tmp_path)
    except OSError as error:
        pytest.skip(f"cannot make a file system of our own: {error}")
    yield disk
    subprocess.run(["umount", "-l", str(disk.mounted)], check=False, capture_output=True)


def test_a_file_that_was_not_synced_is_gone_after_the_cut(disk: Disk) -> None:
    """Without this, the test below would show nothing."""
    (disk.mounted / "synced").write_bytes(b"1")
    os.sync()
    (disk.mounted / "lost").write_bytes(b"1" * 9000)
    disk.cut_power()
    disk.unmount()
    disk.mount()
    assert sorted(p.name for p in disk.mounted.iterdir()) == ["lost+found", "synced"]


@pytest.mark.parametrize("seed", range(2))
def test_a_power_cut_loses_nothing_that_was_acknowledged(disk: Disk, tmp_path: Path, seed: int) -> None:
    path, oracle, chance = disk.mounted / "lk", Oracle(), random.Random(seed)
    with lake.open(path):
        pass
    for turn in range(3):
        victim = Victim(path, "b1", seed * 1000 + turn, words=tmp_path)
        victim.wait_for(chance.randrange(5, 60))
        sleep(chance.uniform(0, 0.05))  # somewhere inside of what it does next
        disk.cut_power()
        victim.kill()
        said = victim.last_words(ends=(-signal.SIGKILL, 1))  # it may have noticed, and ended with an error
        disk.unmount()
        disk.mount()
        trying = oracle.follow(said)
        with lake.open(path, create=False) as lk:
            oracle.compare(lk, [trying])
            assert lk.verify().findings == ()
        check(path, oracle, settle=turn % 2 == 1)
    assert oracle.acknowledged > 20
