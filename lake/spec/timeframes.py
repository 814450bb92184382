"""Timeframes of candles: their lengths, the grid they open on, and how people spell them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from lake.clock import MICROS_PER_DAY, MICROS_PER_HOUR, MICROS_PER_MINUTE
from lake.errors import SpecError, UnknownTimeframeError

_LONGEST_BY_MONTH = 15 * MICROS_PER_MINUTE


@dataclass(frozen=True, slots=True)
class Timeframe:
    """One candle length.

    Attributes:
        name: as the lake spells it, such as ``15m``.
        micros: its length in microseconds.
        offset: open times are ``offset`` plus a multiple of the length, counted from 1970.
    """

    name: str
    micros: int
    offset: int = 0

    def __post_init__(self) -> None:
        if self.micros <= 0 or not 0 <= self.offset < self.micros:
            raise SpecError("a timeframe has a length, and an offset below it", where=self.name, value=self.offset)


_UNITS = {"m": MICROS_PER_MINUTE, "h": MICROS_PER_HOUR, "d": MICROS_PER_DAY, "w": 7 * MICROS_PER_DAY}
_MONDAY = 4 * MICROS_PER_DAY  # 1970-01-01 was a Thursday; weeks open on Monday

#: Every timeframe that the lake holds, shortest first.
ALL: tuple[str, ...] = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w")
TABLE: dict[str, Timeframe] = {
    name: Timeframe(name, int(name[:-1]) * _UNITS[name[-1]], _MONDAY if name[-1] == "w" else 0) for name in ALL
}
_BY_LENGTH = {frame.micros: name for name, frame in TABLE.items()}

_SPELLED = re.compile(r"(\d{0,6})\s*([a-zA-Z]*)")
_UNIT_NAMES = {
    "m": ("m", "min", "mins", "minute", "minutes", "t"),
    "h": ("h", "hr", "hrs", "hour", "hours", "hourly"),
    "d": ("d", "day", "days", "daily"),
    "w": ("w", "wk", "week", "weeks", "weekly"),
}
_UNIT_OF = {spelling: unit for unit, spellings in _UNIT_NAMES.items() for spelling in spellings}
_SECONDS = frozenset({"s", "sec", "secs", "second", "seconds"})


def get(name: str) -> Timeframe:
    """The timeframe of any spelling.

    Raises:
        UnknownTimeframeError: the lake does not hold it.
    """
    return TABLE[parse(name)]


def micros(name: str) -> int:
    """Length in microseconds.

    >>> micros("15m")
    900000000
    """
    return get(name).micros


def offset(name: str) -> int:
    """Distance of the grid from 1970 in microseconds: weeks open on Monday, the others with the epoch."""
    return get(name).offset


def period_kind(name: str) -> str:
    """``month`` up to 15m, ``year`` above: the slice of time that one partition of candles holds."""
    return "month" if micros(name) <= _LONGEST_BY_MONTH else "year"


def parse(text: object) -> str:
    """The lake's spelling of a timeframe; ``60`` alone are minutes, ``M`` alone is a month and refused.

    >>> parse("60m"), parse("1H"), parse("5T"), parse("D"), parse("240")
    ('1h', '1h', '5m', '1d', '4h')

    Raises:
        UnknownTimeframeError: a month, a length that the lake does not hold, or no timeframe at all.
    """
    if isinstance(text, str):
        return text if text in TABLE else _parse(text)
    raise UnknownTimeframeError("a timeframe is a text", value=text, todo=_TODO)


_TODO = f"One of {', '.join(ALL)}."


@lru_cache(maxsize=1024)
def _parse(text: str) -> str:
    found = _SPELLED.fullmatch(text.strip())
    count, unit = found.groups() if found else ("", "")
    if unit == "M" or unit.lower() in ("mo", "mon", "month", "months", "monthly"):
        raise UnknownTimeframeError("months are not candles of one length", value=text, todo=_TODO)
    if found and unit.lower() in _SECONDS and count:
        length = int(count) * MICROS_PER_MINUTE // 60
    elif found and (count or unit) and (unit == "" or unit.lower() in _UNIT_OF):
        length = int(count or 1) * _UNITS[_UNIT_OF[unit.lower()] if unit else "m"]
    else:
        length = 0
    name = _BY_LENGTH.get(length)
    if name is None:
        raise UnknownTimeframeError("no such timeframe", value=text, todo=_TODO)
    return name
