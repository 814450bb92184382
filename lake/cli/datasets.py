"""Commands on data sets: lake dataset build, list, show, audit, rebuild, export, delete."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from lake.cli.app import Context, command, main
from lake.cli.moments import moment
from lake.cli.working import working
from lake.errors import LeakError
from lake.learn.datasets.export import FORMATS
from lake.learn.datasets.manifest import Manifest
from lake.learn.datasets.request import LABELS, NEUTRAL, SOURCES

_HASH = click.option("--hash", "hash_", help="Which build, by the begin of its hash; the newest when left out.")
_FEATURES = click.option("--features", help="The feature set as path.py:name, where the recorded name is not known.")


@main.group()
def dataset() -> None:
    """Data sets to train on that never look ahead: build them, audit them, build them again byte for byte."""


@command(
    click.argument("name"),
    click.option("--from", "--source", "source", type=click.Choice(SOURCES), required=True, help="What the rows are."),
    click.option("--features", default="standard", show_default=True, help="Set of that name, path.py:name, or none."),
    click.option("--start", callback=moment, help="Only rows decided at or after it: ISO time with offset."),
    click.option("--end", callback=moment, help="Only rows decided before it, with an outcome known by then."),
    click.option("--symbol", "symbols", multiple=True, help="Only of this symbol; may be given several times."),
    click.option("--timeframe", help="Of the candles that features are computed from."),
    click.option("--no-recorded", is_flag=True, help="Leave out what the bot recorded with each row."),
    click.option("--no-plan", is_flag=True, help="Leave out side and distances of stop and targets."),
    click.option("--no-strategy", is_flag=True, help="Leave out the names of strategies."),
    click.option(
        "--labels", type=click.Choice(LABELS), default="recorded", show_default=True, help="Where outcomes are from."
    ),
    click.option("--fees", type=float, default=0.0, show_default=True, help="Of labels from candles, of each side."),
    click.option(
        "--neutral",
        type=click.Choice(NEUTRAL),
        default="not_won",
        show_default=True,
        help="What breakevens and timeouts are to a model.",
    ),
    click.option("--ambiguous", is_flag=True, help="Keep rows whose stop and target lay in one candle, as losses."),
    click.option("--own-scores", is_flag=True, help="Keep scores that models of this lake gave as features."),
    click.option("--keep-inside", is_flag=True, help="Keep decisions that their model may remember, and flag them."),
    click.option("--at", help="The lake as it was: a tag, a version's number, or a time."),
    group=dataset,
)
def build(ctx: Context, name: str, source: str, features: str, symbols: tuple[str, ...], **options: Any) -> None:
    """Build a data set, pin what it was made from, and audit a sample of it."""
    at = options.pop("at")
    more = {
        "symbols": symbols or None,
        "recorded": not options.pop("no_recorded"),
        "plan": not options.pop("no_plan"),
        "strategy": not options.pop("no_strategy"),
        "at": int(at) if at is not None and at.isdecimal() and len(at) < 10 else at,
        **options,
    }
    with ctx.open() as lk, working(ctx.output, f"building {name}"):
        made = lk.datasets.build(name, source, None if features == "none" else features, **more)
        path = made.path
    more = {} if ctx.output.as_json else _more(made.manifest)
    ctx.output.result({**_short(made.manifest), **more, "path": path})


@command(click.argument("name", required=False), name="list", group=dataset)
def list_(ctx: Context, name: str | None) -> None:
    """List data sets, or the builds of one; the newest last."""
    with ctx.open() as lk:
        found = [_short(m) for m in lk.datasets.list(name)]
    ctx.output.rows(found)


@command(click.argument("name"), _HASH, group=dataset)
def show(ctx: Context, name: str, hash_: str | None) -> None:
    """Show the manifest of a data set."""
    with ctx.open() as lk:
        made = lk.datasets.load(name, hash_)
        manifest, path = made.manifest, made.path
    if ctx.output.as_json:
        ctx.output.result(manifest.as_dict())
        return
    pinned = ", ".join(f"{n} {v}" for n, v in manifest.lake.items() if v >= 0)
    more = {**_more(manifest), "made from": pinned, "tag": manifest.tag, "path": path}
    ctx.output.result({**_short(manifest), **more, "columns": ", ".join(manifest.features)})


@command(
    click.argument("name"),
    _HASH,
    _FEATURES,
    click.option("--rows", type=click.IntRange(1), help="So many rows, spread over all; every row when left out."),
    group=dataset,
)
def audit(ctx: Context, name: str, hash_: str | None, features: str | None, rows: int | None) -> None:
    """Change all that was known after each row's decision; status 1 when a feature changes with it."""
    with ctx.open() as lk, working(ctx.output, f"auditing {name}"):
        found = lk.datasets.load(name, hash_).audit(rows, features=features)
    if ctx.output.as_json:
        ctx.output.result(found.as_dict())
        sys.exit(0 if found.passed else 1)
    if not found.passed:
        first, example = next(iter(found.leaking.items()))
        raise LeakError(
            f"{', '.join(found.leaking)}: what was known only after the decision changes the value",
            where=f"data set {name}, row {example['id']}",
            value=f"{first} was {example['built']}, and {example['found']} without what came later",
            todo="Do not train on these columns.",
        )
    beyond = f"; further back than they say look {', '.join(found.beyond)}" if found.beyond else ""
    ctx.output.result({}, f"{found.rows:,} rows, {len(found.features)} columns: nothing looks ahead{beyond}")


