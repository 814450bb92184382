"""The barrier loops compiled by numba when they are first needed, and shared out over threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from lake.errors import MissingExtraError
from lake.kernels import barrier_loops
from lake.kernels.barrier_types import Bars, Events, Integers, Lives
from lake.kernels.compiling import compiled, fixed

_CHUNK = 32_768  # events that a thread takes at once
_LOCK = Lock()
_LOOPS: dict[str, Callable[..., None]] = {}


def from_start(bars: Bars, events: Events, lives: Lives, rows: Integers, *, is_finest: bool) -> None:
    """See :func:`lake.kernels.barrier_loops.from_start`; the lives are changed in place."""
    loop = _compiled("from_start")
    bars, events = Bars(bars.step, *map(fixed, bars[1:])), Events(*map(fixed, events))
    rows = fixed(rows)
    _share(lambda low, high: loop(bars, events, lives, rows[low:high], is_finest), len(rows))


def inside(
    bars: Bars, events: Events, lives: Lives, rows: Integers, windows: tuple[Integers, Integers], *, is_finest: bool
) -> None:
    """See :func:`lake.kernels.barrier_loops.inside`; the lives are changed in place."""
    loop = _compiled("inside")
    bars, events = Bars(bars.step, *map(fixed, bars[1:])), Events(*map(fixed, events))
    rows, first, end = map(fixed, (rows, *windows))
    _share(
        lambda low, high: loop(bars, events, lives, rows[low:high], (first[low:high], end[low:high]), is_finest),
        len(rows),
    )


def _share(work: Callable[[int, int], None], count: int) -> None:
    """Let threads do the work on parts of so many; the loops run without Python's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count <= _CHUNK or cores == 1:
        work(0, count)
        return
    with ThreadPoolExecutor(cores) as pool:
        jobs = [pool.submit(work, low, min(low + _CHUNK, count)) for low in range(0, count, _CHUNK)]
        for job in jobs:
            job.result()


def _compiled(name: str) -> Callable[..., None]:
    """A compiled loop.

    Raises:
        MissingExtraError: numba is not installed.
    """
    with _LOCK:
        if not _LOOPS:
            _LOOPS.update(_compile())
        return _LOOPS[name]


def _compile() -> dict[str, Callable[..., None]]:
    try:
        return compiled(barrier_loops.PARTS, barrier_loops.WHOLE)
    except ImportError:
        raise MissingExtraError(
            "labels need numba", where="lake.kernels.barrier", todo='Install it: pip install "tradelake[learn]".'
        ) from None
