"""Texts as callers give them: members of an enum and texts of NumPy, which are texts of another type."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


def plain(value: Any) -> Any:
    """The text that a value stands for: of a member of an enum its value or, where that is none, its name.

    ``str`` gives such a member's own name, ``Side.LONG``. What is no text is given back as it is.

    >>> class Side(str, Enum):
    ...     LONG = "long"
    >>> plain(Side.LONG), plain("LONG"), plain(7)
    ('long', 'LONG', 7)
    """
    if isinstance(value, Enum):
        value = value.value if isinstance(value.value, str) else value.name
    return str.__str__(value) if isinstance(value, str) else value


def half_character(value: Any) -> str | None:
    r"""A text with half a character (a lone surrogate), which no store takes: the value, or one in a list or mapping.

    >>> half_character(["BTCUSDT", {"a": "x\ud800"}]), half_character("\U0001f600")
    ('x\ud800', None)
    """
    if isinstance(value, str):
        return value if not value.isascii() and value != value.encode("utf-8", "replace").decode() else None
    if isinstance(value, Mapping):
        value = [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return next((found for one in value if (found := half_character(one)) is not None), None)
    return None
