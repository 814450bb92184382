"""Which keys were met before, of as many rows as there are, in a few bytes each."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

_AT_LEAST = 50_000  # new ones are sorted in together, the more the more there are


class Keys:
    """A set of keys by their hashes of 64 bits: of ten million, two are taken for one once in 300,000 times.

    >>> keys = Keys()
    >>> keys.add(("t1",))
    >>> ("t1",) in keys, ("t2",) in keys
    (True, False)
    """

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.int64)
        self._new: set[int] = set()

    def __contains__(self, key: Hashable) -> bool:
        number = hash(key)
        if number in self._new:
            return True
        place = int(self._sorted.searchsorted(number))
        return place < self._sorted.size and int(self._sorted[place]) == number

    def add(self, key: Hashable) -> None:
        """Add one."""
        self._new.add(hash(key))
        if len(self._new) > max(_AT_LEAST, self._sorted.size // 4):
            new = np.fromiter(self._new, np.int64, len(self._new))
            self._sorted = np.union1d(self._sorted, new)
            self._new = set()
