"""``lake report``: what happened on a day."""

from __future__ import annotations

import click

from lake.cli.app import Context, command
from lake.report.daily import daily_report


@command(
    click.option("--day", help="Such as 2026-01-31; by default yesterday."),
    click.option("--tz", "time_zone", default="UTC", show_default=True, help="Zone in which the day begins and ends."),
)
def report(ctx: Context, day: str | None, time_zone: str) -> None:
    """Report on one day: trades, results, signals; the same for a past day whenever it is asked for."""
    with ctx.open() as lk:
        found = daily_report(lk, day, time_zone=time_zone)
    ctx.output.result(found.as_dict(), found.text())
