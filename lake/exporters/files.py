"""Files that are there whole or not at all: written under another name, synced, and then given their own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lake.errors import StorageError

_TODO = "Name another place, or replace it (`--replace`)."


@contextmanager
def whole(target: Path, *, replace: bool) -> Iterator[Path]:
    """The path to write instead; when the block ends well it becomes the target.

    Raises:
        StorageError: the target is there and may not be replaced, is a folder, or cannot be written.
    """
    if target.is_dir():
        raise StorageError("that is a folder", where=str(target), todo="Name a file in it.")
    refuse_existing(target, replace=replace)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with as_storage_error(target):
        try:
            yield draft
            _sync(draft)
            refuse_existing(target, replace=replace)  # it may have come meanwhile
            draft.replace(target)
            _sync(target.parent)
        finally:
            for suffix in ("", "-journal", "-wal", "-shm"):
                draft.with_name(draft.name + suffix).unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """A folder to write files in; when the block ends well they are moved into the target, each at its place.

    Raises:
        StorageError: a file is there and may not be replaced (then none is moved), or cannot be written.
    """
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    with as_storage_error(target):
        draft.mkdir(parents=True)
        try:
            yield draft
            moves = {file: target / file.relative_to(draft) for file in sorted(draft.rglob("*")) if file.is_file()}
            _move(moves, replace=replace)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _move(moves: Mapping[Path, Path], *, replace: bool) -> None:
    for file, place in moves.items():
        refuse_existing(place, replace=replace)
        _sync(file)
    for file, place in moves.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        file.replace(place)
    for folder in {place.parent for place in moves.values()}:
        _sync(folder)


def refuse_existing(target: Path, *, replace: bool) -> None:
    """Raise StorageError when something is there that may not be replaced."""
    if not replace and os.path.lexists(target):
        raise StorageError("there is such a file", where=str(target), todo=_TODO)


@contextmanager
def as_storage_error(target: Path) -> Iterator[None]:
    """What the system says about a path, in the lake's words."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StorageError(f"it cannot be written: {reason}", where=str(target), todo="Name another place.") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
