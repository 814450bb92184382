"""A recorded order of changes and syncs: whatever is acknowledged locally would survive a power cut."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lake.store.location import Location, resolve

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="tells files by /proc")


class Disk:
    """What a disk would hold after a power cut: inodes whose data, and names whose folders, were synced."""

    def __init__(self) -> None:
        self.data: dict[int, bytes] = {}  # inode -> bytes at its last sync
        self.names: dict[int, dict[str, int]] = {}  # inode of a folder -> its entries at its last sync

    def synced(self, descriptor: int) -> None:
        """Take over what the real disk holds now of one open file or folder."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        inode = os.fstat(descriptor).st_ino
        if path.is_dir():
            self.names[inode] = {entry.name: entry.inode() for entry in os.scandir(path)}
        else:
            self.data[inode] = path.read_bytes()

    def read(self, top: Path, path: str) -> bytes | None:
        """The bytes at ``path`` below ``top`` after the cut; None when they are not to be found."""
        inode = top.stat().st_ino
        for name in path.split("/"):
            found = self.names.get(inode, {}).get(name)
            if found is None:
                return None
            inode = found
        return self.data.get(inode)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk, real = Disk(), os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        disk.synced(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return disk


def written_out(place: Location) -> None:
    with place.open_output("t/p=1/x") as out:
        out.write(b"1")
    place.sync(["t/p=1/x"])


@pytest.mark.parametrize(
    "store",
    [lambda place: place.create("t/p=1/x", b"1"), lambda place: place.write("t/p=1/x", b"1"), written_out],
    ids=["create", "write", "output and sync"],
)
@pytest.mark.parametrize("root", ["lake", "new/deep/lake"])
def test_what_is_acknowledged_survives_a_power_cut(
    disk: Disk, tmp_path: Path, root: str, store: Callable[[Location], object]
) -> None:
    store(resolve(tmp_path / root))
    assert disk.read(tmp_path, f"{root}/t/p=1/x") == b"1"


def test_a_folder_that_others_made_and_did_not_sync_is_synced(disk: Disk, tmp_path: Path) -> None:
    place = resolve(tmp_path)
    (tmp_path / "t" / "p=1").mkdir(parents=True)
    place.create("t/p=1/x", b"1")
    assert disk.read(tmp_path, "t/p=1/x") == b"1"


def test_a_replaced_file_is_the_old_or_the_new_one_at_every_sync(disk: Disk, tmp_path: Path) -> None:
    place = resolve(tmp_path)
    place.write("x", b"old")
    seen = []
    real = disk.synced

    def synced(descriptor: int) -> None:
        real(descriptor)
        seen.append(disk.read(tmp_path, "x"))

    disk.synced = synced  # type: ignore[method-assign]
    place.write("x", b"new")
    assert seen == [b"old", b"new"]


def test_without_a_sync_an_output_would_be_lost(disk: Disk, tmp_path: Path) -> None:
    with resolve(tmp_path).open_output("t/x") as out:
        out.write(b"1")
    assert disk.read(tmp_path, "t/x") is None


def test_many_files_of_one_folder_sync_it_once(disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = resolve(tmp_path)
    place.write("t/first", b"")
    for number in range(10):
        with place.open_output(f"t/{number}") as out:
            out.write(b"1")
    count = 0
    recorded = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal count
        count += 1
        recorded(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    place.sync([f"t/{number}" for number in range(10)])
    assert count == 11
