"""Files into the lake: read in parallel, written by one, every row accounted for, resumable."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lake.errors import LakeError
from lake.sources.base import KEYS, Options
from lake.sources.done import Done
from lake.sources.held_trades import HeldTrades
from lake.sources.landing import GATHER_ROWS, Landing
from lake.sources.market_turns import turns_at
from lake.sources.pieces import Piece
from lake.sources.plan import Job, Plan, Planned, Request, plan
from lake.sources.reading import Damaged, pieces_of
from lake.sources.report import IngestReport
from lake.sources.waiting import Waiting
from lake.spec import timeframes
from lake.store.removed import removed

_AHEAD = 2  # pieces that a reader may be ahead of the writer


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is: for a progress bar."""

    files_done: int
    files: int
    rows_in: int


def ingest(
    lk: Any,
    paths: str | Path | Sequence[str | Path],
    options: Options | None = None,
    *,
    format: str | None = None,  # noqa: A002 - the public word, as on the command line
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Read files and folders of candles, trades and market metrics into a lake.

    A file whose content an earlier ingest finished is not read again, unless the options say so. A file that is
    damaged, or that changes while it is read, lands no row. Of several ingests of trades of one market, one at a time
    works.

    Args:
        lk: an open lake.
        paths: files or folders; folders are walked, and what is no candles in them is skipped.
        options: what the files do not say.
        format: name of a source; by default every file is sniffed.
        workers: files read at once; the number of processors by default.
        progress: called after every file.

    Raises:
        SourceError: a path does not exist.
        UsageError: an unknown format, or an empty path.
        UnknownTimeframeError: trades to be folded into candles that the lake does not hold.
        StorageError: the lake cannot be written, or another host has taken over since this one stood still; what the
            lake has taken stays, and a run from the start goes on from there.
    """
    options = options or Options()
    given = [paths] if isinstance(paths, (str, Path)) else paths
    done = Done(lk.location)
    if options.timeframe:
        timeframes.parse(options.timeframe)
    at_once = workers or os.cpu_count() or 1
    planned = plan(Request(tuple(given), options, format, at_once), done)
    held = HeldTrades(lk.location)
    with _turns(lk, planned, None if options.again else done) as check_turns:
        run = _Run(lk, planned, _Notes(done, held), check_turns, progress or (lambda _: None))
        for job, pieces in _read_ahead(planned.jobs, partial(pieces_of, options=options, held=held), at_once):
            run.take(job, pieces)
        return run.finish()


@contextmanager
def _turns(lk: Any, planned: Plan, done: Done | None) -> Iterator[Callable[[], None]]:
    """Of ingests of one market, one at a time folds its trades; who waited leaves out what was done meanwhile."""
    if not planned.markets:
        yield lambda: None
        return
    with turns_at(lk.store.location, lk.store.hot_folder, planned.markets) as check:
        if done is not None:
            done.look_again()
            planned.leave_out(done)
        yield check


@dataclass(frozen=True, slots=True)
class _Notes:
    """What later runs are told: files that are finished, and trades that they may need again."""

    done: Done
    held: HeldTrades


class _Run:
    """The writing side of one ingest."""

    def __init__(
        self,
        lk: Any,
        planned: Plan,
        notes: _Notes,
        check_turns: Callable[[], None],
        progress: Callable[[Progress], None],
    ) -> None:
        files = [file for job in planned.jobs for file in job.files]
        self._plan, self._notes, self._progress = planned, notes, progress
        self._check_turns = check_turns
        self._location, self._folder = lk.location, lk.store.hot_folder
        self._landing = Landing(lk, {file.number: str(file.path) for file in files})
        # candles of trades that wait in this host's log would settle over what the next host makes of them
        self._settle = lk.drain if planned.markets and not lk.store.location.is_local else None
        self._finished: list[Planned] = []
        self._reports = dict(planned.settled)
        self._files = {file.number: file for file in files}
        self._errors: dict[int, str] = {}
        self._taken = len(planned.settled)

    def take(self, job: Job, pieces: Iterator[Piece | Damaged]) -> None:
        """Write one job's pieces when all of them are read, so that a damaged file lands nothing."""
        with Waiting(self._folder, GATHER_ROWS) as waiting:
            for piece in self._read(job, pieces):
                if isinstance(piece, Damaged):
                    self._errors[piece.file] = piece.why
                    waiting.clear()
                else:
                    waiting.add(piece)
            if left := self._left(job):
                for piece in waiting:
                    self._add(job, piece)
                self._finished += left
        if self._landing.full:
            self._flush()
        self._taken += len(job.files)
        self._tell()

    def _left(self, job: Job) -> list[Planned]:
        """The files of a job that are not known to be damaged."""
        return [file for file in job.files if file.number not in self._errors]

    def _read(self, job: Job, pieces: Iterator[Piece | Damaged]) -> Iterator[Piece | Damaged]:
        """The pieces of a job. What its files cannot give is their fault; what the lake cannot take is not."""
        try:
            yield from pieces
        except LakeError as error:
            self._errors |= {file.number: str(error) for file in self._left(job)}

    def _add(self, job: Job, piece: Piece) -> None:
        if self._landing.full:
            self._flush()
        self._landing.add(piece)
        self._notes.held.add(job.market, piece.held, piece.used)

    def _flush(self) -> None:
        finished, self._finished = self._finished, []
        self._check_turns()
        self._landing.flush()
        if self._settle is not None:
            self._settle()
        self._check_turns()  # who took one over during the commit has not seen it: a run from the start makes it whole
        self._notes.held.write()
        self._notes.done.add({file.identity: self._landing.counts[file.number].refusal for file in finished})
        self._notes.held.drop_used()

    def _tell(self) -> None:
        rows = sum(counts.rows_in for counts in self._landing.counts.values())
        self._progress(Progress(self._taken, self._plan.total, rows))

    def finish(self) -> IngestReport:
        """Write the rest and report every file in order."""
        self._flush()
        for number, file in self._files.items():
            counts, error = self._landing.counts[number], self._errors.get(number, "")
            folded = file.market is not None
            self._reports[number] = counts.report(str(file.path), file.source.name, error, folded=folded)
        reports = tuple(self._reports[number] for number in sorted(self._reports))
        is_there = any(report.status == "already there" for report in reports)
        gone = tuple(one for one in removed(self._location) if one.dataset in KEYS) if is_there else ()
        return IngestReport(reports, self._landing.candles_made, gone)


def _read_ahead(
    jobs: Sequence[Job], read: Callable[[Job], Iterator[Piece | Damaged]], workers: int
) -> Iterator[tuple[Job, Iterator[Piece | Damaged]]]:
    """Jobs in order, the next ones being read meanwhile by threads; each is at most ``_AHEAD`` pieces ahead."""
    stop = threading.Event()
    lanes: dict[int, _Lane] = {}
    with ThreadPoolExecutor(workers, "ingest") as pool:
        try:
            for place, job in enumerate(jobs):
                for ahead in range(place, min(place + workers, len(jobs))):
                    if ahead not in lanes:
                        lanes[ahead] = _Lane(pool, read(jobs[ahead]), stop)
                yield job, iter(lanes.pop(place))
        finally:
            stop.set()


class _Lane:
    """A thread that fills a short queue from an iterator; its error is raised where the queue is read."""

    def __init__(self, pool: ThreadPoolExecutor, pieces: Iterator[Piece | Damaged], stop: threading.Event) -> None:
        self._queue: queue.Queue[Piece | Damaged | None] = queue.Queue(_AHEAD)
        self._stop = stop
        self._ended = pool.submit(self._fill, pieces)

    def _fill(self, pieces: Iterator[Piece | Damaged]) -> None:
        try:
            for piece in pieces:
                self._put(piece)
        finally:
            self._put(None)

    def _put(self, piece: Piece | Damaged | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(piece, timeout=0.2)
                break
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[Piece | Damaged]:
        while (item := self._queue.get()) is not None:
            yield item
        self._ended.result()
