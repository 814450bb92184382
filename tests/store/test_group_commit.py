"""Group commit: who waits for whom, with commits that the tests hold up themselves."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from threading import Event, Lock, Thread
from types import FrameType

import pytest

from lake.store.hot import group as group_module
from lake.store.hot.entry import Entry
from lake.store.hot.group import Batch, GroupCommit

ENTRIES = [Entry("signals", [{"signal_id": "s"}])]


class Disk:
    """Notes the size of each group, and holds a commit up until it is told to go on."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.busy, self.go_on = Event(), Event()

    def commit(self, group: Sequence[Batch]) -> None:
        self.sizes.append(len(group))
        for batch in group:
            batch.sequences.append(len(self.sizes))
        self.busy.set()
        self.go_on.wait(10)


def waiting(commits: GroupCommit, count: int) -> None:
    """Return when so many batches wait for their commit."""
    until = time.monotonic() + 10
    while len(commits._waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.001)


def test_writers_that_were_just_served_come_along_when_they_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "_LONGEST_SECONDS", 10.0)
    disk = Disk()
    commits = GroupCommit(disk.commit)

    def twice() -> None:
        commits.run(ENTRIES)
        commits.run(ENTRIES)

    first = Thread(target=twice)
    first.start()
    assert disk.busy.wait(10)
    others = [Thread(target=commits.run, args=(ENTRIES,)) for _ in range(2)]
    for thread in others:
        thread.start()
    waiting(commits, 2)
    time.sleep(0.5)  # the commit takes so long: half of it is what others may be waited for
    disk.go_on.set()
    for thread in (first, *others):
        thread.join(10)
    assert disk.sizes == [1, 3]
    commits.close()


def test_nobody_is_waited_for_longer_than_half_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "_LONGEST_SECONDS", 10.0)
    disk = Disk()
    commits = GroupCommit(disk.commit)
    threads = [Thread(target=commits.run, args=(ENTRIES,)) for _ in range(3)]
    threads[0].start()
    assert disk.busy.wait(10)
    for thread in threads[1:]:
        thread.start()
    waiting(commits, 2)
    disk.go_on.set()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert disk.sizes == [1, 2]
    assert commits.run(ENTRIES) == [3]
    commits.close()


def test_a_lone_writer_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    disk.go_on.set()
    commits = GroupCommit(disk.commit)
    monkeypatch.setattr(commits, "_patience", 3600.0)
    for _ in range(3):
        commits.run(ENTRIES)
        monkeypatch.setattr(commits, "_patience", 3600.0)
    assert disk.sizes == [1, 1, 1]


def test_a_leader_that_is_interrupted_after_its_commit_leaves_nobody_behind() -> None:
    disk = Disk()
    commits = GroupCommit(disk.commit)
    told: list[str] = []
    interrupted = []

    def interrupt(_: Batch) -> None:
        told.append("first")
        if len(told) == 1:
            raise KeyboardInterrupt

    def lead() -> None:
        try:
            commits.wait(commits.submit(ENTRIES, interrupt))
        except KeyboardInterrupt as error:
            interrupted.append(error)

    leader = Thread(target=lead)
    leader.start()
    assert disk.busy.wait(10)

    def follow() -> None:
        commits.wait(commits.submit(ENTRIES, lambda _: told.append("second")))

    follower = Thread(target=follow, daemon=True)
    follower.start()
    waiting(commits, 1)
    disk.go_on.set()
    leader.join(10)
    follower.join(10)
    assert len(interrupted) == 1
    assert not follower.is_alive()
    assert told == ["first", "first", "second"]
    assert disk.sizes == [1, 1]


def test_a_leader_that_is_interrupted_while_it_waits_leaves_nobody_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    disk.go_on.set()
    commits = GroupCommit(disk.commit)
    with monkeypatch.context() as patched:
        patched.setattr(commits, "_gather", lambda: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            commits.run(ENTRIES)
    assert commits.run(ENTRIES) in ([1], [2])
    commits.close()
    assert sum(disk.sizes) == 2


class Interrupted:
    """A lock; Ctrl-C comes when it is let go of after those who waited were taken out of the queue."""

    def __init__(self, commits: GroupCommit) -> None:
        self._commits, self._lock = commits, Lock()
        self._waited, self.is_done = 0, False

    def __enter__(self) -> None:
        self._lock.acquire()
        self._waited = len(self._commits._waiting)

    def __exit__(self, *_: object) -> None:
        is_taken = self._waited > 0 and not self._commits._waiting and not self.is_done
        self._lock.release()
        if is_taken:
            self.is_done = True
            raise KeyboardInterrupt


def test_who_waits_learns_of_ctrl_c_that_comes_when_the_queue_was_just_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Batch] = []
    disk = Disk()
    disk.go_on.set()
    commits = GroupCommit(disk.commit)
    first = commits.submit(ENTRIES, told.append)
    monkeypatch.setattr(commits, "_mutex", Interrupted(commits))
    learnt: list[BaseException] = []

    def wait() -> None:
        try:
            commits.wait(commits.submit(ENTRIES, told.append))
        except KeyboardInterrupt as error:
            learnt.append(error)

    other = Thread(target=wait, daemon=True)
    other.start()
    waiting(commits, 2)
    with pytest.raises(KeyboardInterrupt):
        commits.wait(first)
    other.join(10)
    assert len(learnt) == 1
    assert [batch.sequences for batch in told] == [[], []]
    assert commits.run(ENTRIES) == [1]


class BrokenOff:
    """Ctrl-C at one of the calls and returns of the group's code, by its number; whether that many came."""

    def __init__(self, at: int) -> None:
        self._at, self._seen = at, 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename == group_module.__file__:
            self._seen += 1
            if self._seen == self._at:
                sys.setprofile(None)
                raise KeyboardInterrupt

    def runs(self, what: Callable[[], object]) -> bool:
        sys.setprofile(self)
        try:
            what()
        except KeyboardInterrupt:
            return True
        finally:
            sys.setprofile(None)
        return False


def wait_often(commits: GroupCommit) -> None:
    for _ in range(3):
        with suppress(KeyboardInterrupt):  # of the leader's group
            commits.run(ENTRIES)


@pytest.mark.parametrize("does", ["submits and waits", "waits"])
def test_others_go_on_wherever_ctrl_c_breaks_off_who_leads_them(does: str) -> None:
    for at in count(1):
        disk = Disk()
        disk.go_on.set()
        commits = GroupCommit(disk.commit)
        led = commits.submit(ENTRIES) if does == "waits" else None
        other = Thread(target=wait_often, args=(commits,), daemon=True)
        other.start()
        if led is not None:
            waiting(commits, 2)
        is_broken = BrokenOff(at).runs(partial(commits.wait, led) if led else partial(commits.run, ENTRIES))
        if is_broken:
            commits.desert()  # as the hot log's user does
        other.join(10)
        assert not other.is_alive(), at
        assert commits.run(ENTRIES)
        if not is_broken:
            break
    assert at > 10
