"""From paths to work: folders walked, files sniffed, files of trades of one market put together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from lake.errors import SourceError, UsageError
from lake.sources.base import Options, Source
from lake.sources.done import Done, Identity, Refusal
from lake.sources.endings import check
from lake.sources.opening import stamp
from lake.sources.registry import UnknownKindError, by_name, sniff
from lake.sources.report import FileReport
from lake.spec import timeframes
from lake.store.walking import files_below

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
    stamp: tuple[int, int, int]  # by which it is known not to have changed until it is read
    market: str | None  # whose trades it holds; None for candles

    def already_there(self, done: Done) -> FileReport:
        """The report of a finished file."""
        return _already_there(self.path, self.source, done.refusal(self.identity))


@dataclass(frozen=True, slots=True)
class _Found:
    """A file met on the way, and whether the caller named it."""

    number: int
    path: Path
    given: bool


@dataclass(frozen=True, slots=True)
class Job:
    """Files that one reader takes: one file of candles, or all files of trades of one market."""

    files: tuple[Planned, ...]
    timeframe: str = ""  # of the candles that trades are folded into

    @property
    def folds(self) -> bool:
        """Whether the files hold trades."""
        return bool(self.timeframe)

    @property
    def market(self) -> str:
        """Whose candles of which timeframe are made of trades; ``""`` for files of candles."""
        return f"{self.files[0].market} {self.timeframe}" if self.folds else ""


@dataclass(slots=True)
class Plan:
    """All work of an ingest; ``settled`` files need none."""

    total: int = 0
    jobs: list[Job] = field(default_factory=list)
    settled: dict[int, FileReport] = field(default_factory=dict)

    @property
    def markets(self) -> set[str]:
        """Whose trades are read."""
        return {job.market for job in self.jobs if job.folds}

    def leave_out(self, done: Done) -> None:
        """Settle the files of trades that another ingest has finished since."""
        jobs, self.jobs = self.jobs, []
        for job in jobs:
            left = tuple(file for file in job.files if not job.folds or file.identity not in done)
            self.settled |= {file.number: file.already_there(done) for file in job.files if file not in left}
            if left:
                self.jobs.append(Job(left, job.timeframe))


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for."""

    paths: tuple[str | Path, ...]
    options: Options
    format: str | None = None
    workers: int = 1


def plan(request: Request, done: Done) -> Plan:
    """Sniff every file, some at once, and skip the finished ones.

    Raises:
        SourceError: a path does not exist.
        UsageError: no source of that name, or an empty path.
    """
    chosen = by_name(request.format) if request.format else None
    found = [_Found(number, path, given) for number, (path, given) in enumerate(_walk(request.paths))]
    with ThreadPoolExecutor(request.workers, "plan") as pool:
        seen = list(pool.map(lambda file: _examined(file, request.options, done, chosen), found))
    result = Plan(total=len(found))
    markets: dict[str, list[Planned]] = {}
    for file, what in zip(found, seen, strict=True):
        if isinstance(what, FileReport):
            result.settled[file.number] = what
        elif what.market is None:
            result.jobs.append(Job((what,)))
        else:
            markets.setdefault(what.market, []).append(what)
    timeframe = timeframes.parse(request.options.timeframe or "1m")
    result.jobs += [Job(tuple(files), timeframe) for files in markets.values()]
    return result


def _examined(file: _Found, options: Options, done: Done, chosen: Source | None) -> Planned | FileReport:
    """A file to read, or the report of one that needs no reading."""
    try:
        source = _source(file.path, file.given, chosen)
        if source is None:
            return FileReport(str(file.path), "", "skipped")
        seen = stamp(file.path)
        identity = Identity.of(file.path, options, source.name)
        if identity in done and not options.again:
            return _already_there(file.path, source, done.refusal(identity))
        check(file.path)
        return Planned(file.number, file.path, source, identity, seen, source.series(file.path, options))
    except SourceError as error:
        return FileReport(str(file.path), "", "failed", error=str(error))


def _already_there(path: Path, source: Source, refusal: Refusal | None) -> FileReport:
    told = Refusal(0, {}) if refusal is None else refusal
    return FileReport(str(path), source.name, "already there", reasons=told.reasons, refused_before=told.rows)


def _walk(paths: Iterable[str | Path]) -> Iterator[tuple[Path, bool]]:
    """Files in order of name, and whether the caller named them one by one."""
    for text in paths:
        if text == "":
            raise UsageError("an empty path names no file or folder", value=text, todo="The current folder is '.'.")
        path = Path(text).expanduser()
        if path.is_dir():
            inside = files_below(path)
            yield from ((p, False) for p in inside if not any(q.startswith(".") for q in p.relative_to(path).parts))
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
