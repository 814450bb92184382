"""JSON of any size and state: read piece by piece, with NaN, a byte order mark, or an end that was never written.

The standard library's decoder is given a window of the text that grows until a value is whole, so that a file of a
gigabyte takes no more memory than its largest row. What is damaged is not searched through for an end.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from lake.errors import SourceError
from lake.importers.base import Notes, Refused
from lake.importers.reading.packed import Unpacked, up_to
from lake.importers.reading.steady import steady
from lake.spec.encodings import encoding_of

_CHUNK = 1 << 20
_LONGEST = 64 << 20  # characters of one value; one that is longer is no row
_KEPT = 2_000  # characters of a broken row that are kept
_WORD = 16  # characters at the end of a window that may be half a number, word or escape
REPEATED = "repeated:"
_BREAKS_OFF = "the file breaks off: what comes before is taken"
_GOES_ON = "something follows the end of the JSON, as when a shorter file is written over a longer one: it is not read"
_FOLLOWS = "something follows the end of the JSON, as when files are joined: what of it is whole is read too"
GARBLED = "some of it is not text of its encoding: those characters are replaced"
ZEROS = "zero bytes stand in it, as a power cut leaves them: they are passed over"
_ZEROS = re.compile("\0+")
_NO_BRACKET = re.compile(r'(?:[^"\[\]{}]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)  # texts are taken whole


def entries_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a name that it has twice the last value counts, and the others are kept beside it."""
    made = dict(pairs)
    if len(made) < len(pairs):
        last = {name: place for place, (name, _) in enumerate(pairs)}
        for place, (name, value) in enumerate(pairs):
            if place != last[name]:
                made.setdefault(REPEATED + name, []).append(value)
    return made


def _constant(name: str) -> float | str:
    """NaN is no value; an infinity, which JSON has not either, is kept as text."""
    return math.nan if name == "NaN" else name


DECODER = json.JSONDecoder(object_pairs_hook=entries_of, parse_constant=_constant)


