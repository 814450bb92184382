"""Loops written in plain Python compiled by numba, which belongs to the extra ``learn``.

The compiled code is kept beside the source, or in the user's cache where that cannot be written, so that later
processes load it. Without either it is compiled anew in each process, which takes some seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import numpy as np


def compiled(parts: Sequence[Any], whole: Sequence[Any], inline: str = "always") -> dict[str, Callable[..., None]]:
    """The functions ``whole`` compiled, by name; they run without Python's lock.

    Args:
        parts: functions that they, and later parts, call.
        whole: functions from arrays into arrays; none makes an array.
        inline: ``always`` makes the parts part of each function that calls them; ``never`` compiles faster, and is as
            good for parts that are loops of their own.

    Raises:
        ImportError: numba is not installed.
    """
    import numba

    njit: Any = numba.njit
    # arrays are never made or kept in the loops: counting references to them (_nrt) would take most of the time
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
    made: dict[str, Any] = {}
    for part in parts:
        made[part.__name__] = njit(inline=inline, **options)(_using(part, made))
    for function in whole:
        plain = _using(function, made)
        try:
            made[function.__name__] = njit(cache=True, **options)(plain)
        except RuntimeError:  # numba finds no folder to keep it in
            made[function.__name__] = njit(**options)(plain)
    return {function.__name__: made[function.__name__] for function in whole}


def fixed(array: Any) -> Any:
    """The array, contiguous and not to be written to: numba would compile once more for one that may be."""
    found = np.ascontiguousarray(array).view()
    found.flags.writeable = False
    return found


def _using(function: Any, made: dict[str, Any]) -> Any:
    """The function, calling the compiled parts instead of the plain ones."""
    copy = FunctionType(function.__code__, {**function.__globals__, **made}, function.__name__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy
