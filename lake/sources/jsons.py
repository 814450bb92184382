"""JSON files of candles and trades: arrays in chunks, so that memory does not grow with the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from lake.errors import SourceError
from lake.sources.base import BATCH_ROWS
from lake.sources.opening import BOM, opened, whole

_CHUNK = 16 << 20
_TRIES = 50
_FIRST_KEY = re.compile(rb'^\s*\{\s*"([^"]*)"')
_FIRST_ROW_KEY = re.compile(rb'^\s*\[\s*\{\s*"')
_BETWEEN = {b"[": re.compile(rb"\]\s*,\s*(?=\[)"), b"{": re.compile(rb"\}\s*,\s*(?=\{)")}


def is_empty_array(head: bytes) -> bool:
    """Whether the file is ``[]``."""
    return head.strip() in (b"[]", b"[ ]")


def first_object(head: bytes) -> set[str]:
    """Keys seen in the first object of an array (or the outermost object) as far as the head reaches."""
    if not (_FIRST_ROW_KEY.match(head) or _FIRST_KEY.match(head)):
        return set()
    return {key.decode("utf-8", "replace") for key in re.findall(rb'"([^"\\]{1,40})"\s*:', head)}


def first_array(head: bytes) -> list[Any]:
    """The first row of an array of arrays, or an empty list."""
    found = re.match(rb"\s*\[\s*(\[[^\[\]]*\])", head)
    if not found:
        return []
    try:
        row = orjson.loads(found.group(1).replace(b"NaN", b"null"))
    except orjson.JSONDecodeError:
        return []
    return list(row)


def load(path: Path) -> Any:
    """The whole file.

    Raises:
        SourceError: it is damaged or no JSON.
    """
    return _loads(whole(path), path)


def _loads(text: bytes, path: Path) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if re.search(rb"\bNaN\b", text):
            return _loads(re.sub(rb"\bNaN\b", b"null", text), path)
        todo = "Fetch the file again."
        raise SourceError(f"the JSON is damaged or cut off: {error}", where=str(path), todo=todo) from error


def rows(path: Path) -> Iterator[list[Any]]:
    """The items of a top-level array, some at a time.

    Raises:
        SourceError: the file is no array, or is cut off.
    """
    with opened(path) as stream:
        rest = stream.read(_CHUNK).removeprefix(BOM).lstrip()
        if rest[:1] != b"[":
            raise SourceError("the JSON file holds no array", where=str(path))
        rest = rest[1:].lstrip()
        while more := stream.read(_CHUNK):
            done, rest = _split(rest, path)
            rest += more
            yield from _slices(done)
    yield from _slices(_loads(b"[" + rest, path))


def _slices(items: list[Any]) -> Iterator[list[Any]]:
    for start in range(0, len(items), BATCH_ROWS):
        yield items[start : start + BATCH_ROWS]


def _split(text: bytes, path: Path) -> tuple[list[Any], bytes]:
    """Whole items, and the text from the next one on; a cut inside a nested list does not parse and is moved."""
    between = _BETWEEN.get(text[:1])
    if between is None:
        return [], text
    places = [m.end() for m in between.finditer(text, max(0, len(text) - (1 << 20)))][-_TRIES:]
    for place in reversed(places):
        try:
            return list(orjson.loads(b"[" + text[:place].rstrip().removesuffix(b",") + b"]")), text[place:]
        except orjson.JSONDecodeError:
            if re.search(rb"\bNaN\b", text):
                return _split(re.sub(rb"\bNaN\b", b"null", text), path)
    return [], text
