"""Every job of a lake in one process, each at its time; what `lake run` does."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from queue import SimpleQueue
from types import FrameType
from typing import Any

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

import lake
from jobs import (
    compact,
    daily_report,
    drain,
    health,
    label,
    performance_snapshots,
    resolve_decisions,
    resolve_predictions,
    retain,
    retrain,
    update_phantoms,
)
from jobs.running import Work, log, once

_log = logging.getLogger("lake.run")  # the scheduler's own: that a job is still at work when its time comes is no news
_log.setLevel(logging.ERROR)
_INTERVAL = re.compile(r"([0-9]{1,9})([smhd])")
_CRON_FIELDS = ("minute", "hour", "day of month", "month", "day of week")
_SHORTEST, _LONGEST = 1, 366 * 86_400  # seconds
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A job and when it runs: every so often (``30s``, ``5m``, ``1h``), or as cron says (``10 0 * * *``), in UTC."""

    name: str
    work: Work
    when: str


DEFAULTS = (
    Scheduled("drain", drain.work, "30s"),
    Scheduled("update-phantoms", update_phantoms.work, "1m"),
    Scheduled("resolve-predictions", resolve_predictions.work, "1m"),
    Scheduled("resolve-decisions", resolve_decisions.work, "5m"),
    Scheduled("label", label.work, "5m"),
    Scheduled("health", health.work, "5m"),
    Scheduled("compact", compact.work, "17 * * * *"),
    Scheduled("daily-report", daily_report.work, "5 0 * * *"),
    Scheduled("performance-snapshots", performance_snapshots.work, "10 0 * * *"),
    Scheduled("retain", retain.work, "30 3 * * *"),
    Scheduled("retrain", retrain.work, "45 * * * *"),
)


def chosen(changes: Mapping[str, str]) -> list[Scheduled]:
    """The jobs with other times; a time of ``off`` leaves a job out.

    >>> [f"{s.name} {s.when}" for s in chosen({"drain": "5s", "compact": "off"})][:3]
    ['drain 5s', 'update-phantoms 1m', 'resolve-predictions 1m']

    Raises:
        UsageError: an unknown job, or a time that is none.
    """
    known = {s.name: s for s in DEFAULTS}
    for name, when in changes.items():
        if name not in known:
            raise lake.UsageError("unknown job", value=name, todo=f"Known are: {', '.join(known)}.")
        if when != "off":
            trigger(when)
    kept = (s for s in DEFAULTS if changes.get(s.name) != "off")
    return [Scheduled(s.name, s.work, changes.get(s.name, s.when)) for s in kept]


def trigger(when: str) -> CronTrigger | IntervalTrigger:
    """The library's trigger of a time.

    Raises:
        UsageError: neither an interval nor a cron line.
    """
    interval = _INTERVAL.fullmatch(when.strip())
    if interval:
        seconds = int(interval[1]) * _UNITS[interval[2]]
        if not _SHORTEST <= seconds <= _LONGEST:
            raise _no_time("an interval is between 1 second and 366 days", when)
        return IntervalTrigger(seconds=seconds, timezone=UTC)
    if len(when.split()) != len(_CRON_FIELDS):
        raise _no_time(f"neither an interval nor cron's {', '.join(_CRON_FIELDS)}", when)
    try:
        made = CronTrigger.from_crontab(when, timezone=UTC)
    except ValueError as error:
        raise _no_time(f"cron does not know it: {error}", when) from None
    if made.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise _no_time("that time never comes", when)
    return made


def _no_time(what: str, when: str) -> lake.UsageError:
    todo = 'Give an interval such as "30s", or cron: "10 0 * * *", or off.'
    return lake.UsageError(f"no time for a job: {what}", value=when, todo=todo)


class Stop:
    """A wish to stop, that a signal handler may utter at any moment.

    An Event may not be set by one: it waits for ever where the thread that it came upon was just waking up.
    """

    def __init__(self) -> None:
        self.is_asked = False
        self._asked: SimpleQueue[None] = SimpleQueue()

    def ask(self) -> None:
        """Let who waits go on; once more does nothing more."""
        self.is_asked = True
        self._asked.put(None)

    def wait(self) -> None:
        """Wait until it is asked for."""
        self._asked.get()


def run(lk: lake.Lake, jobs: list[Scheduled], stop: Stop) -> None:
    """Run the jobs at their times until ``stop``; then drain, wait for those at work, and drain what they wrote.

    A job never runs twice at once: while it is at work, its times pass. One that was missed runs once, not as often as
    it was missed.
    """
    scheduler = BackgroundScheduler(
        timezone=UTC, logger=_log, executors={"default": {"type": "threadpool", "max_workers": 2}},
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )  # fmt: skip
    scheduler.add_listener(_tell_failure, EVENT_JOB_ERROR | EVENT_JOB_MISSED)
    for number, job in enumerate(jobs):
        when = trigger(job.when)
        first = {}
        if isinstance(when, IntervalTrigger):
            first = {"next_run_time": datetime.fromtimestamp(datetime.now(UTC).timestamp() + number / 4, UTC)}
        scheduler.add_job(_do, when, args=(job, lk), id=job.name, **first)
    scheduler.start()
    log({"job": "run", "lake": lk.location.uri, "ok": True, "started": {job.name: job.when for job in jobs}})
    try:
        stop.wait()
    finally:
        scheduler.pause()
        log(once("drain", drain.work, lk))  # at once: who ends this may not wait for a training that is at work
        scheduler.shutdown(wait=True)
        log(once("drain", drain.work, lk))
        log({"job": "run", "lake": lk.location.uri, "ok": True, "stopped": True})


def _do(job: Scheduled, lk: lake.Lake) -> None:
    log(once(job.name, job.work, lk))


def _tell_failure(event: JobExecutionEvent) -> None:
    """An error that no job foresees: it is logged, and the job goes on at its next time."""
    log({"job": event.job_id, "ok": False, "error": repr(getattr(event, "exception", None) or "missed its time")})


@contextmanager
def stopping() -> Iterator[Stop]:
    """SIGTERM and Ctrl-C ask for this stop; the process then ends, and who asks again does not break that off."""
    stop = Stop()

    def ask(_: int, __: FrameType | None) -> None:
        stop.ask()

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if stop.is_asked else handler)


def listed(jobs: list[Scheduled]) -> list[dict[str, Any]]:
    """The jobs with their times and what they do, for printing."""
    return [{"job": j.name, "when": j.when, "does": (j.work.__doc__ or "").splitlines()[0]} for j in jobs]
