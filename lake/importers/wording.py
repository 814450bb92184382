"""How reports put numbers into words."""

from __future__ import annotations


def counted(count: int, thing: str, things: str = "") -> str:
    """So many of something.

    >>> counted(1, "row"), counted(2_000, "row"), counted(1, "story is", "stories are")
    ('1 row', '2,000 rows', '1 story is')
    """
    return f"{count:,} {thing if count == 1 else things or f'{thing}s'}"
