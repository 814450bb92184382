"""Commands that look after a lake: drain, compact, retain, vacuum, verify, tag, tags, backup, restore."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from lake.cli.app import Context, command
from lake.errors import UsageError
from lake.lake import Lake
from lake.store.backup import backup as make_backup
from lake.store.backup import restore as restore_backup
from lake.store.maintain import Maintained
from lake.store.versions import delete_tag

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")


@command(
    click.option("--bot", "bot_id", default="", help="Only this bot's hot log; by default all on this host."),
    click.option(
        "--host", default="", help="Take over what this other host name left here too: it was renamed, or is gone."
    ),
)
def drain(ctx: Context, bot_id: str, host: str) -> None:
    """Settle what waits in the hot logs of this host."""
    if bot_id and host:
        raise UsageError("--bot and --host exclude each other", value=(bot_id, host), todo="Give one of them.")
    with ctx.open(bot_id=bot_id) as lk:
        if bot_id:
            lk.writer.hot()
        done = lk.drain(every_writer=not bot_id, host=host)
    ctx.output.result({"entries": done.entries, **asdict(done.landed)})


@command(click.argument("datasets", nargs=-1), _DRY_RUN)
def compact(ctx: Context, datasets: tuple[str, ...], dry_run: bool) -> None:
    """Rewrite small or loosely packed files as few and tight ones."""
    with ctx.open() as lk:
        done = lk.compact(*datasets, dry_run=dry_run)
    _tell(ctx, done, dry_run)


@command(
    click.option("--keep", "keeps", multiple=True, metavar="DATASET=DAYS", help="Instead of what the settings say."),
    _DRY_RUN,
)
def retain(ctx: Context, keeps: tuple[str, ...], dry_run: bool) -> None:
    """Remove rows that are older than their dataset keeps them; open ones stay."""
    days = dict(_keep(text) for text in keeps)
    with ctx.open() as lk:
        done = lk.retain(days or None, dry_run=dry_run)
    ctx.output.rows(
        [
            {"dataset": name, "rows_removed": d.rows_removed, "files": d.files_before, "dry_run": dry_run}
            for name, d in done.items()
        ]
    )
    if not done and not ctx.output.as_json:
        click.echo("no dataset has a retention; set one in settings.toml, or give --keep DATASET=DAYS")


def _keep(text: str) -> tuple[str, int]:
    name, _, days = text.partition("=")
    if not days.isdigit():
        raise UsageError("--keep takes DATASET=DAYS", value=text, todo="For example --keep candles=30.")
    return name, int(days)


@command(
    click.option("--grace-hours", type=click.FloatRange(0), help="Keep files that were in use so recently."), _DRY_RUN
)
def vacuum(ctx: Context, grace_hours: float | None, dry_run: bool) -> None:
    """Delete files that no version in reach, tag or running reader needs."""
    with ctx.open() as lk:
        done = lk.vacuum(dry_run=dry_run, grace_hours=grace_hours)
    data = {"files": done.files_before, "bytes": done.bytes_before, "dry_run": dry_run, "paths": list(done.files)}
    verb = "would delete" if dry_run else "deleted"
    ctx.output.result(data, f"{verb} {done.files_before:,} files, {done.bytes_before:,} bytes")


@command(
    click.option("--repair", is_flag=True, help="Drop the torn end of a log; mend what files tell of newest rows.")
)
def verify(ctx: Context, repair: bool) -> None:
    """Check every file, log and key; exit status 1 when something is wrong."""
    with ctx.open() as lk:
        report = lk.verify(repair=repair)
    text = f"{report.tables} tables, {report.files:,} files, {report.rows:,} rows, {report.hot_logs} hot logs"
    text += f", {report.named_files} model files" if report.named_files else ""
    lines = [f"{f.where}: {f.what}" for f in report.findings] or ["all is well"]
    ctx.output.result({**asdict(report), "ok": report.ok}, "\n".join([text, *lines]))
    if not report.ok:
        sys.exit(1)


@command(click.argument("name"), click.option("--delete", is_flag=True, help="Let go of the tag."), _DRY_RUN)
def tag(ctx: Context, name: str, delete: bool, dry_run: bool) -> None:
    """Name the lake as it is now, to read it as it was later."""
    with ctx.open() as lk:
        if delete or dry_run:
            _without_tag(ctx, lk, name, delete, dry_run)
            return
        lk.drain(every_writer=True)
        version = lk.tag(name)
    ctx.output.result(
        {"tag": name, "version": version.number, "datasets": dict(version.datasets)},
        f"{name} is version {version.number}",
    )


def _without_tag(ctx: Context, lk: Lake, name: str, delete: bool, dry_run: bool) -> None:
    if dry_run:
        held = "is there" if name in lk.tags() else "is not there"
        verb = "would be deleted" if delete else "would be set to the lake as it is now"
        ctx.output.result({"tag": name, "dry_run": True}, f"{name} {held} and {verb}")
        return
    delete_tag(lk.store, name)
    ctx.output.result({"deleted": name}, f"deleted {name}")


@command()
def tags(ctx: Context) -> None:
    """List the tags."""
    with ctx.open() as lk:
        ctx.output.rows([{"tag": name, "version": v.number} for name, v in lk.tags().items()])


@command(click.argument("target", type=click.Path(path_type=Path)))
def backup(ctx: Context, target: Path) -> None:
    """Copy the lake, hot logs included, to an empty folder, while it is in use."""
    with ctx.open() as lk:
        done = make_backup(lk.store, target)
    ctx.output.result(asdict(done), f"{done.files:,} files, {done.bytes:,} bytes in {target}")


@command(click.argument("source", type=click.Path(path_type=Path, exists=True)))
def restore(ctx: Context, source: Path) -> None:
    """Make the lake from a backup; its address must hold none."""
    done = restore_backup(source, ctx.uri)
    ctx.output.result(asdict(done), f"{done.files:,} files, {done.bytes:,} bytes restored to {ctx.uri}")


def _tell(ctx: Context, done: Maintained, dry_run: bool) -> None:
    data: dict[str, Any] = {**asdict(done), "dry_run": dry_run}
    text = f"{done.files_before:,} files ({done.bytes_before:,} bytes)"
    text = f"would rewrite {text}" if dry_run else f"{text} became {done.files_after:,} ({done.bytes_after:,} bytes)"
    ctx.output.result(data, text)
