"""``lake doctor``: is the lake well?"""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from lake.cli.app import Context, command
from lake.report.health import health
from lake.report.prometheus import prometheus


@command(
    click.option("--prometheus", "as_metrics", is_flag=True, help="Print Prometheus' text format."),
    click.option("--log", "logs", multiple=True, help="A log file to warn of when it is larger than 500 MB."),
    click.option("--strict", is_flag=True, help="End with 1 for warnings too."),
)
def doctor(ctx: Context, as_metrics: bool, logs: tuple[str, ...], strict: bool) -> None:
    """Check writes, hot logs, spools, disk, files, gaps and refused rows; exit status 1 when something failed."""
    with ctx.open() as lk:
        found = health(lk, logs=logs)
    if as_metrics:
        click.echo(prometheus(found), nl=False)
    elif ctx.output.as_json:
        ctx.output.result({"lake": found.lake, "status": found.status, "checks": [asdict(c) for c in found.checks]})
    else:
        ctx.output.rows([asdict(c) for c in found.checks], ("status", "name", "about", "value", "message"))
        click.echo(f"status: {found.status}")
    if not found.ok or (strict and found.status != "ok"):
        sys.exit(1)
