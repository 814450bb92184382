"""``lake ingest``: files, folders and exchanges into the lake."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from lake.cli.app import Context, command
from lake.cli.late_lake import LateLake
from lake.cli.moments import moment
from lake.cli.progress import ingest_with_progress
from lake.errors import UsageError
from lake.lake import Lake
from lake.sources.base import Options
from lake.sources.ccxt_source import ingest_ccxt
from lake.sources.mapping import OPTIONS, map_file
from lake.sources.registry import by_name
from lake.sources.report import IngestReport
from lake.spec import timeframes
from lake.store.location import resolve
from lake.store.opening import FORMAT_FILE


@command(
    click.argument("paths", nargs=-1, required=True),
    click.option("--format", "form", help="Name of the source; by default each file is sniffed."),
    click.option("--symbol", help="Of the candles, where the file does not say."),
    click.option("--timeframe", help="Of the candles; for trades, of the candles to build from them (default 1m)."),
    click.option("--venue", help="Exchange."),
    click.option("--time-unit", type=click.Choice(["s", "ms", "us", "ns"]), help="Of numeric times."),
    click.option("--tz", help="Zone of times without one, for example UTC."),
    click.option("--map", "maps", multiple=True, metavar="COLUMN=NAME", help="Column of the lake = name in the file."),
    click.option(
        "--map-file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="TOML with [columns] open_time = ... and symbol, timeframe, venue, time_unit, tz.",
    ),
    click.option(
        "--again", is_flag=True, help="Also files that were ingested before, if their rows have been removed."
    ),
    click.option("--workers", type=click.IntRange(1), help="Files read at once."),
    click.option("--exchange", help="With PATHS = ccxt: the exchange's ccxt name."),
    click.option(
        "--since",
        callback=moment,
        help="With PATHS = ccxt: from when on, unless candles are held already (ISO with offset).",
    ),
    click.option("--all-files", is_flag=True, help="List every file in the report."),
)
def ingest(ctx: Context, paths: tuple[str, ...], **options: Any) -> None:
    """Read files or folders of candles, trades and metrics.

    Ends with 1 when a file is damaged, or when not one row of it could be taken; the other files land all the same.

    `lake ingest ccxt --exchange NAME --symbol ...` asks an exchange instead.
    """
    if paths == ("ccxt",):
        _ingest_exchange(ctx, options)
        return
    read = _options(options)
    _must_exist(paths)
    with closing(_lake(ctx)) as lk:
        report = ingest_with_progress(
            lk, [Path(p) for p in paths], read, ctx.output.interactive, form=options["form"], workers=options["workers"]
        )
        lk.drain()
    _told(ctx, report, report.text(every_file=options["all_files"]))


def _told(ctx: Context, report: IngestReport, text: str) -> None:
    """Print the report; a file that brought nothing but refusals is no success."""
    ctx.output.result(report.as_dict(), text)
    if report.failed or report.refused:
        sys.exit(1)


def _lake(ctx: Context) -> Lake | LateLake:
    """The lake; one that is not there yet is made when it is needed, so that a vain ingest leaves none."""
    location = resolve(ctx.uri, None)
    if location.read_or_none(FORMAT_FILE) is None and {*location.list_names("")} <= {"_lake"}:  # turns may be there
        return LateLake(location, lambda: ctx.open(create=True))
    return ctx.open(create=True)


def _options(options: dict[str, Any]) -> Options:
    """What the command line says of the files, over what the map file says."""
    kept = map_file(options["map_file"]) if options["map_file"] else {}
    columns = {**kept.pop("columns", {}), **dict(_pair(text) for text in options["maps"])}
    said = {name: options[name] for name in OPTIONS if options[name] is not None}
    read = Options(**{**kept, **said}, columns=columns, again=options["again"])
    if read.timeframe:
        timeframes.parse(read.timeframe)
    if options["form"]:
        by_name(options["form"])
    return read


def _must_exist(paths: tuple[str, ...]) -> None:
    for path in paths:
        if not path:
            raise UsageError("an empty path names no file or folder", value=path, todo="The current folder is '.'.")
        if not Path(path).exists():
            raise UsageError("there is no such file or folder", where=path, todo="Check the path.")


def _pair(text: str) -> tuple[str, str]:
    column, equals, name = text.partition("=")
    if not equals or not column or not name:
        raise UsageError("--map takes COLUMN=NAME", value=text, todo="For example --map open_time=timestamp.")
    return column, name


def _ingest_exchange(ctx: Context, options: dict[str, Any]) -> None:
    for name in ("exchange", "symbol", "timeframe", "since"):
        if not options[name]:
            raise UsageError(
                f"--{name} is needed to ask an exchange",
                todo="lake ingest ccxt --exchange binance --symbol BTC/USDT --timeframe 1h --since 2026-01-01T00:00Z",
            )
    timeframes.parse(options["timeframe"])
    with closing(_lake(ctx)) as lk:
        report = ingest_ccxt(
            lk, options["exchange"], options["symbol"].split(","), options["timeframe"], options["since"]
        )
    _told(ctx, report, report.text())
