"""Pieces of a job that wait until all of its files are read: no row lands of a file that cannot be read to its end."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import polars as pl

from lake.sources.pieces import Piece
from lake.store.location.local_errors import storage_errors


class Waiting:
    """Keeps pieces in order: few in memory, those of a large job in a file without a name, which goes with its process.

    Args:
        folder: on whose disk the file is, or on that of the nearest parent that is there.
        memory_rows: how many rows wait in memory.
    """

    def __init__(self, folder: Path, memory_rows: int) -> None:
        self._folder = next(place for place in (folder, *folder.parents) if place.is_dir())
        self._memory_rows = memory_rows
        self._pieces: list[Piece] = []
        self._rows = 0
        self._file: IO[bytes] | None = None
        self._packed: list[tuple[Piece, list[int]]] = []  # without their rows; sizes of these in the file

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def add(self, piece: Piece) -> None:
        """Let a piece wait.

        Raises:
            StorageError: the disk is full, or cannot be written.
        """
        self._pieces.append(piece)
        self._rows += piece.rows
        if self._file is not None or self._rows >= self._memory_rows:
            self._pack()

    def clear(self) -> None:
        """Let all go."""
        self._pieces, self._rows, self._packed = [], 0, []
        if self._file is not None:
            self._file.close()
            self._file = None

    def __iter__(self) -> Iterator[Piece]:
        """All pieces, in order."""
        if self._file is not None:
            self._file.seek(0)
            for bare, sizes in self._packed:
                yield _with(bare, [pl.read_ipc(io.BytesIO(self._file.read(size))) for size in sizes])
        yield from self._pieces

    def _pack(self) -> None:
        with storage_errors(str(self._folder), ""):
            self._file = self._file or tempfile.TemporaryFile(buffering=0, dir=self._folder)  # noqa: SIM115 - closed by clear
            for piece in self._pieces:
                sizes = [_write(frame, self._file) for frame in _frames(piece)]
                self._packed.append((_with(piece, [frame.clear() for frame in _frames(piece)]), sizes))
        self._pieces, self._rows = [], 0


def _frames(piece: Piece) -> list[pl.DataFrame]:
    return [piece.frame, piece.shares, piece.held, *(tally.rejected for tally in piece.tallies)]


def _with(piece: Piece, frames: list[pl.DataFrame]) -> Piece:
    """The piece with other frames in the places of its own."""
    frame, shares, held, *rejected = frames
    tallies = tuple(replace(tally, rejected=rows) for tally, rows in zip(piece.tallies, rejected, strict=True))
    return replace(piece, frame=frame, shares=shares, held=held, tallies=tallies)


def _write(frame: pl.DataFrame, file: IO[bytes]) -> int:
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    whole = left = buffer.getbuffer()
    while left:  # an unbuffered file may take a part, and raises when it takes none
        left = left[file.write(left) :]
    return len(whole)
