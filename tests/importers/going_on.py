"""Bots that go on between imports: what they may do, in any order, and what the lake must hold in the end."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import lake
from lake.importers.base import Options
from lake.importers.run import import_from

IMPORT = "import"
MODEL = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
Steps = Sequence[tuple[str, int]]
Rows = Mapping[str, list[dict[str, Any]]]


class Bot(Protocol):
    """A bot with its store. Each of its other methods is an act: it takes a number by which it chooses."""

    kind: str
    options: Mapping[str, Any]
    source: str  # path or address of its store
    whole: str  # the same of a store of which nothing was ever purged
    refuses: bool  # whether some of its rows are refused


def steps(*acts: str) -> st.SearchStrategy[Steps]:
    """Acts of a bot and imports, in any order; those that are named twice are done twice as often."""
    act = st.tuples(st.sampled_from([*acts, *[IMPORT] * (len(acts) // 2)]), st.integers(0, 5))
    return st.lists(act, min_size=10, max_size=30)


def lived(make: Callable[[Path], Bot], done: Steps) -> tuple[Rows, Rows]:
    """What a lake holds that was brought up to date in between; and one that was brought all of it in the end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bot = make(folder)
        with lake.open(folder / "lake", durability="normal") as lk:
            for act, choice in done:
                if act == IMPORT:
                    bring(lk, bot, bot.source)
                else:
                    getattr(bot, act)(choice)
            names = bring(lk, bot, bot.source)
            ours = told(lk, names)
        with lake.open(folder / "once", durability="normal") as lk:
            bring(lk, bot, bot.whole)
            return ours, told(lk, names)


def bring(lk: Any, bot: Bot, source: str) -> list[str]:
    """Import twice, of which the second changes nothing; the datasets to which the rows go."""
    said = Options(**bot.options)
    plan = import_from(lk, bot.kind, source, said, dry_run=True)
    report = import_from(lk, bot.kind, source, said)
    assert report.balanced, report.text()
    assert bot.refuses or report.totals["refused"] == 0, report.text()
    assert plan.totals == report.totals, f"{plan.text()}\n{report.text()}"
    again = import_from(lk, bot.kind, source, said)
    assert again.balanced, again.text()
    assert again.totals["landed"] == 0, again.text()
    return sorted({table.dataset for table in report.tables})


def told(lk: Any, names: Sequence[str]) -> Rows:
    """All rows of some datasets, with what was found beside them."""
    return {name: sorted(map(_plain, lk.read(name).to_dicts()), key=str) for name in names}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "extra": json.loads(row["extra"])} if row.get("extra") else row


def without(rows: Rows, *columns: str) -> Rows:
    """Rows without some of their columns."""
    return {
        name: sorted(({n: v for n, v in row.items() if n not in columns} for row in of), key=str)
        for name, of in rows.items()
    }
