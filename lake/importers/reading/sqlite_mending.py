"""A copy of a damaged SQLite file made readable: trees of tables that hold all rows that are whole, and no others.

SQLite gives up at the first page that is none. Here the leaves of a table are gone through one by one; what is not
whole is left out, and the pages above are made anew. Where those are lost, leaves that no tree holds take their place,
if their rows can be of one table only.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from lake.importers.reading.sqlite_format import (
    INDEX_LEAF,
    LEAF,
    LEAST,
    MOST,
    BrokenPageError,
    Cell,
    PageFile,
    cells,
    children,
    empty,
    interior,
    is_leaf,
    room,
    with_cells,
)
from lake.importers.wording import counted

_DEEPEST = 20  # levels of a tree
_SHOWN = 5  # places where rows are lost
Hole = tuple[int, int]  # the numbers of the rows before and behind what is lost


@dataclass(frozen=True)
class Root:
    """Where a table's tree begins, and how many columns its rows have."""

    page: int
    columns: int


@dataclass
class _Tree:
    """What is found of a table.

    Attributes:
        root: where it begins.
        pages, lasts: its leaves in order, each with its highest row.
        holes: where rows are lost.
        strays: leaves in these, which no tree holds: lowest row, highest row and page.
    """

    root: Root
    pages: array[int] = field(default_factory=lambda: array("q"))
    lasts: array[int] = field(default_factory=lambda: array("q"))
    holes: list[Hole] = field(default_factory=list)
    strays: list[tuple[int, int, int]] = field(default_factory=list)

    def may_hold(self, rows: Sequence[Cell]) -> bool:
        """Whether rows may be of those that it has lost."""
        first, last = rows[0][1], rows[-1][1]
        at = bisect_left(self.holes, first, key=lambda hole: hole[0]) - 1
        fits = at >= 0 and last < self.holes[at][1]
        return fits and all(columns == self.root.columns for _, _, columns in rows)

    def settle_strays(self) -> None:
        """Keep those that do not tell the same rows."""
        kept: list[tuple[int, int, int]] = []
        for stray in sorted(self.strays):
            if not kept or stray[0] > kept[-1][1]:
                kept.append(stray)
        self.strays = kept

    def lost(self) -> list[Hole]:
        """Holes in which numbers of rows are missing."""
        found, strays = [], deque(self.strays)
        for after, before in self.holes:
            at = after
            while strays and strays[0][0] < before:
                first, last, _ = strays.popleft()
                found.append((at, first))
                at = last
            found.append((at, before))
        named = [(after, before) for after, before in found if before - after > 1]
        return named[1:] if named[:1] == [(LEAST, 1)] else named  # SQLite numbers rows from 1 on


def mend(path: Path, tables: Mapping[str, Root], indexes: Sequence[int]) -> dict[str, list[Hole]]:
    """Make a file readable, in place.

    Args:
        path: of a copy, without a log beside it.
        tables: those whose rows are numbered.
        indexes: first pages of theirs; they are empty afterwards, and to be made anew.

    Returns:
        Of each table of which not all is there, where rows are lost; an empty list, if no number is missing.

    Raises:
        BrokenPageError: its first page is lost.
    """
    with PageFile(path) as file:
        seen = bytearray(file.there + 1)
        trees = {name: _walked(file, root, seen) for name, root in tables.items()}
        damaged = {name: tree for name, tree in trees.items() if tree.holes}
        with suppress(BrokenPageError):
            _gather_strays(file, seen, list(damaged.values()))
        for tree in damaged.values():
            tree.settle_strays()
            _plant(file, tree)
        for page in indexes:
            file.write(page, empty(file, INDEX_LEAF))
        file.settle()
    return {name: tree.lost() for name, tree in damaged.items()}


