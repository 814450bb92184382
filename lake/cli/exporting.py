"""``lake export``: what the lake holds, as files, tables and folders that others read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from lake.cli.app import Context, command
from lake.cli.moments import moment
from lake.exporters import FORMATS, Progress, Selection, Target, export


@command(
    click.argument("name", default=""),
    click.option("--to", required=True, help="A file, a folder, or postgresql://user@host/database."),
    click.option("--format", "form", type=click.Choice(list(FORMATS)), help="By default what --to ends in."),
    click.option("--sql", default="", help="The rows of a read-only statement, instead of NAME."),
    click.option("--where", default="", help="Only rows for which this SQL condition holds."),
    click.option("--columns", default="", help="Only these, separated by commas."),
    click.option("--symbol", "symbols", multiple=True, help="Only of this symbol; several times for several."),
    click.option("--timeframe", default="", help="Only of this one."),
    click.option("--venue", help="Only of this exchange."),
    click.option("--start", callback=moment, help="Only from this time on (ISO with offset)."),
    click.option("--end", callback=moment, help="Only before this time."),
    click.option("--table", default="", help="In SQLite and PostgreSQL; by default NAME."),
    click.option("--replace", is_flag=True, help="Put it in the place of what is there."),
    click.option("--append", is_flag=True, help="Add to the table that is there."),
    click.option("--tag", help="Of the lake as it was under a tag."),
    click.option("--at", "moment", callback=moment, help="Of the lake as it was at a time (ISO with offset)."),
    name="export",
)
def export_(ctx: Context, name: str, to: str, form: str | None, **options: Any) -> None:
    """Write a dataset, a view or a query to Parquet, CSV, JSON lines, SQLite, PostgreSQL, or a bot's data folder.

    `lake export trades --to trades.parquet`, `lake export candles --format freqtrade --to user_data/data`,
    `lake export --sql "select ..." --to found.csv`.
    """
    columns = tuple(filter(None, (column.strip() for column in options["columns"].split(","))))
    selection = Selection(
        name, options["sql"], options["where"], columns, options["symbols"], options["timeframe"], options["venue"],
        options["start"], options["end"],
    )  # fmt: skip
    target = Target(to, form or "", options["table"], options["replace"], options["append"])
    with ctx.open() as lk:
        is_past = options["tag"] or options["moment"]
        source = lk.at(tag=options["tag"], time=options["moment"]) if is_past else lk
        if ctx.output.interactive:
            with _bar() as tell:
                report = export(source, selection, target, progress=tell)
        else:
            report = export(source, selection, target)
    ctx.output.result(report.as_dict(), report.text())


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    rows = TextColumn("{task.completed:,} rows")
    with Bar(BarColumn(), rows, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("exporting", total=None)
        yield lambda so_far: bar.update(task, completed=so_far.rows, total=so_far.count)
