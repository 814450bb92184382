"""Is a lake well? Each check says what it measured, what the limit is, and what to do when it is passed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from lake.clock import now_micros
from lake.errors import LakeError
from lake.lake import Lake
from lake.spec import registry
from lake.spec.times import from_micros
from lake.store.cold.table_state import TableState
from lake.store.drain import last_drain
from lake.store.hot.claim import is_held
from lake.store.hot.gauge import WriteHealth, read_health
from lake.store.hot.mirror import SEQUENCE
from lake.store.quarantine import FOLDER as QUARANTINE
from lake.store.store import Store

OK, WARNING, FAILURE = "ok", "warning", "failure"
RANK = {OK: 0, WARNING: 1, FAILURE: 2}
_RECENT_DAYS = 7


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a figure is worth a warning, and a failure."""

    success_rate: tuple[float, float] = (1.0, 0.99)
    latency_seconds: tuple[float, float] = (0.05, 1.0)
    backlog_rows: tuple[float, float] = (200_000, 2_000_000)
    backlog_seconds: tuple[float, float] = (600, 7_200)
    disk_percent: tuple[float, float] = (85, 95)
    small_files: tuple[float, float] = (500, 5_000)
    gap_bars: tuple[float, float] = (1, float("inf"))
    quarantined_files: tuple[float, float] = (1, float("inf"))
    log_mb: tuple[float, float] = (500, float("inf"))


@dataclass(frozen=True, slots=True)
class Check:
    """One figure and what it means.

    Attributes:
        name: of the figure, such as hot_backlog_rows.
        about: the writer, dataset or folder it is of; empty for the whole lake.
        value: what was measured; None where there was nothing to measure.
        status: ok, warning or failure.
        message: one sentence, with what to do where it is not ok.
    """

    name: str
    about: str
    value: float | None
    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Health:
    """All checks of one lake at one moment."""

    lake: str
    at: datetime
    checks: tuple[Check, ...]

    @property
    def status(self) -> str:
        """The worst of them."""
        return max((c.status for c in self.checks), key=RANK.__getitem__, default=OK)

    @property
    def ok(self) -> bool:
        """Whether nothing failed; warnings are allowed."""
        return self.status != FAILURE


def health(lk: Lake, limits: Limits | None = None, *, logs: Iterable[str | Path] = ()) -> Health:
    """Look at a lake: writes, hot logs, spools, disk, files, gaps in recent candles, refused rows.

    With ``logs`` also at the size of log files, such as those of the bots that write to it.

    It reads only, takes no writer id, and costs little: gaps are looked for in the last seven days. What a writer's
    commits of today and yesterday came to is as of its last drain, or the last that was refused. What cannot be read
    is a failure of its own, and hides nothing else.
    """
    given = limits or Limits()
    looks: dict[str, Callable[[Lake, Limits], Iterator[Check]]]
    looks = {"hot logs": _writers, "other hosts": _strangers, "disks": _disk, "files": _files, "candles": _gaps}
    looks["quarantine"] = _quarantine
    checks = [check for about, look in looks.items() for check in _looked(about, look(lk, given))]
    checks += [_log_size(Path(log), given) for log in logs]
    return Health(lk.location.uri, datetime.now(UTC), tuple(checks))


def _looked(about: str, checks: Iterator[Check]) -> Iterator[Check]:
    """The checks, up to one that cannot be made: that is told as a failure."""
    try:
        yield from checks
    except LakeError as error:
        yield Check("unreadable", about, 1, FAILURE, str(error))


def _judge(value: float, limits: tuple[float, float], *, below: bool = False) -> str:
    """The status of a figure that should stay under its limits, or above them with ``below``."""
    warning, failure = limits
    if below:
        return FAILURE if value < failure else WARNING if value < warning else OK
    return FAILURE if value >= failure else WARNING if value >= warning else OK


def _writers(lk: Lake, limits: Limits) -> Iterator[Check]:
    states = _states(lk.store)
    for writer in lk.store.logs.writers():
        kept = read_health(lk.store.hot_folder / f"{writer}.health")
        if kept is not None:
            yield from _writes(writer, kept, limits)
        yield from _looked(writer, _backlog(lk.store, writer, states, limits))
        yield _spool(lk.store.hot_folder, writer)


def _states(store: Store) -> dict[str, TableState]:
    return {name: store.table(name).state() for name in registry.names()}


def _writes(writer: str, kept: WriteHealth, limits: Limits) -> Iterator[Check]:
    rate, latency = kept.success_rate, kept.quantile(0.99)
    if rate is not None:
        status = _judge(rate, limits.success_rate, below=True)
        last = f"; last: {kept.last_failure} ({from_micros(kept.last_failure_at):%Y-%m-%d %H:%M})"
        commits, refused = kept.recent
        text = f"{refused} of {commits + refused} commits since yesterday were refused{last if refused else ''}"
        yield Check("write_success_rate", writer, rate, status, text)
    if latency is not None:
        status = _judge(latency, limits.latency_seconds)
        yield Check(
            "write_latency_p99_seconds",
            writer,
            latency,
            status,
            f"99 of 100 commits since yesterday took at most {latency} s",
        )
    yield Check("commits_total", writer, kept.commits, OK, f"{kept.rows} entries in {kept.commits} commits")