class JsonText:
    """A text that is decoded from its beginning, with what is not needed any more let go.

    Args:
        path: of the file.
        file: its bytes, when they are not simply what the path names: a file in an archive.
    """

    def __init__(self, path: Path, file: BinaryIO | None = None) -> None:
        self.path = path
        self._file = steady(path) if file is None else file
        self._decode: Callable[[bytes, bool], str] | None = None
        self._text, self._at, self._ended = "", 0, False
        self.stuck = False  # what comes next cannot be decoded
        self.garbled = False  # some bytes are no text
        self.has_zeros = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def peek(self) -> str:
        """The next character that is not blank, or a zero byte; "" at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
                self._at += 1
            if self._text[self._at : self._at + 1] == "\0":
                self.has_zeros = True
                self._at = cast("re.Match[str]", _ZEROS.match(self._text, self._at)).end()
                continue
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
                value, end = DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise json.JSONDecodeError("nested too deeply", "", 0) from None
            except json.JSONDecodeError as error:
                may_go_on = error.msg.startswith("Unterminated") or error.pos >= len(self._text) - _WORD
                if not may_go_on or len(self._text) - self._at > _LONGEST or not self._more():
                    raise
                continue
            if end > len(self._text) - _WORD and not self._ended:  # of 1.5 only 1 may be there yet
                self._more()
                continue
            self._at = end
            return value

    def pass_over(self) -> None:
        """Go past the next value, however large, without making it.

        Raises:
            json.JSONDecodeError: there is none, or it breaks off.
        """
        if self.peek() not in {"{", "["}:
            self.value()
            return
        depth = 0
        while True:
            passed = _NO_BRACKET.match(self._text, self._at)
            self._at = passed.end() if passed else self._at
            if self._text[self._at : self._at + 1] in {"", '"'}:  # a text may go on
                if len(self._text) - self._at > _LONGEST or not self._more():
                    raise json.JSONDecodeError("it breaks off", "", 0)
                continue
            depth += 1 if self._text[self._at] in "{[" else -1
            self._at += 1
            if depth == 0:
                return

    @property
    def breaks_off(self) -> bool:
        """Whether the packed file that it is in was not written to its end, as far as it has been read."""
        return isinstance(self._file, Unpacked) and self._file.breaks_off

    def rest(self) -> str:
        """What cannot be decoded, or the beginning of it."""
        return self._text[self._at : self._at + _KEPT]

    def _more(self) -> bool:
        """Read on; False at the end. The window doubles, so that a long value is tried only a few times."""
        wanted = max(_CHUNK, len(self._text) - self._at)
        raw = up_to(wanted, self._file, self.path)
        self._ended = len(raw) < wanted
        if self._decode is None:
            self._decode = codecs.getincrementaldecoder(encoding_of(raw))(errors="replace").decode
        more = self._decode(raw, not raw)
        self.garbled |= "\ufffd" in more and "\ufffd".encode() not in raw
        self._text = self._text[self._at :] + more
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
        if not text.skip(",") and text.peek() not in {"]", ""}:
            yield broken(text, notes)
            return
    if not text.skip("]"):
        notes.tell(_BREAKS_OFF, failed=True)


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
        if text.stuck:
            return
        if not text.skip(",") and text.peek() not in {"}", ""}:
            broken(text, notes)
            return
    if not text.skip("}"):
        notes.tell(_BREAKS_OFF, failed=True)


def broken(text: JsonText, notes: Notes, error: json.JSONDecodeError | None = None) -> Refused:
    """The piece at which decoding ended, and a note of it."""
    text.stuck = True
    why = error.msg if error else "no comma or end"
    notes.tell(f"the file breaks off or is damaged ({why}): what comes before is taken", failed=True)
    return Refused(text.rest(), "no whole JSON value")


def rows_in(
    path: Path,
    name: str,
    notes: Notes,
    beside: Callable[[str, JsonText], None] | None = None,
    *,
    required: bool = True,
) -> Iterator[Any]:
    """The rows of a file: an array, or the array under a name of an object; {} and [] are empty.

    Args:
        path: of the file.
        name: under which the array is, in an object.
        notes: is told what cannot be read.
        beside: takes the value of each other name from the text; passed over, when left out.
        required: whether an object must have the name.

    Raises:
        SourceError: it is neither, or has no such name where it must, or something else under it.
    """
    with JsonText(path) as text:
        first = text.peek()
        if first == "[":
            yield from items(text, notes)
        elif first == "{":
            has_it = yield from _rows_of_object(text, name, notes, beside or _pass_over)
            if required and has_it is False:
                todo = "Is it of another kind? `lake import generic FILE --suggest` looks at rows of other shapes."
                raise SourceError(f"it has no {name!r}", where=str(path), todo=todo)
        else:
            raise SourceError("not a JSON file" if first else "the file is empty", where=str(path))
        yield from _after(text, name, notes)
        told_of_end(text, notes)


def _after(text: JsonText, name: str, notes: Notes) -> Iterator[Any]:
    """The rows of what follows the end: arrays and objects that are whole, and the piece that is none as Refused."""
    while not text.stuck and (first := text.peek()):
        notes.tell(_FOLLOWS)
        if first == "[":
            yield from items(text, notes)
            continue
        value = text_value(text, notes) if first == "{" else broken(text, notes)
        rows = value.get(name) if isinstance(value, dict) else None
        if isinstance(rows, list):
            yield from rows
        else:
            yield value if isinstance(value, Refused) else Refused(value, "it stands behind the end of the JSON")


def documents(text: JsonText, notes: Notes) -> Iterator[str]:
    """The first character of each JSON value of a text: one, or several that were joined; the caller takes them."""
    count = 0
    while not text.stuck and (first := text.peek()):
        if count:
            notes.tell(_FOLLOWS)
        count += 1
        yield first


def told_of_end(text: JsonText, notes: Notes) -> None:
    """Tell what of a text was not read, or not as it should be."""
    if not text.stuck and text.peek():
        notes.tell(_GOES_ON, failed=True)
    if text.breaks_off and not notes.failed:
        notes.tell(_BREAKS_OFF, failed=True)
    for is_so, told in ((text.garbled, GARBLED), (text.has_zeros, ZEROS)):
        if is_so:
            notes.tell(told)


def _rows_of_object(
    text: JsonText, name: str, notes: Notes, beside: Callable[[str, JsonText], None]
) -> Generator[Any, None, bool | None]:
    """The rows, and whether there were any such; None when that is not known, since it is empty or breaks off."""
    has_it: bool | None = None
    for key in names(text, notes):
        has_it = bool(has_it) or key == name
        if key != name:
            take(text, notes, key, beside)
        elif text.peek() in {"[", ""}:
            yield from items(text, notes) if text.peek() else ()
        elif (value := text_value(text, notes)) is not None and not isinstance(value, Refused):
            raise SourceError(f"{name!r} is no array", where=str(text.path), value=value)
    return has_it or (None if notes.failed else has_it)


def take(text: JsonText, notes: Notes, name: str, taker: Callable[[str, JsonText], None]) -> None:
    """Let the next value be taken; what cannot be decoded is told."""
    try:
        taker(name, text)
    except json.JSONDecodeError as error:
        broken(text, notes, error)


def _pass_over(_name: str, text: JsonText) -> None:
    text.pass_over()