def loss(table: str, holes: Sequence[Hole]) -> str:
    """Which rows of a table cannot be read."""
    if not holes:
        return f"no row of {table} is missing by its number; all that are there are taken"
    shown = [_span(after + 1, before - 1) for after, before in holes[:_SHOWN]]
    more = [f"at {counted(len(holes) - _SHOWN, 'more place')}"] if len(holes) > _SHOWN else []
    return (
        f"of {table} the rows {', '.join(shown + more)} cannot be read (numbered as SQLite does), the others are taken"
    )


def _span(first: int, last: int) -> str:
    if last == MOST - 1:
        return "of all numbers" if first == LEAST + 1 else f"from {first:,} on"
    return f"up to {last:,}" if first == LEAST + 1 else f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _walked(file: PageFile, root: Root, seen: bytearray) -> _Tree:
    """A tree without what is not whole."""
    tree, at, is_lost = _Tree(root), LEAST, False
    for found in _leaves(file, root.page, seen, (LEAST, MOST)):
        if found is None:
            is_lost = True
            continue
        page, low, high = found
        data, kept, whole = file.read(page), [], True
        for cell in cells(file, data):
            if cell is None or not max(at, low) < cell[1] <= high:
                is_lost, whole = True, False
                continue
            if is_lost:
                tree.holes.append((at, cell[1]))
            is_lost, at = False, cell[1]
            kept.append(cell[0])
        if kept:
            tree.pages.append(page)
            tree.lasts.append(at)
        if kept and not whole:
            file.write(page, with_cells(data, kept))
    if is_lost:
        tree.holes.append((at, MOST))
    return tree


def _leaves(
    file: PageFile, page: int, seen: bytearray, between: tuple[int, int], depth: int = 0
) -> Iterator[tuple[int, int, int] | None]:
    """The leaves below a page, in order, with the numbers that their rows are above and at most; None for lost ones."""
    low, high = between
    try:
        data = file.read(page)
        below = [] if is_leaf(file, data) else list(children(data))
    except BrokenPageError:
        below = [None]
    else:
        below = [None] if seen[page] or depth > _DEEPEST else below
        seen[page] = True
        if not below:
            yield page, low, high
    for child in below:
        if child is None or not (low < child[1] <= high or child[1] == MOST):
            yield None
            continue
        upto = min(child[1], high)
        yield from _leaves(file, child[0], seen, (low, upto), depth + 1)
        low = upto


def _gather_strays(file: PageFile, seen: bytearray, trees: Sequence[_Tree]) -> None:
    """Leaves that no tree holds, to the one tree whose rows they may be.

    Raises:
        BrokenPageError: what is deleted cannot be told from what is lost.
    """
    free = file.free()
    for page in range(2, file.there + 1):
        if seen[page] or page in free:
            continue
        rows = _all_cells(file, page)
        fitting = [tree for tree in trees if rows and tree.may_hold(rows)]
        if len(fitting) == 1:
            fitting[0].strays.append((rows[0][1], rows[-1][1], page))


def _all_cells(file: PageFile, page: int) -> list[Cell]:
    """The rows of a leaf that is whole; else none."""
    data = file.read(page)
    try:
        found = list(cells(file, data)) if is_leaf(file, data) else []
    except BrokenPageError:
        return []
    kept = [cell for cell in found if cell is not None]
    return kept if len(kept) == len(found) and all(a[1] < b[1] for a, b in pairwise(kept)) else []


def _plant(file: PageFile, tree: _Tree) -> None:
    """Pages above the leaves, up to the first."""
    root, most = tree.root.page, room(file)
    level = sorted([*zip(tree.lasts, tree.pages, strict=True), *((last, page) for _, last, page in tree.strays)])
    if len(level) < 2:
        file.write(root, file.read(level[0][1]) if level else empty(file, LEAF))
        return
    below = [(file.add(file.read(root)) if page == root else page, last) for last, page in level]
    while len(below) > most:
        parts = -(-len(below) // most)  # of about one size, so that none is of one page
        bounds = [len(below) * part // parts for part in range(parts + 1)]
        groups = [below[start:end] for start, end in pairwise(bounds)]
        below = [(file.add(interior(file, group)), group[-1][1]) for group in groups]
    file.write(root, interior(file, below))
