"""Which commands there are: the module of one is imported when it is called, since all of them take long to import."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from importlib import import_module

import click


@dataclass(frozen=True, slots=True)
class Late:
    """A command that is not imported yet.

    Attributes:
        module: of this package, that makes it.
        help: its first sentence, for the list of commands.
    """

    module: str
    help: str


COMMANDS = {
    "backup": Late("maintaining", "Copy the lake, hot logs included, to an empty folder, while it is in use."),
    "calibration": Late(
        "judging",
        "Are decisions made with 80 % confidence right 80 % of the time? By prompt, model and symbol, with n.",
    ),
    "compact": Late("maintaining", "Rewrite small or loosely packed files as few and tight ones."),
    "dataset": Late(
        "datasets",
        "Data sets to train on that never look ahead: build them, audit them, build them again byte for byte.",
    ),
    "demo": Late("demo", "Make a lake, ingest a market, write live while draining, resample, and look at it."),
    "describe": Late("querying", "Show a dataset's columns with types, units and meanings, or a view's documentation."),
    "doctor": Late(
        "health",
        "Check writes, hot logs, spools, disk, files, gaps and refused rows; exit status 1 when something failed.",
    ),
    "drain": Late("maintaining", "Settle what waits in the hot logs of this host."),
    "drift": Late(
        "judging", "Did wins, calibration or what the models are shown change? With n, threshold and since when."
    ),
    "export": Late(
        "exporting",
        "Write a dataset, a view or a query to Parquet, CSV, JSON lines, SQLite, PostgreSQL, or a bot's data folder.",
    ),
    "import": Late(
        "importing", "Move what another store holds into the lake: `lake import KIND SOURCE`; --kinds lists them."
    ),
    "ingest": Late("ingesting", "Read files or folders of candles, trades and metrics."),
    "init": Late("starting", "Make an empty lake, with a settings file that explains itself."),
    "label": Late(
        "labelling",
        "Find out how phantoms, decisions, predictions and signals ended, and record it; only what is unresolved.",
    ),
    "lessons": Late("judging", "What became of decisions in situations like this one: lines for a prompt."),
    "models": Late("models", "Versions of models, and which one is live."),
    "predict": Late(
        "models",
        "What a model says of rows that were just recorded, such as signals: their features as of their decision.",
    ),
    "prompts": Late(
        "judging", "Compare prompt versions by what came of their decisions; register one, or put one to use."
    ),
    "publish": Late(
        "querying", "Write a DuckDB catalogue of views that the duckdb command or any SQL tool opens read-only."
    ),
    "report": Late(
        "reporting", "Report on one day: trades, results, signals; the same for a past day whenever it is asked for."
    ),
    "restore": Late("maintaining", "Make the lake from a backup; its address must hold none."),
    "retain": Late("maintaining", "Remove rows that are older than their dataset keeps them; open ones stay."),
    "run": Late("running", "Run all jobs of a lake at their times until SIGTERM or Ctrl-C; then drain and end."),
    "shell": Late("querying", "Ask one SQL statement after another; an empty line or Ctrl-D ends."),
    "sql": Late("querying", "Run one SQL statement, read-only; ``-`` reads it from standard input."),
    "stats": Late(
        "querying", "Candles held: symbols, timeframes, time range, bytes; with --trades, how trades came out."
    ),
    "tables": Late("querying", "List datasets and views: rows, files, bytes, what they hold."),
    "tag": Late("maintaining", "Name the lake as it is now, to read it as it was later."),
    "tags": Late("maintaining", "List the tags."),
    "train": Late(
        "models", "Train a model on a data set: ensemble, calibration, threshold and figures of what it did not see."
    ),
    "vacuum": Late("maintaining", "Delete files that no version in reach, tag or running reader needs."),
    "verify": Late("maintaining", "Check every file, log and key; exit status 1 when something is wrong."),
}


class LateCommands(MutableMapping[str, click.Command]):
    """Commands by name, as click keeps them; their names are known before they are imported."""

    def __init__(self) -> None:
        self._made: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._made:
            import_module(f"{__package__}.{COMMANDS[name].module}")
        return self._made[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


def short_helps(width: int) -> list[tuple[str, str]]:
    """Names and first sentences of all commands, in order of name, for lines of so many characters."""
    room = width - max(len(name) for name in COMMANDS)
    return [(name, click.Command(name, help=late.help).get_short_help_str(room)) for name, late in COMMANDS.items()]
