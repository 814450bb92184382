"""The clock and its ids."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import uuid

import pytest

from lake import clock
from lake.clock import now_micros, uuid7


def test_ids_of_one_process_sort_in_the_order_they_were_made() -> None:
    made = [uuid7() for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_are_version_7_and_say_when_they_were_made() -> None:
    before = now_micros() // 1000
    found = uuid.UUID(uuid7())
    assert found.version == 7
    assert found.variant == uuid.RFC_4122
    assert 0 <= (found.int >> 80) - before < 60_000


def test_threads_never_get_the_same_id() -> None:
    made: list[str] = []

    def make() -> None:
        made.extend([uuid7() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000


def test_ids_of_a_forked_child_are_not_those_of_its_parent() -> None:
    code = """
import os
from lake import clock
clock._ticks = 1 << 58  # so that only what is random tells them apart
reader, writer = os.pipe()
child = os.fork()
if not child:
    os.write(writer, clock.uuid7().encode())
    os._exit(0)
os.waitpid(child, 0)
assert clock.uuid7() != os.read(reader, 36).decode()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_clock_that_is_set_back_is_noticed_until_it_is_right_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now, off = time.time_ns, [0]
    monkeypatch.setattr(clock.time, "time_ns", lambda: now() + off[0])
    watch = clock.ClockWatch()
    seen = []
    for off[0] in (0, 2 * 10**9, 10**9, 2 * 10**9, 3 * 10**9, -(10**9)):
        seen.append(any(watch.is_behind() for _ in range(3)) and all(watch.is_behind() for _ in range(3)))
    assert seen == [False, False, True, False, False, True]
