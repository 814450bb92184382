"""From paths to work: folders walked, files sniffed, files of trades of one market put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lake.errors import SourceError
from lake.sources.base import Options, Source
from lake.sources.done import Done, Identity
from lake.sources.opening import check
from lake.sources.registry import UnknownKindError, by_name, sniff
from lake.sources.report import FileReport

_IGNORED = (
    ".md",
    ".py",
    ".sql",
    ".sqlite",
    ".db",
    ".log",
    ".toml",
    ".yaml",
    ".yml",
    ".html",
    ".png",
    ".jpg",
    ".pdf",
    ".checksum",
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A file to read."""

    number: int
    path: Path
    source: Source
    identity: Identity


@dataclass(frozen=True, slots=True)
class Job:
    """Files that one reader takes: one file of candles, or all files of trades of one market."""

    files: tuple[Planned, ...]
    folds: bool


@dataclass(slots=True)
class Plan:
    """All work of an ingest; ``settled`` files need none."""

    total: int = 0
    jobs: list[Job] = field(default_factory=list)
    settled: dict[int, FileReport] = field(default_factory=dict)


def plan(paths: Iterable[str | Path], options: Options, done: Done, format: str | None) -> Plan:  # noqa: A002 - the public word
    """Sniff every file and skip the finished ones.

    Raises:
        SourceError: a path does not exist.
        UsageError: no source of that name.
    """
    chosen = by_name(format) if format else None
    found = list(_walk(paths))
    result = Plan(total=len(found))
    series: dict[str, list[Planned]] = {}
    for number, (path, given) in enumerate(found):
        try:
            source = _source(path, given, chosen)
            if source is None:
                result.settled[number] = FileReport(str(path), "", "skipped")
                continue
            identity = Identity.of(path, options, source.name)
            if identity in done:
                result.settled[number] = FileReport(str(path), source.name, "already there")
                continue
            check(path)
            market = source.series(path, options)
        except SourceError as error:
            result.settled[number] = FileReport(str(path), "", "failed", error=str(error))
            continue
        planned = Planned(number, path, source, identity)
        if market is None:
            result.jobs.append(Job((planned,), folds=False))
        else:
            series.setdefault(market, []).append(planned)
    result.jobs += [Job(tuple(files), folds=True) for files in series.values()]
    return result


def _walk(paths: Iterable[str | Path]) -> Iterator[tuple[Path, bool]]:
    """Files in order of name, and whether the caller named them one by one."""
    for text in paths:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = (
                p
                for p in path.rglob("*")
                if p.is_file() and not any(q.startswith(".") for q in p.relative_to(path).parts)
            )
            yield from ((p, False) for p in sorted(inside))
        elif path.exists():
            yield path, True
        else:
            raise SourceError("there is no such file or folder", where=str(path))


def _source(path: Path, given: bool, chosen: Source | None) -> Source | None:
    """The source of a file; None for one that was met in a folder and is no candles."""
    if chosen is not None:
        return chosen
    if not given and path.suffix.lower() in _IGNORED:
        return None
    try:
        return sniff(path)
    except UnknownKindError:
        if given:
            raise
        return None
