"""Files that no source recognises though their name or their first bytes say that they are candles or trades."""

from __future__ import annotations

import re
from pathlib import Path

from lake.errors import SourceError
from lake.sources import frames, octobot
from lake.sources.opening import stem
from lake.spec.encodings import UTF_8, encoding_of

_TABLES = {
    ".feather": "feather",
    ".arrow": "feather",
    ".ipc": "feather",
    ".parquet": "parquet",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}
_CSV = (".csv", ".csv.gz", ".csv.zip")
_DATA = frozenset({*_TABLES, ".csv", ".json", ".gz", ".zip", ".txt"})
# the names of freqtrade, Binance and Nautilus; quote assets are written large, which tells BTC_USDT-1h from my_notes-2d
_NAMED = (
    re.compile(r"[A-Za-z0-9]+(?:_[A-Z0-9]+){1,2}-(?:trades|\d+(?:[smhdwMy]|Mo|mo)(?:-[A-Za-z_]+)?)"),
    re.compile(
        r"(?:.*[_\-/ ])?(?=\d*[A-Z])[A-Z0-9]{3,20}(?:_\d{6}|_PERP)?"
        r"-(?:trades|aggTrades|fundingRate|\d+(?:mo|[smhdwM]))(?:-.*)?"
    ),
    re.compile(r"[A-Za-z0-9]+(?:[-_][A-Za-z]+)?-\d{8}-\d{8}_\d+[mhdw]"),
)


def is_named(path: Path) -> bool:
    """Whether a file has the ending of data, and a name that candles or trades have.

    >>> is_named(Path("BTC_USDT-1h.json")), is_named(Path("backtest-result-2024-09-05_22-20-02.json"))
    (True, False)
    """
    return path.suffix.lower() in _DATA and any(name.fullmatch(stem(path)) for name in _NAMED)


def check_encoding(path: Path, first: bytes) -> None:
    """Refuse text that is not in UTF-8, nor in ASCII.

    Args:
        path: the file.
        first: its first bytes, decompressed.

    Raises:
        SourceError: it is in another encoding.
    """
    found = encoding_of(first)
    if found != UTF_8:
        name = "-".join(found.upper().split("-")[:2])
        raise SourceError(f"the text is in {name}", where=str(path), todo="Save it as UTF-8.")


def check(path: Path, first: bytes) -> None:
    """Refuse a file that should have been recognised; one that claims nothing passes.

    Args:
        path: the file.
        first: its first bytes, decompressed.

    Raises:
        SourceError: it is damaged, or not what its name says.
    """
    if is_named(path) or path.name.lower().endswith(_CSV):
        check_encoding(path, first)
    frames.check(path, first)
    octobot.check(path, first)
    kind, meant = frames.kind_of(first), _TABLES.get(path.suffix.lower())
    if meant and kind is None:
        raise SourceError(
            f"the {meant} file is damaged: it does not begin like one", where=str(path), todo="Fetch the file again."
        )
    if is_named(path):
        todo = "Fetch the file again, or move it away."
        raise SourceError("no known kind of candles or trades, though it is named like one", where=str(path), todo=todo)
