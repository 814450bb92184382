"""Numbers as people write them: with separators of thousands, a decimal comma, a currency or a percent sign.

What of these a column has is said by its map, and not guessed: 1.234 is one number or another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from lake.errors import InvalidRowError
from lake.importers.values import as_number

POINT, COMMA = ".", ","
_BETWEEN = {POINT: ",", COMMA: "."}  # thousands, besides what may stand there whatever the decimal mark is
_BLANK = r"[ \u00a0\u2009\u202f]"
_AROUND = re.compile(r"[\d.,'\u2019()+\-\u2212\s]")
_CODE = re.compile("[A-Z]{3,5}")  # of a currency
_NEGATIVE = ("-", "\u2212")


def written(decimal: str, sign: str) -> Callable[[str, Any], float]:
    """What reads numbers that are written so; what is written otherwise is none.

    Args:
        decimal: the mark before the fraction; what may stand between thousands follows of it.
        sign: what may stand before or behind the number.

    >>> [written(".", "$")("x", text) for text in ("$1,234.50", "-$12.30", "(7)", "1'000", "950.10")]
    [1234.5, -12.3, -7.0, 1000.0, 950.1]
    >>> written(",", "")("x", "1.234,50")
    1234.5
    """
    whole = _layout(decimal, sign)

    def read(name: str, value: Any) -> float:
        if not isinstance(value, str):
            return as_number(name, value)
        found = whole.fullmatch(value.strip())
        if found is None or not _is_sound(found):
            how = f"decimal {decimal}" + (f", sign {sign}" if sign else "")
            raise InvalidRowError(f"not a number that is written with {how}", where=name, value=value)
        digits = "".join(c for c in found["whole"] if c.isdecimal())
        size = as_number(name, f"{digits}.{found['fraction'] or '0'}{found['power'] or ''}")
        is_negative = bool(found["open"]) or found["first"] in _NEGATIVE or found["second"] in _NEGATIVE
        return -size if is_negative else size

    return read


def _is_sound(found: re.Match[str]) -> bool:
    """Whether it is less than nothing in one way, if at all."""
    negative = [bool(found[name]) for name in ("open", "first", "second")]
    return bool(found["open"]) is bool(found["close"]) and sum(negative) <= 1


@lru_cache
def _layout(decimal: str, sign: str) -> re.Pattern[str]:
    around = f"(?:{re.escape(sign)})?" if sign else ""
    between = rf"(?P<between>['\u2019]|{re.escape(_BETWEEN[decimal])}|{_BLANK})"
    whole = rf"(?P<whole>\d{{1,3}}{between}(?:\d{{2,3}}(?P=between))*\d{{3}}|\d*(?=\d|{re.escape(decimal)}\d)\d*)"
    fraction = rf"(?:{re.escape(decimal)}(?P<fraction>\d*))?(?P<power>[eE][+-]?\d{{1,3}})?"
    marks = r"[-+\u2212]?"
    return re.compile(
        rf"(?P<open>\()?(?P<first>{marks}){_BLANK}*{around}{_BLANK}*(?P<second>{marks}){whole}{fraction}"
        rf"{_BLANK}*{around}(?P<close>\))?"
    )


def ways(values: Sequence[Any]) -> list[tuple[str, str]]:
    """The decimal marks and signs by which all of some values are numbers, and other ones with each mark.

    >>> ways(["$1,234.50", "$7"]), ways(["1,234"]), ways(["1.5k"])
    ([('.', '$')], [('.', ''), (',', '')], [])
    """
    signs = {_AROUND.sub("", value) for value in values if isinstance(value, str)} - {""}
    sign = next(iter(signs), "")
    if len(signs) > 1 or (sign.isalpha() and not _CODE.fullmatch(sign)):  # 1.5k is more than 1.5, and 2O a slip
        return []
    made = {mark: [_number(mark, sign, value) for value in values] for mark in (POINT, COMMA)}
    fitting = [mark for mark, numbers in made.items() if None not in numbers]
    return [(mark, sign) for mark in (fitting[:1] if made[POINT] == made[COMMA] else fitting)]


def _number(decimal: str, sign: str, value: Any) -> float | None:
    try:
        return written(decimal, sign)("", value)
    except InvalidRowError:
        return None
