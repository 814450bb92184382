"""The windows of :mod:`lake.kernels.windows` in the part of Python that :mod:`lake.kernels.window_compiled` compiles.

The same halves are joined in the same order, so every bit is the same. Here a few thousand values go through all halves
before the next do, in memory that a processor's cache holds, and only what is asked for leaves it. Each function also
runs as it stands, slowly.

Arguments that all share: the values; the window's length; positions asked for, ascending; rows of memory to work in,
:func:`lake.kernels.window_compiled.rows_of` tells how many; what is found, a value for each position.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
# numba keeps compiled code until this file changes: what it builds in as a constant stands here
CHUNK = 1_024  # positions that are worked on at once
_NAN = np.nan


def squares(values: Numbers, bars: int, at: Positions, rows: Numbers, found: Numbers) -> None:
    """Sum of the squared distances of the last values from their mean; the sums lie in the second half of the rows."""
    half = len(rows) // 2
    done = 0
    while done < len(at):
        end, low, width = chunk(at, done, bars)
        load(values, low, width, rows[half])
        nothing(rows[half], width, rows[0])
        size, level = 1, 0
        while 2 * size <= bars:
            held = rows[half + level][:width]
            spread(held, size, rows[level][:width], rows[level + 1][:width])
            add(held, held, size, rows[half + level + 1][:width])
            size, level = 2 * size, level + 1
        total, held_level, count = level, half + level, size
        while count < bars:
            while size > bars - count:
                size, level = size // 2, level - 1
            both = rows[held_level][:width], rows[half + level][:width]
            squared = rows[total][:width], rows[level][:width]
            spread_of(both, squared, (count, size), rows[half - 1][:width])
            add(both[0], both[1], count, rows[-1][:width])
            total, held_level, count = half - 1, len(rows) - 1, count + size
        store(rows[total], at[done:end], low, found[done:end])
        done = end


def faded(
    values: Numbers, bars: int, at: Positions, rows: Numbers, found: Numbers, fades: tuple[Numbers, Numbers]
) -> None:
    """Sum of the last values times weights that fade: how much with each half, then with each joined rest; 1 never."""
    done = 0
    while done < len(at):
        end, low, width = chunk(at, done, bars)
        load(values, low, width, rows[0])
        size, level = 1, 0
        while 2 * size <= bars:
            fade(rows[level][:width], rows[level][:width], (size, fades[0][level]), rows[level + 1][:width])
            size, level = 2 * size, level + 1
        total, count, joined = level, size, 0
        while count < bars:
            while size > bars - count:
                size, level = size // 2, level - 1
            fade(rows[total][:width], rows[level][:width], (count, fades[1][joined]), rows[-1][:width])
            total, count, joined = len(rows) - 1, count + size, joined + 1
        store(rows[total], at[done:end], low, found[done:end])
        done = end


def highest(values: Numbers, bars: int, at: Positions, rows: Numbers, found: Numbers) -> None:
    """Largest of the last values."""
    done = 0
    while done < len(at):
        end, low, width = chunk(at, done, bars)
        load(values, low, width, rows[0])
        size, level = 1, 0
        while 2 * size <= bars:
            larger(rows[level][:width], size, rows[level + 1][:width])
            size, level = 2 * size, level + 1
        if size < bars:
            larger(rows[level][:width], bars - size, rows[level + 1][:width])
            level += 1
        store(rows[level], at[done:end], low, found[done:end])
        done = end


def chunk(at: Positions, done: int, bars: int) -> tuple[int, int, int]:
    """The end of the positions worked on next, the first value that they need, and how many they need."""
    end, limit = done, at[done] + CHUNK
    while end < len(at) and at[end] < limit:
        end += 1
    low = at[done] - bars + 1
    return end, low, at[end - 1] + 1 - low


def load(values: Numbers, low: int, width: int, row: Numbers) -> None:
    """The values from ``low`` on; nan for those before the first."""
    before = min(max(-low, 0), width)
    for i in range(before):
        row[i] = _NAN
    held, into = values[low + before : low + width], row[before:width]
    for i in range(len(into)):
        into[i] = held[i]


def store(row: Numbers, at: Positions, low: int, found: Numbers) -> None:
    """Take the values at the positions."""
    for n in range(len(at)):
        found[n] = row[at[n] - low]


def nothing(row: Numbers, width: int, made: Numbers) -> None:
    """0, or nan for what is not finite."""
    for i in range(width):
        made[i] = row[i] * 0.0


def add(newer: Numbers, older: Numbers, bars: int, made: Numbers) -> None:
    """Each value and the older one of so many bars before."""
    new, old, into = newer[bars:], older[: len(older) - bars], made[bars:]
    for i in range(len(into)):
        into[i] = new[i] + old[i]


def fade(newer: Numbers, older: Numbers, how: tuple[int, float], made: Numbers) -> None:
    """Each value, and the older one of so many bars before times a factor."""
    bars, factor = how
    new, old, into = newer[bars:], older[: len(older) - bars], made[bars:]
    for i in range(len(into)):
        into[i] = new[i] + old[i] * factor


def spread(held: Numbers, size: int, squared: Numbers, made: Numbers) -> None:
    """Squares of a window out of those of its halves, whose sums are held."""
    new, old, into = held[size:], held[: len(held) - size], made[size:]
    newer, older = squared[size:], squared[: len(squared) - size]
    share = 1.0 / (2 * size)
    for i in range(len(into)):
        apart = new[i] - old[i]
        into[i] = apart * apart * share + (newer[i] + older[i])


def spread_of(
    held: tuple[Numbers, Numbers], squared: tuple[Numbers, Numbers], counts: tuple[int, int], made: Numbers
) -> None:
    """The same of two parts that are not equally long."""
    count, size = counts
    new, old, into = held[0][count:], held[1][: len(made) - count], made[count:]
    newer, older = squared[0][count:], squared[1][: len(made) - count]
    by_new, by_old, share = 1.0 / count, 1.0 / size, count * size / (count + size)
    for i in range(len(into)):
        apart = new[i] * by_new - old[i] * by_old
        into[i] = (newer[i] + older[i]) + apart * apart * share


def larger(held: Numbers, bars: int, made: Numbers) -> None:
    """The larger of each value and that of so many bars before; nan where either is."""
    new, old, into = held[bars:], held[: len(held) - bars], made[bars:]
    for i in range(len(into)):
        into[i] = new[i] if new[i] >= old[i] or new[i] != new[i] else old[i]


PARTS: tuple[Any, ...] = (chunk, load, store, nothing, add, fade, spread, spread_of, larger)
WHOLE: tuple[Any, ...] = (faded, squares, highest)