def _backlog(store: Store, writer: str, states: Mapping[str, TableState], limits: Limits) -> Iterator[Check]:
    waiting = store.logs.view(writer, states).datasets
    frames = [f for n, rows in waiting.items() if (f := rows.after(states[n].settled(writer))).height]
    rows = sum(f.height for f in frames)
    oldest = min((int(f[SEQUENCE][0]) for f in frames), default=None)
    age = 0.0 if oldest is None else max(0.0, (now_micros() - oldest) / 1e6)
    live = is_held(store.hot_folder, writer)
    todo = "" if live else "; its process has ended: run `lake drain`"
    status = _judge(rows, limits.backlog_rows)
    yield Check("hot_backlog_rows", writer, rows, status, f"{rows} rows wait to settle{todo if rows else ''}")
    status = _judge(age, limits.backlog_seconds)
    yield Check("hot_backlog_age_seconds", writer, age, status, f"the oldest has waited for {age:.0f} s")
    drained = last_drain(store.hot_folder, writer)
    if drained is not None:
        since = max(0.0, (now_micros() - drained) / 1e6)
        yield Check("seconds_since_drain", writer, since, OK, f"last drained {since:.0f} s ago")


def _spool(folder: Path, writer: str) -> Check:
    path = folder / f"{writer}.spool.jsonl"
    size = path.stat().st_size if path.exists() else 0
    text = "nothing is spooled"
    if size:
        text = f"{size} bytes wait in {path.name}: SQLite could not be used; they go in when it can"
    return Check("spool_bytes", writer, size, WARNING if size else OK, text)


def _strangers(lk: Lake, limits: Limits) -> Iterator[Check]:
    for left in lk.store.left_behind():
        status = OK
        if left.is_lost:
            age = 0.0 if left.oldest is None else (now_micros() - left.oldest) / 1e6
            worst = FAILURE if left.waiting is None else _judge(age, limits.backlog_seconds)
            status = max(WARNING, worst, key=RANK.__getitem__)
        yield Check("other_host_rows", left.writer, left.waiting, status, left.told())


def _disk(lk: Lake, limits: Limits) -> Iterator[Check]:
    folders = [lk.store.hot_folder, *([Path(lk.location.url(""))] if lk.location.is_local else [])]
    by_disk = {folder.stat().st_dev: folder for folder in folders if folder.exists()}
    for folder in by_disk.values():
        usage = shutil.disk_usage(folder)
        percent = 100.0 * (usage.total - usage.free) / usage.total
        text = f"{percent:.0f} % of the disk is used, {usage.free >> 20} MiB are free"
        status = _judge(percent, limits.disk_percent)
        todo = "" if status == OK else "; retain, vacuum or move the lake before writes fail"
        yield Check("disk_used_percent", str(folder), round(percent, 1), status, text + todo)


def _files(lk: Lake, limits: Limits) -> Iterator[Check]:
    small = lk.store.settings.target_file_mb * (1 << 20) // 8
    for name, state in _states(lk.store).items():
        if state.version < 0:
            continue
        full = (registry.get(name).file_rows or sys.maxsize) // 2
        count = sum(f.size < small and (f.rows or 0) < full for f in state.files.values())
        status = _judge(count, limits.small_files)
        todo = "" if status == OK else "; run `lake compact`"
        text = f"{count} of {len(state.files)} files are small, {state.size} bytes in all{todo}"
        yield Check("small_files", name, count, status, text)


def _log_size(path: Path, limits: Limits) -> Check:
    if not path.is_file():
        return Check("log_mb", str(path), None, WARNING, "there is no such file")
    size = path.stat().st_size / 1e6
    status = _judge(size, limits.log_mb)
    return Check("log_mb", str(path), size, status, f"{size:.0f} MB{'' if status == OK else '; rotate it'}")


def _gaps(lk: Lake, limits: Limits) -> Iterator[Check]:
    found = lk.read("candle_gaps", variables={"days": _RECENT_DAYS})
    for timeframe, missing in found.group_by("timeframe").agg(pl.col("missing").sum()).sort("timeframe").iter_rows():
        status = _judge(missing, limits.gap_bars)
        text = f"{missing} bars of the last {_RECENT_DAYS} days are missing; SELECT * FROM candle_gaps tells which"
        yield Check("missing_bars", str(timeframe), missing, status, text)


def _quarantine(lk: Lake, limits: Limits) -> Iterator[Check]:
    since = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    for name in registry.names():
        entries = [e.path.rsplit("/", 1)[-1] for e in lk.location.list(f"{QUARANTINE}/{name}")]
        recent = sum(entry[:10] >= since for entry in entries)
        if entries:
            text = f"{recent} batches of refused rows since {since}, {len(entries)} in all, in {QUARANTINE}/{name}"
            yield Check("quarantined_batches", name, recent, _judge(recent, limits.quarantined_files), text)
