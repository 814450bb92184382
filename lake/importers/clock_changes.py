"""Times without a zone in the hour that comes twice, when clocks are set back.

The first is meant; of the end of what would end before it began, and of the later of a series of candles that has the
hour twice, the second. How many such times there are is told.
A time in the hour that clocks skip is none, and its row is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from lake.importers.base import Frames, Notes, Options, Row, RowMap, Rule
from lake.importers.second_hours import of_both_hours
from lake.importers.wording import counted
from lake.spec import registry
from lake.spec.dataset import Type
from lake.spec.rules import InOrder
from lake.spec.times import from_micros

_MOST_HELD = 2_000_000  # candles of pages that end within such an hour


def _together(one: Frames, other: Frames) -> Frames:
    parts = [(one.good, other.good), (one.refused, other.refused)]
    good, refused = (pl.concat(pair, how="vertical_relaxed") for pair in parts)
    return Frames(good, refused, one.found + other.found)


class ClockChanges:
    """What the times of one table mean, where they may be local.

    Args:
        options: what the caller said.
    """

    def __init__(self, options: Options) -> None:
        self._options, self._second = options, replace(options, second_hour=True)
        self._twice: dict[datetime, datetime] = {}  # the first -> the second
        self._placed = 0

    @property
    def are_local(self) -> bool:
        """Whether times without a zone are in one whose clocks may change."""
        return self._options.tz not in {"", "UTC"}

    def mapped(self, made: RowMap) -> RowMap:
        """The map, with an eye on its times; itself, where none is local."""
        if not made.is_local and not self.are_local:
            return made
        ds, columns = registry.get(made.dataset), dict(made.columns)
        for name, rule in made.columns.items():
            if ds.by_name[name].type is Type.TIMESTAMP:
                columns[name] = self.noticed(rule)
        for order in ds.rules:
            if isinstance(order, InOrder) and {order.first, order.then} <= columns.keys():
                columns[order.then] = self._after(made.columns[order.first], columns[order.then])
        return replace(made, columns=columns)

    def placed(self, pages: Iterator[Frames]) -> Iterator[Frames]:
        """Candles, of which those of series that have such an hour twice are in both, also where a page ends in it."""
        held: Frames | None = None
        for page in pages:
            held = page if held is None else _together(held, page)
            if not self._ends_within(held.good) or held.good.height > _MOST_HELD:
                yield self._placed_in(held)
                held = None
        if held is not None:
            yield self._placed_in(held)

    def _ends_within(self, good: pl.DataFrame) -> bool:
        """Whether the last candle is in an hour that comes twice, so that the next page may go on with it."""
        return bool(self._twice) and not good.is_empty() and good["open_time"][-1] in self._twice

    def _placed_in(self, frames: Frames) -> Frames:
        if not self._twice or frames.good.is_empty():
            return frames
        good, count = of_both_hours(frames.good, self._twice)
        self._placed += count
        return replace(frames, good=good)

    def tell(self, notes: Notes) -> None:
        """Tell of times that may mean two moments."""
        if self._twice:
            some = counted(len(self._twice), "local time lies", "local times lie")
            both = (
                f"; {counted(self._placed, 'candle')} of series that have it twice in the second"
                if self._placed
                else ""
            )
            notes.tell(
                f"{some} in an hour that the clock has twice: the first is taken, and of an end that would come before "
                f"its beginning the second{both}"
            )

    def noticed(self, rule: Rule) -> Rule:
        """The same rule of a time, with an eye on what it makes."""

        def read(row: Row, options: Options) -> Any:
            value = rule.read(row, options)
            if value is not None and (second := rule.read(row, self._second)) != value:
                self._twice[value] = second
            return value

        return Rule(rule.names, read, None if rule.many is None else partial(self._many, rule.many))

    def _many(
        self, read: Callable[[Sequence[Any], Options], pl.Series | None], values: Sequence[Any], options: Options
    ) -> pl.Series | None:
        """A whole column of times in microseconds."""
        done, second = read(values, options), read(values, self._second)
        if done is not None and second is not None:
            are_two = done != second
            pairs = zip(done.filter(are_two), second.filter(are_two), strict=True)
            self._twice.update({from_micros(one): from_micros(other) for one, other in pairs})
        return done

    def _after(self, begin: Rule, end: Rule) -> Rule:
        def read(row: Row, options: Options) -> Any:
            done, begun = end.read(row, options), begin.read(row, options)
            if done is None or begun is None or done >= begun:
                return done
            later = end.read(row, self._second)
            return later if later >= begun else done

        return Rule(end.names, read)
