"""``lake run``: every scheduled job of a lake in one process."""

from __future__ import annotations

import click

from jobs.schedule import chosen, listed, run, stopping
from lake.cli.app import Context, command
from lake.errors import UsageError


@command(
    click.option(
        "--job", "changes", multiple=True, metavar="NAME=WHEN", help='Another time for a job: 30s, "5 0 * * *", or off.'
    ),
    click.option("--list", "only_list", is_flag=True, help="Show the jobs and their times, and do nothing."),
    name="run",
)
def run_jobs(ctx: Context, changes: tuple[str, ...], only_list: bool) -> None:
    """Run all jobs of a lake at their times until SIGTERM or Ctrl-C; then drain and end. Logs a JSON line each."""
    jobs = chosen(dict(_change(text) for text in changes))
    if only_list:
        ctx.output.rows(listed(jobs))
        return
    with stopping() as stop, ctx.open() as lk:
        run(lk, jobs, stop)


def _change(text: str) -> tuple[str, str]:
    name, equals, when = text.partition("=")
    if not equals or not when:
        raise UsageError("--job takes NAME=WHEN", value=text, todo="For example --job drain=10s.")
    return name, when.strip()
