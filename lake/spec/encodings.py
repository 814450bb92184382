"""In which encoding a text is: as its first bytes say, or as where its zero bytes stand tells.

What tells of markets is mostly ASCII, of which UTF-16 makes a byte and a zero: so many zeros, nearly all of them at the
first or at the second byte of two, are in no other text, as none holds the character 0.
"""

from __future__ import annotations

import codecs
import re

LOOKED_AT = 1 << 16  # bytes
UTF_8 = "utf-8-sig"  # with a byte order mark or without one
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),  # before UTF-16, whose mark is half of theirs
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_ASCII = 0.25  # of the characters, at least
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")
_OTHERS = 0.05  # characters whose other byte is zero, such as the Chinese one, at most


def encoding_of(head: bytes) -> str:
    """The encoding of a text, by its first bytes; UTF-8 where they say nothing else.

    >>> encoding_of(b"a,b"), encoding_of("a,b".encode("utf-16")), encoding_of("a,b".encode("utf-16-be"))
    ('utf-8-sig', 'utf-16', 'utf-16-be')
    """
    marked = next((name for mark, name in _MARKS if head.startswith(mark)), None)
    if marked is not None:
        return marked
    characters = len(head) / 2
    first, second = (head[place::2].count(0) for place in (0, 1))
    for name, upper, lower in (("utf-16-le", second, first), ("utf-16-be", first, second)):
        if upper > _ASCII * characters and lower <= _OTHERS * characters and is_text(head.decode(name, "replace")):
            return name
    return UTF_8


def is_text(text: str) -> bool:
    """Whether no character of it is one that texts do not have."""
    return not _CONTROL.search(text)