@command(click.argument("manifest"), _FEATURES, group=dataset)
def rebuild(ctx: Context, manifest: str, features: str | None) -> None:
    """Build a data set again from its manifest (a path, or a name) and check that every byte is the same."""
    with ctx.open() as lk, working(ctx.output, "building it again"):
        is_path = Path(manifest).exists() or manifest.endswith(".json")
        given = manifest if is_path else lk.datasets.load(manifest).manifest
        made = lk.datasets.rebuild(given, features)
        path = made.path
    ctx.output.result({**_short(made.manifest), "path": path, "same": True})


@command(
    click.argument("name"),
    click.argument("path", type=click.Path(dir_okay=False, path_type=Path)),
    click.option("--format", "form", type=click.Choice(FORMATS), help="By the file's ending when left out."),
    _HASH,
    group=dataset,
)
def export(ctx: Context, name: str, path: Path, form: str | None, hash_: str | None) -> None:
    """Write a data set to a file: Parquet, CSV, Arrow or NumPy; whole or not at all."""
    with ctx.open() as lk, working(ctx.output, f"writing {path.name}"):
        made = lk.datasets.load(name, hash_)
        written = made.export(path, form)
    ctx.output.result({"path": str(written), "rows": made.manifest.rows, "bytes": written.stat().st_size})


@command(click.argument("name"), _HASH, group=dataset)
def delete(ctx: Context, name: str, hash_: str | None) -> None:
    """Delete a data set, and let go of the versions of the lake that it pins."""
    with ctx.open() as lk:
        gone = lk.datasets.delete(name, hash_)
    ctx.output.result(_short(gone))


def _more(manifest: Manifest) -> dict[str, str]:
    """What a person should know of the rows."""
    excluded = ", ".join(f"{reason} {count:,}" for reason, count in manifest.excluded.items())
    notes = ", ".join(f"{note} {count:,}" for note, count in manifest.notes.items())
    empty = ", ".join(name for name, count in manifest.nulls.items() if count == manifest.rows)
    return {"left out": excluded or "nothing", "without any value": empty or "no feature", "notes": notes or "none"}


def _short(manifest: Manifest) -> dict[str, Any]:
    told = manifest.feature_set
    return {
        "name": manifest.name,
        "hash": manifest.hash,
        "source": manifest.source,
        "rows": manifest.rows,
        "excluded": sum(manifest.excluded.values()),
        "features": len(manifest.features),
        "feature_set": None if told is None else f"{told['name']} {told['version']}",
        "timeframe": manifest.timeframe,
        "created_at": manifest.created_at,
    }
