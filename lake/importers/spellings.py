"""Names as databases spell them."""

from __future__ import annotations


def snake_and_camel(*names: str) -> tuple[str, ...]:
    """Each name in snake and in camel case.

    >>> snake_and_camel("entry_price", "side")
    ('entry_price', 'entryPrice', 'side')
    """
    return tuple(spelled for name in names for spelled in dict.fromkeys((name, _camel(name))))


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
