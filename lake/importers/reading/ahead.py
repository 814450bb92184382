"""Reading on while what was read is written."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, of which one is made in a thread while the one before it is used.

    >>> list(ahead(iter([1, 2, 3])))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(1, thread_name_prefix="import") as pool:
        coming = pool.submit(_some, items)
        while item := coming.result():
            coming = pool.submit(_some, items)
            yield item[0]


def _some(items: Iterator[T]) -> tuple[T] | None:
    for item in items:
        return (item,)
    return None
