"""``lake label``: outcomes of what is unresolved, from the lake's candles."""

from __future__ import annotations

from typing import Any

import click

from lake.cli.app import Context, command
from lake.cli.output import shown
from lake.learn.labelling import SOURCES, Labelled

_DEFAULT = ("phantoms", "decisions", "predictions")


@command(
    click.option(
        "--source",
        "sources",
        multiple=True,
        type=click.Choice(SOURCES),
        help="By default all but signals and unknown (phantoms whose gap may be filled by now); repeatable.",
    ),
    click.option("--timeframe", help="Of the candles to follow; by default the finest that tell the end."),
    click.option("--fees", type=float, default=0.0, help="Rate a side: 0.001 is 0.1 %."),
    click.option("--slippage", type=float, default=0.0, help="Rate by which exits at the market are filled worse."),
    click.option("--timeout-hours", type=float, default=36.0, show_default=True, help="Of decisions and signals."),
    click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing."),
)
def label(ctx: Context, sources: tuple[str, ...], **options: Any) -> None:
    """Find out how phantoms, decisions, predictions and signals ended, and record it; only what is unresolved."""
    with ctx.open() as lk:
        done: list[Labelled] = [lk.label(source, **options) for source in sources or _DEFAULT]
    if ctx.output.as_json:
        ctx.output.result({"labels": [each.as_dict() for each in done]})
        return
    ctx.output.rows([_row(each) for each in done])
    for each in done:
        for name, why in each.skipped[:20]:
            click.echo(f"skipped {each.source} {name}: {why}")
        if len(each.skipped) > 20:
            click.echo(f"and {len(each.skipped) - 20:,} more of {each.source}")


def _row(done: Labelled) -> dict[str, object]:
    outcomes = ", ".join(f"{name} {shown(count)}" for name, count in done.outcomes.items())
    counts = {"unresolved": done.unresolved, "labelled": done.labelled, "waiting": done.waiting}
    return {
        "source": done.source,
        **counts,
        "skipped": len(done.skipped),
        "outcomes": outcomes,
        "dry_run": done.dry_run,
    }
