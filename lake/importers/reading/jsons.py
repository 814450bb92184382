"""JSON of any size and state: read piece by piece, with NaN, a byte order mark, or an end that was never written.

The standard library's decoder is given a window of the text that grows until a value is whole, so that a file of a
gigabyte takes no more memory than its largest row.
"""

from __future__ import annotations

import codecs
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from lake.errors import SourceError
from lake.importers.base import Notes, Refused

_CHUNK = 1 << 20
_LONGEST = 256 << 20  # characters of one value; one that is longer is no row
_KEPT = 2_000  # characters of a broken row that are kept
_DECODER = json.JSONDecoder()


def opened(path: Path) -> BinaryIO:
    """A file's bytes, unpacked when its name ends in .gz; to be closed."""
    return cast("BinaryIO", gzip.open(path, "rb")) if path.suffix == ".gz" else path.open("rb")


class JsonText:
    """A text that is decoded from its beginning, with what is not needed any more let go.

    Args:
        path: of the file.
        file: its bytes, when they are not simply what the path names: a file in an archive.
    """

    def __init__(self, path: Path, file: BinaryIO | None = None) -> None:
        self.path = path
        self._file = opened(path) if file is None else file
        self._decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
        self._text, self._at, self._ended = "", 0, False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is not blank; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self, character: str) -> bool:
        """Go past the character, if it is the next."""
        if self.peek() != character:
            return False
        self._at += 1
        return True

    def value(self) -> Any:
        """The next value, whole.

        Raises:
            json.JSONDecodeError: there is none, or it breaks off.
        """
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                if len(self._text) - self._at > _LONGEST or not self._more():
                    raise
                continue
            if end == len(self._text) and not self._ended and self._more():
                continue  # a number may go on
            self._at = end
            return value

    def rest(self) -> str:
        """What cannot be decoded, or the beginning of it."""
        return self._text[self._at : self._at + _KEPT]

    def _more(self) -> bool:
        """Read on; False at the end. The window doubles, so that a long value is tried only a few times."""
        wanted = max(_CHUNK, len(self._text) - self._at)
        try:
            raw = self._file.read(wanted)
        except (OSError, EOFError) as error:
            raise SourceError(f"it cannot be read: {error}", where=str(self.path)) from error
        self._ended = len(raw) < wanted
        self._text = self._text[self._at :] + self._decode(raw, not raw)
        self._at = 0
        return bool(raw)


def items(text: JsonText, notes: Notes) -> Iterator[Any]:
    """The values of the array that comes next; a piece that cannot be decoded comes as Refused, at the end."""
    if not text.skip("["):
        raise SourceError("a JSON array is expected", where=str(text.path), value=text.rest()[:40])
    while text.peek() not in {"]", ""}:
        try:
            yield text.value()
        except json.JSONDecodeError as error:
            yield broken(text, notes, error)
            return
        if not text.skip(",") and text.peek() != "]":
            yield broken(text, notes)
            return
    if not text.skip("]"):
        notes.tell("the file breaks off: what comes before is taken", failed=True)


def entries(text: JsonText, notes: Notes) -> Iterator[tuple[str, Any]]:
    """Name and value of each entry of the object that comes next; one that cannot be decoded is Refused, at the end."""
    yield from ((name, text_value(text, notes)) for name in names(text, notes))


def text_value(text: JsonText, notes: Notes) -> Any:
    """The next value, or the broken piece in its place."""
    try:
        return text.value()
    except json.JSONDecodeError as error:
        return broken(text, notes, error)


def names(text: JsonText, notes: Notes) -> Iterator[str]:
    """The names of the object that comes next; the caller takes each value before it asks for the next name."""
    if not text.skip("{"):
        raise SourceError("a JSON object is expected", where=str(text.path), value=text.rest()[:40])
    while text.peek() not in {"}", ""}:
        try:
            name = text.value()
        except json.JSONDecodeError as error:
            broken(text, notes, error)
            return
        if not isinstance(name, str) or not text.skip(":"):
            broken(text, notes)
            return
        yield name
        if notes.failed:
            return
        if not text.skip(",") and text.peek() != "}":
            broken(text, notes)
            return
    if not text.skip("}"):
        notes.tell("the file breaks off: what comes before is taken", failed=True)


def broken(text: JsonText, notes: Notes, error: json.JSONDecodeError | None = None) -> Refused:
    """The piece at which decoding ended, and a note of it."""
    why = error.msg if error else "no comma or end"
    notes.tell(f"the file breaks off or is damaged ({why}): what comes before is taken", failed=True)
    return Refused(text.rest(), "no whole JSON value")


def rows_in(path: Path, name: str, notes: Notes) -> Iterator[Any]:
    """The rows of a file: an array, or the array under a name of an object; {} and [] are empty.

    Raises:
        SourceError: it is neither, or has no such name.
    """
    with JsonText(path) as text:
        first = text.peek()
        if first == "[":
            yield from items(text, notes)
            return
        if first != "{":
            raise SourceError("not a JSON file" if first else "the file is empty", where=str(path))
        seen = []
        for key in names(text, notes):
            seen.append(key)
            if key == name and text.peek() == "[":
                yield from items(text, notes)
            else:
                text_value(text, notes)
        if name not in seen and seen:
            raise SourceError(f"it has no {name!r}", where=str(path), value=seen[:5], todo="Is it of another kind?")


def lines_in(path: Path, notes: Notes) -> Iterator[Any]:
    """The values of a file with one JSON value in each line; a line that is none is Refused, and the others go on."""
    with opened(path) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8-sig", errors="replace")
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except json.JSONDecodeError as error:
                    notes.tell(f"line {number} is no JSON: {error.msg}")
                    yield Refused(line[:_KEPT], "no whole JSON value")
