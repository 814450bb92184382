"""The command group: the lake's address, JSON output, and how errors become exit statuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import Any

import click

import lake
from lake.cli.commands import LateCommands, short_helps
from lake.cli.output import Output
from lake.errors import LakeError

Command = Callable[..., None]
_JSON = f"{__name__}.json"


class Context:
    """What every command is given: where the lake is, and where results go."""

    def __init__(self, uri: str, output: Output) -> None:
        self.uri = uri
        self.output = output

    def open(self, *, create: bool = False, bot_id: str = "") -> lake.Lake:
        """The lake of this command."""
        return lake.open(self.uri, bot_id=bot_id, create=create)


def command(
    *parameters: Callable[[Command], Command],
    lake_default: str = "lake-data",
    name: str | None = None,
    group: click.Group | None = None,
) -> Callable[[Command], click.Command]:
    """A command with ``--lake`` and ``--json``, in a group if given; its function gets a :class:`Context` first."""

    def decorate(function: Command) -> click.Command:
        def run(lake_uri: str, as_json: bool, **values: Any) -> None:
            output = Output(as_json=as_json)
            try:
                function(Context(lake_uri, output), **values)
            except LakeError as error:
                fail(error, as_json)

        update_wrapper(run, function)
        made: Any = run
        for parameter in reversed(parameters):
            made = parameter(made)
        made = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(made)
        made = click.option(
            "--lake",
            "lake_uri",
            envvar="LAKE_URI",
            default=lake_default,
            show_default=True,
            help="Folder or s3:// address.",
        )(made)
        done: click.Command = (group or main).command(name)(made)
        return done

    return decorate


def fail(error: LakeError, as_json: bool) -> None:
    """Tell the error and end with its status."""
    if as_json:
        click.echo(json.dumps({"error": error.what, "where": error.where, "todo": error.todo, "message": str(error)}))
    click.echo(f"lake: {error}", err=True)
    sys.exit(error.exit_status)


class Commands(click.Group):
    """The group of all commands: what click finds wrong with a call is told as JSON too, where that was asked for."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.commands = LateCommands()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(short_helps(formatter.width - 6))

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context of a call."""
        wants_json = "--json" in args
        with _telling(wants_json):
            made = super().make_context(info_name, args, parent, **extra)
        made.meta[_JSON] = wants_json
        return made

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was named."""
        with _telling(bool(ctx.meta.get(_JSON))):
            return super().invoke(ctx)


@contextmanager
def _telling(as_json: bool) -> Iterator[None]:
    """Print click's own error as the lake's errors are printed; its text for people follows on standard error."""
    try:
        yield
    except click.ClickException as error:
        if as_json:
            where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
            todo = f"Try '{where} --help'." if where else ""
            facts = {"error": error.format_message(), "where": where, "todo": todo}
            click.echo(json.dumps({**facts, "message": " ".join(filter(None, (facts["error"], todo)))}))
        raise


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(lake.__version__, prog_name="lake")
def main() -> None:
    """The memory of a trading bot: candles, signals, trades and decisions as plain Delta tables with SQL."""
