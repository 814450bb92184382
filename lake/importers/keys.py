"""Which keys were met before, of as many rows as there are, in a few bytes each."""

from __future__ import annotations

from collections.abc import Collection, Hashable

import numpy as np

_AT_LEAST = 50_000  # new ones are sorted in together, the more the more there are; until then one takes 70 bytes


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
        self._looked_up: dict[int, bool] = {}

    def look_up(self, keys: Collection[Hashable]) -> None:
        """Look keys up together; to ask for one of them afterwards is a look into a table."""
        numbers = np.fromiter(map(hash, keys), np.int64, len(keys))
        if not self._sorted.size:
            self._looked_up = dict.fromkeys(numbers.tolist(), False)
            return
        places = np.minimum(self._sorted.searchsorted(numbers), self._sorted.size - 1)
        self._looked_up = dict(zip(numbers.tolist(), (self._sorted[places] == numbers).tolist(), strict=True))

    def __contains__(self, key: Hashable) -> bool:
        number = hash(key)
        if number in self._new:
            return True
        looked_up = self._looked_up.get(number)
        if looked_up is not None:
            return looked_up
        place = int(self._sorted.searchsorted(number))
        return place < self._sorted.size and int(self._sorted[place]) == number

    def add(self, key: Hashable) -> None:
        """Add one."""
        self._new.add(hash(key))
        if len(self._new) > max(_AT_LEAST, self._sorted.size // 16):
            new = np.sort(np.fromiter(self._new, np.int64, len(self._new)))
            self._sorted = np.insert(self._sorted, self._sorted.searchsorted(new), new)
            self._new, self._looked_up = set(), {}
