"""Lines that a log has again: after an old copy was put before or behind it, or it was appended to itself.

A line of AI-Trader's positions tells the day, the number of the action on it, the action, and all that is held then.
The bot gives each action the number behind the highest of its day, and what is held differs after every trade: so two
trades are never told by equal lines, however alike they are. Calls that a bot without a lock made at once have one day
and number: these follow each other, and of equal ones among them each is a call of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from lake.importers.base import Refused
from lake.importers.keys import Keys

_NAMES = ("date", "id")


class Lines:
    """Tells which lines of a file are in it again, in a few bytes each.

    >>> lines, one, other = Lines(), {"date": "2025-11-02", "id": 1}, {"date": "2025-11-02", "id": 2}
    >>> [lines.is_again(line) for line in (one, one, other, one, one, one)]
    [False, False, False, True, True, False]
    """

    def __init__(self) -> None:
        self._seen = Keys()
        self._together: Counter[int] = Counter()  # equal lines among those that follow each other under one number
        self._number: Any = None

    def is_again(self, found: Any) -> bool:
        """Whether a line, the next of the file, tells what another did."""
        number = tuple(str(found.get(name)) for name in _NAMES) if isinstance(found, dict) else None
        if number is None or number != self._number:
            self._number, self._together = number, Counter()
        told = hash(found.found if isinstance(found, Refused) else json.dumps(found, sort_keys=True))
        key = told, self._together[told]
        self._together[told] += 1
        is_again = key in self._seen
        self._seen.add(key)
        return is_again
