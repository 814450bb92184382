"""``lake import``: what a bot kept elsewhere, into the lake."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from lake.cli.app import Context, command
from lake.cli.output import Output
from lake.errors import UsageError
from lake.importers.base import Options
from lake.importers.kinds.generic import Generic
from lake.importers.registry import by_name, kinds
from lake.importers.report import ImportReport
from lake.importers.run import Progress, import_from
from lake.importers.suggesting import suggest as suggested
from lake.store.location import resolve
from lake.store.opening import FORMAT_FILE

_OF_ONE_KIND = {"map_file": "generic", "dataset": "tradelake", "allow_pickle": "models"}


def _listed(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        width = max(len(importer.name) for importer in kinds())
        click.echo("\n".join(f"{importer.name:{width}}  {importer.summary}" for importer in kinds()))
        ctx.exit()


@command(
    click.argument("kind"),
    click.argument("source"),
    click.option("--kinds", is_flag=True, is_eager=True, expose_value=False, callback=_listed, help="List the kinds."),
    click.option("--dry-run", is_flag=True, help="Only tell what would land, and what would be refused."),
    click.option("--bot-id", default="", help="Whose history it is."),
    click.option("--venue", default="", help="Exchange."),
    click.option("--symbol", default="", help="Of rows that name none."),
    click.option("--quote", default="", help="Quote asset of symbols that are only a base, for example USDT."),
    click.option("--timeframe", default="", help="Of rows that name none."),
    click.option("--tz", default="", help="Zone of times without one, for example Europe/Berlin."),
    click.option("--mode", default="", help="live, paper or backtest, where the store does not say."),
    click.option("--strategy", default="", help="Of rows that name none."),
    click.option("--percent", default="", help="How results in percent are stored: percent (2), or fraction (0.02)."),
    click.option("--dataset", default="", help="With KIND = tradelake: whose rows they are, where nothing says it."),
    click.option("--map-file", type=click.Path(path_type=Path), help="With KIND = generic: a TOML column map."),
    click.option("--suggest", is_flag=True, help="With KIND = generic: print a first draft of a column map."),
    click.option("--allow-pickle", is_flag=True, help="Load pickled models, which runs whatever code is in them."),
    name="import",
)
def import_(ctx: Context, kind: str, source: str, dry_run: bool, suggest: bool, **options: Any) -> None:
    """Move what another store holds into the lake: `lake import KIND SOURCE`; --kinds lists them.

    SOURCE is a path, or an address such as postgresql://user@host/database or redis://host/0.
    """
    by_name(kind)
    said = Options(**options)
    for name, only in _OF_ONE_KIND.items():
        if getattr(said, name) and kind != only:
            where = name.replace("_", "-")
            raise UsageError(f"only the kind {only} takes it", where=where, value=kind, todo=f"Leave --{where} out.")
    if suggest:
        _suggest(ctx, kind, source, said)
        return
    if dry_run and _is_missing(ctx):
        _finish(ctx, _run(ctx.output, lambda tell: import_from(None, kind, source, said, dry_run=True, progress=tell)))
        return
    with ctx.open(create=True) as lk:
        report = _run(ctx.output, lambda tell: import_from(lk, kind, source, said, dry_run=dry_run, progress=tell))
        if not dry_run:
            lk.drain()
    _finish(ctx, report)


def _suggest(ctx: Context, kind: str, source: str, said: Options) -> None:
    if kind != Generic.name:
        raise UsageError("only a generic import needs a map", where="suggest", value=kind, todo="Leave --suggest out.")
    draft = suggested(source, said)
    ctx.output.result({"map": draft}, draft.rstrip())


def _is_missing(ctx: Context) -> bool:
    location = resolve(ctx.uri, None)
    return location.read_or_none(FORMAT_FILE) is None and not list(location.list_names(""))


def _finish(ctx: Context, report: ImportReport) -> None:
    ctx.output.result(report.as_dict(), report.text())
    if report.failed or report.fits_nothing or not report.balanced:
        sys.exit(1)


def _run(output: Output, work: Callable[[Callable[[Progress], None] | None], ImportReport]) -> ImportReport:
    if not output.interactive:
        return work(None)
    with _bar() as tell:
        return work(tell)


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    rows = TextColumn("{task.completed:,} rows")
    columns = (TextColumn("{task.description}"), BarColumn(), rows, TimeElapsedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=None)

        def tell(so_far: Progress) -> None:
            bar.update(task, completed=so_far.rows, total=so_far.count, description=so_far.table)

        yield tell
