"""Commands that read: sql, shell, tables, describe, stats, publish."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import polars as pl

from lake.cli import results
from lake.cli.app import Context, command
from lake.cli.moments import moment
from lake.errors import LakeError, UsageError
from lake.lake import Lake
from lake.query.engine import Relation, fetched
from lake.query.views import views
from lake.spec import registry
from lake.spec.render import describe as describe_rows
from lake.spec.render import markdown
from lake.spec.times import from_micros


@command(
    click.argument("statement"),
    click.option("--param", "params", multiple=True, help="Value of the next ? in the statement."),
    click.option(
        "--format", "form", type=click.Choice(results.FORMATS), help="By default a table, or what --output ends in."
    ),
    click.option("--output", "-o", type=click.Path(path_type=Path), help="Write the result to this file."),
    click.option(
        "--limit",
        type=click.IntRange(0),
        default=1000,
        show_default=True,
        help="Rows of a printed table; 0 prints all.",
    ),
    click.option("--tag", help="Read the lake as it was under a tag."),
    click.option("--at", "moment", callback=moment, help="Read the lake as it was at a time (ISO with offset)."),
    click.option("--allow-external", is_flag=True, help="Let the statement read and write files outside the lake."),
)
def sql(ctx: Context, statement: str, **options: Any) -> None:
    """Run one SQL statement, read-only; ``-`` reads it from standard input."""
    text = sys.stdin.read() if statement == "-" else statement
    params = list(options["params"]) or None
    with ctx.open() as lk:
        if options["tag"] or options["moment"]:
            found = lk.at(tag=options["tag"], time=options["moment"]).sql(text, params)
        else:
            found = lk.sql(text, params, allow_external=options["allow_external"])
        _emit(ctx, found, {**options, "statement": text})


def _emit(ctx: Context, found: Relation, options: dict[str, Any]) -> None:
    output: Path | None = options["output"]
    form = options["form"] or ("json" if ctx.output.as_json else output.suffix.lstrip(".") if output else "table")
    if form not in results.FORMATS:
        raise UsageError("which format?", value=form, todo=f"Add --format with one of {', '.join(results.FORMATS)}.")
    if form == "parquet" and output is None:
        raise UsageError("Parquet goes to a file", todo="Add --output FILE.")
    frame = fetched(results.fitted(found, form), options["statement"])
    if form == "table" and output is None:
        _show(ctx, frame, options["limit"] or frame.height)
    elif form == "parquet" and output is not None:
        results.save(output, frame.write_parquet)
    else:
        data = results.encoded(frame, "csv" if form == "table" else form, results.nested_columns(found))
        if output is None:
            click.echo(data, nl=False)
        else:
            results.save(output, lambda draft: draft.write_bytes(data))


def _show(ctx: Context, frame: pl.DataFrame, limit: int) -> None:
    ctx.output.rows(frame.head(limit).to_dicts(), frame.columns)
    if frame.height > limit:
        click.echo(f"... {frame.height - limit:,} more rows; --limit 0 prints all", err=True)


@command()
def shell(ctx: Context) -> None:
    """Ask one SQL statement after another; an empty line or Ctrl-D ends."""
    with ctx.open() as lk:
        while True:
            try:
                text = click.prompt("lake", prompt_suffix="> ", default="", show_default=False, err=True)
            except click.Abort:
                return
            if not text.strip():
                return
            try:
                _show(ctx, fetched(results.fitted(lk.sql(text), "table"), text), 1000)
            except LakeError as error:
                click.echo(str(error), err=True)


@command()
def tables(ctx: Context) -> None:
    """List datasets and views: rows, files, bytes, what they hold."""
    with ctx.open() as lk:
        rows = _datasets(lk)
    rows += [{"name": v.name, "kind": "view", "meaning": v.summary} for v in views().values()]
    ctx.output.rows(rows, ("name", "kind", "settled", "hot", "files", "bytes", "meaning"))


def _datasets(lk: Lake) -> list[dict[str, Any]]:
    snapshot = lk.store.snapshot(registry.names())
    return [
        {
            "name": name,
            "kind": "dataset",
            "settled": lk.store.table(name).rows(state.files.values()),
            "hot": snapshot.hot[name].height,
            "files": len(state.files),
            "bytes": state.size,
            "meaning": registry.get(name).meaning,
        }
        for name, state in snapshot.states.items()
    ]


@command(
    click.argument("name", default=""),
    click.option("--markdown", "as_markdown", is_flag=True, help="Print the documentation page of all datasets."),
)
def describe(ctx: Context, name: str, *, as_markdown: bool) -> None:
    """Show a dataset's columns with types, units and meanings, or a view's documentation."""
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    if not name:
        raise UsageError("which dataset or view?", todo="`lake tables` lists them.")
    if name in views():
        view = views()[name]
        ctx.output.result({"name": name, "doc": view.doc, "sql": view.sql}, f"{view.doc}\n\n{view.sql}")
        return
    ctx.output.rows(describe_rows(registry.get(name)))


@command(
    click.option("--trades", "of_trades", is_flag=True, help="Statistics of closed trades instead of candles."),
    click.option("--by", type=click.Choice(["symbol", "strategy", "bot"]), help="Trades by one of these."),
    click.option("--days", type=click.IntRange(1), help="Only trades closed in so many days; all by default."),
    click.option("--mode", type=click.Choice(["live", "paper", "backtest"]), help="Only trades of this mode."),
)
def stats(ctx: Context, of_trades: bool, by: str | None, days: int | None, mode: str | None) -> None:
    """Candles held: symbols, timeframes, time range, bytes; with --trades, how trades came out."""
    with ctx.open() as lk:
        if of_trades or by or days or mode:
            found = lk.trades.statistics(days, by, mode=mode)
            ctx.output.rows(found.to_dicts(), found.columns)
            return
        held = lk.candles.stats()
    for name in ("first", "last", "at"):
        if held[name] is not None:
            held[name] = from_micros(held[name])
    ctx.output.result(held)


@command(click.option("--output", "-o", type=click.Path(path_type=Path), help="By default lake.duckdb in the lake."))
def publish(ctx: Context, output: Path | None) -> None:
    """Write a DuckDB catalogue of views that the duckdb command or any SQL tool opens read-only."""
    with ctx.open() as lk:
        path = lk.publish(output)
    ctx.output.result({"published": str(path)}, f"published {path}")
