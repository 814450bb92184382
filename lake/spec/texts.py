"""Texts as callers give them: members of an enum and texts of NumPy, which are texts of another type."""

from __future__ import annotations

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
