"""The files in which freqtrade leaves the results of backtests: which is one, and what lies beside and around it."""

from __future__ import annotations

import zipfile
import zlib
from collections import Counter
from pathlib import Path
from typing import Any, cast

import orjson

from lake.errors import SourceError
from lake.importers.base import Notes
from lake.importers.reading.packed import head_of

PREFIX = "backtest-result"
_POINTERS = (".last_result.json", "last_result.json")
_STRATEGIES = '"strategy":{'
_LOOKED_AT = 1 << 16
_NOT_RESULTS = ("_config.json", ".meta.json")
_SECRETS = frozenset(
    {
        "key", "secret", "password", "uid", "token", "chat_id", "jwt_secret_key", "ws_token", "username", "accountid",
        "walletaddress", "privatekey",
    }
)  # fmt: skip


def is_beside(path: Path) -> bool:
    """Whether a file only speaks of a result: its .meta.json, or the pointer to the newest."""
    return path.name.endswith(".meta.json") or path.name in _POINTERS


def looks_like_result(path: Path) -> bool:
    """Whether a file that nobody named is a result, by its beginning."""
    if is_beside(path):
        return False
    try:
        if path.suffix == ".zip":
            return bool(member_of(path))
        head = head_of(path)
        return _begins_like_result(head.decode("utf-8-sig", "replace")) or (not head and path.name.startswith(PREFIX))
    except (SourceError, OSError):
        return path.name.startswith(PREFIX)  # that it cannot be read is told when it is


def _begins_like_result(head: str) -> bool:
    text = "".join(head.split())
    return text.startswith(("[[", "[]")) or (text.startswith("{") and _STRATEGIES in text)


def meant(path: Path) -> Path:
    """The result file that a path means: a .meta.json means the file beside it, last_result.json the newest.

    Raises:
        SourceError: it means one that is not there.
    """
    if not is_beside(path):
        return path
    if path.name.endswith(".meta.json"):
        stem = path.name.removesuffix(".meta.json")
    else:
        stem = str(document_of(path.read_bytes(), path.name, Notes()).get("latest_backtest", ""))
        stem = Path(stem).name.removesuffix(".json").removesuffix(".zip")
    for suffix in (".json", ".json.gz", ".zip"):
        found = path.with_name(stem + suffix)
        if stem and found.exists():
            return found
    raise SourceError("the result that it speaks of is not beside it", where=str(path), value=stem)


def member_of(path: Path) -> str:
    """The result in an archive: named like it, or what begins like one, or else the only one that may be one.

    Raises:
        SourceError: it cannot be read, or holds none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            every = archive.namelist()
            own = [n for n in every if Path(n).name == f"{path.stem}.json"]
            rest = [n for n in every if n.endswith(".json") and not n.endswith(_NOT_RESULTS)]
            alike = [] if own or len(rest) < 2 else [n for n in rest if _begins_like_result(_head(archive, n))]
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError) as error:  # RuntimeError of one with a password
        raise SourceError(f"the archive cannot be read: {error}", where=str(path)) from error
    if not own and not rest:
        raise SourceError("no result of a backtest in the archive", where=str(path), value=every[:5])
    return min(own or alike or rest, key=len)


def _head(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as file:
        return file.read(_LOOKED_AT).decode("utf-8-sig", "replace")


def config_in(path: Path, notes: Notes) -> dict[str, Any] | None:
    """The configuration in an archive, without anything that lets one into an account."""
    with zipfile.ZipFile(path) as archive:
        found = next((n for n in archive.namelist() if n.endswith("_config.json")), None)
        document = None if found is None else document_of(archive.read(found), found, notes)
    return None if document is None else cast("dict[str, Any]", _without_secrets(document))


def tell_members(path: Path, member: str, notes: Notes) -> None:
    """Tell what else is in an archive, and is not looked at."""
    with zipfile.ZipFile(path) as archive:
        used = {member, *(n for n in archive.namelist() if n.endswith("_config.json"))}
        left = Counter(Path(n).suffix or n for n in archive.namelist() if n not in used)
    if left:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(left.items()))
        notes.tell(f"left in the archive, as no dataset holds them: {kinds}")


def document_of(raw: bytes, name: str, notes: Notes) -> dict[str, Any]:
    """The JSON object in a small file; {} and a note when it is none."""
    try:
        found = orjson.loads(raw)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        notes.tell(f"{name} is no JSON object")
        return {}
    return found


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_secrets(v) for name, v in value.items() if str(name).lower() not in _SECRETS}
    return [_without_secrets(v) for v in value] if isinstance(value, list) else value
