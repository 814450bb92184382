"""The window loops compiled by numba, once a process has computed so many windows that compiling pays.

To load numba and what it compiled takes about a second, in which numpy computes a hundred million values of windows.
So the first windows of a process are left to numpy; so are all where numba is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread, local
from typing import Any

import numpy as np

from lake.kernels import window_loops
from lake.kernels.compiling import compiled, fixed
from lake.kernels.window_loops import CHUNK, Numbers, Positions

#: Values of windows after which the loops are compiled.
WORTH = 60_000_000
_MEMORY = local()


class Loops:
    """The compiled loops, or none yet.

    Args:
        worth: after how many values they are compiled; 0 is at once, None never.
    """

    def __init__(self, worth: int | None) -> None:
        self._left = worth
        self._lock = Lock()
        self._made: dict[str, Callable[..., None]] = {}

    def find(self, name: str, values: int) -> Callable[..., None] | None:
        """The compiled loop of that name; None, and the values are counted, while there is none."""
        if not self._made and self._left is not None:
            self._left -= values
            if self._left <= 0:
                self._make()
        return self._made.get(name)

    def expect(self, values: int) -> None:
        """So many values are about to be computed: where that is enough, the loops are made in another thread now."""
        if not self._made and self._left is not None and values >= self._left:
            Thread(target=self._make, name="lake-compile").start()

    def _make(self) -> None:
        if not self._lock.acquire(blocking=False):
            return  # another thread makes them; this one goes on with numpy meanwhile
        try:
            self._made = self._made or _ready(compiled(window_loops.PARTS, window_loops.WHOLE, "never"))
        except ImportError:
            self._left = None
        finally:
            self._lock.release()


_LOOPS = Loops(WORTH)


def windows(name: str, values: Numbers, bars: int, at: Positions, *more: Any) -> Numbers | None:
    """What the loop of that name finds at the positions; None when numpy is to compute it."""
    loop = _LOOPS.find(name, len(values))
    if loop is None:
        return None
    found = np.empty(len(at))
    loop(fixed(values), bars, fixed(at), rows_of(name, bars), found, *more)
    return found


def expect(values: int) -> None:
    """Tell how many values of windows are about to be computed, so that what compiles them is loaded beside that."""
    _LOOPS.expect(values)


def _ready(loops: dict[str, Callable[..., None]]) -> dict[str, Callable[..., None]]:
    """The loops, each called once: only then is its code loaded, and all threads that call one wait for it."""
    one, at, ones = fixed(np.ones(1)), fixed(np.zeros(1, dtype=np.intp)), np.ones(1)
    for name, loop in loops.items():
        loop(one, 1, at, rows_of(name, 1), np.empty(1), *([(ones, ones)] if name == "faded" else []))
    return loops


def rows_of(name: str, bars: int) -> Numbers:
    """Memory for a loop to work in, the thread's own: a row for each half, one more to join them, twice for squares."""
    rows = (bars.bit_length() + 1) * (2 if name == "squares" else 1)
    width = CHUNK + bars
    held: Numbers | None = getattr(_MEMORY, "rows", None)
    if held is None or held.size < rows * width:
        held = _MEMORY.rows = np.empty(rows * width)
    return held[: rows * width].reshape(rows, width)
