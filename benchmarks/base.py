"""What every benchmark shares: its settings, its result, and how times are taken."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")
MS = 1_000.0


@dataclass(frozen=True)
class Bench:
    """How a run is to be done.

    Attributes:
        folder: an empty folder of its own on the disk that is measured.
        scale: factor on the sizes; 1 is what the table promises.
        large: also the sizes that take a quarter of an hour.
        data: folder of real files, None where there is none.
    """

    folder: Path
    scale: float = 1.0
    large: bool = False
    data: Path | None = None

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise ValueError(f"scale must be above 0, not {self.scale}")

    def sized(self, count: int, least: int = 1) -> int:
        """``count`` at this run's scale."""
        return max(least, round(count * self.scale))


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        name: of the benchmark.
        work: what was done.
        target: what it must reach.
        measured: what it reached, with units.
        compared: what the peers reached.
        ratio: measured by target's own measure, None where the target is a plain number.
        met: None when nothing could be measured.
        numbers: everything that was measured.
    """

    name: str
    work: str
    target: str
    measured: str
    compared: str = ""
    ratio: float | None = None
    met: bool | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes; garbage of earlier work is collected first."""
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def medians(
    works: Mapping[str, Callable[[], object]],
    rounds: int,
    *,
    warm: int = 1,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, float]:
    """Median seconds of each piece of work; they take turns, so that a busy moment touches all of them.

    Args:
        works: name -> what is timed.
        rounds: how often each is timed.
        warm: rounds before those.
        before: name -> what to do before each time, outside the clock.
    """
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(warm + rounds):
        for name, work in works.items():
            if before and name in before:
                before[name]()
            spent = seconds(work)
            if number >= warm:
                taken[name].append(spent)
    return {name: median(times) for name, times in taken.items()}


def each(work: Callable[[T], object], items: Iterable[T]) -> list[float]:
    """Seconds of the work on each item."""
    taken = []
    for item in items:
        begun = time.perf_counter()
        work(item)
        taken.append(time.perf_counter() - begun)
    return taken


def check(holds: bool, what: str) -> None:
    """A benchmark that compares different answers measures nothing.

    Raises:
        RuntimeError: it does not hold.
    """
    if not holds:
        raise RuntimeError(f"not the same answer: {what}")


def no_background_drains() -> None:
    """Drains happen where a benchmark asks for them, not in the middle of a measurement."""
    os.environ["LAKE_DRAIN_SECONDS"] = "86400"
    os.environ["LAKE_DRAIN_ROWS"] = "100000000"


@contextmanager
def setting(name: str, value: object) -> Iterator[None]:
    """Lakes opened inside have the setting; it stays theirs."""
    variable = f"LAKE_{name.upper()}"
    before = os.environ.get(variable)
    os.environ[variable] = str(value)
    try:
        yield
    finally:
        os.environ.pop(variable)
        if before is not None:
            os.environ[variable] = before


def shown(numbers: Mapping[str, float], unit: str, factor: float = 1.0) -> str:
    """Peers and their numbers in one line, best first."""
    ordered = sorted(numbers.items(), key=lambda item: item[1])
    return ", ".join(f"{name} {value * factor:.3g} {unit}" for name, value in ordered)
