"""Commands on prompts, confidence and what became of decisions: prompts, calibration, drift, lessons."""

from __future__ import annotations

from typing import IO, Any

import click

import lake
from lake.cli.app import Context, command
from lake.cli.moments import moment
from lake.clock import now_micros
from lake.errors import UsageError
from lake.kernels.deciding import CORRECTIONS
from lake.learn.comparison import Rules
from lake.learn.drift import Watch
from lake.learn.judged import GROUPS, SOURCES
from lake.learn.pairing import METRICS


@command(
    click.option("--register", "version", help="Register a version; its text is in --file, - for standard input."),
    click.option("--file", "text", type=click.File(), help="The prompt's text."),
    click.option("--name", default="", help="Of the prompt that is registered."),
    click.option("--description", default="", help="What is different about it."),
    click.option("--activate", help="Put a version to use; the one before is put away."),
    click.option("--days", type=click.IntRange(1), help="Only decisions of so many days; all by default."),
    click.option("--compare", is_flag=True, help="Which is better, and is that decided? Two by two."),
    click.option("--against", help="With --compare: the version that all others are compared with."),
    click.option("--metric", "metrics", multiple=True, type=click.Choice(list(METRICS)), help="With --compare."),
    click.option("--correction", type=click.Choice(list(CORRECTIONS)), default="holm", show_default=True,
                 help="With --compare: for the number of comparisons."),
    click.option("--by", type=click.Choice(GROUPS), default="prompt_version", show_default=True,
                 help="With --compare: what is compared, such as model_version."),
)  # fmt: skip
def prompts(ctx: Context, version: str | None, text: IO[str] | None, *, compare: bool, **options: Any) -> None:
    """Compare prompt versions by what came of their decisions; register one, or put one to use."""
    if (version is None) is not (text is None):
        raise UsageError("--register and --file belong together", todo="lake prompts --register v2 --file prompt.txt")
    with ctx.open() as lk:
        if version is not None and text is not None:
            lk.prompts.register(version, text.read(), options["name"], options["description"])
        if options["activate"]:
            lk.prompts.activate(options["activate"])
        if compare:
            _compare(ctx, lk, options)
            return
        found = lk.prompts.compare(days=options["days"])
        known = lk.read("prompt_versions").sort("created_at").drop("prompt_text", "extra")
    if version is not None or options["activate"]:
        ctx.output.rows(known.to_dicts(), known.columns)
        return
    _with_left_out(int(found["inside_training_period"].sum()))
    ctx.output.rows(found.to_dicts(), found.columns)


@command(
    click.option("--prompt", help="Only of this prompt version."),
    click.option("--model", help="Only of this model version."),
    click.option("--symbol", help="Only of this symbol."),
    click.option("--by", multiple=True, type=click.Choice(GROUPS),
                 help="Calibration error, Brier score and its parts, log loss and AUC by this instead."),
    click.option("--source", type=click.Choice(SOURCES), default="decisions", show_default=True, help="With --by."),
)  # fmt: skip
def calibration(ctx: Context, prompt: str | None, model: str | None, symbol: str | None, **options: Any) -> None:
    """Are decisions made with 80 % confidence right 80 % of the time? By prompt, model and symbol, with n."""
    asked = {"prompt_version": prompt, "model_version": model, "symbol": symbol}
    where = {name: value for name, value in asked.items() if value is not None}
    if options["by"] and where:
        raise UsageError("--by is of all decisions", value=sorted(where), todo="Leave out --prompt, --model, --symbol.")
    with ctx.open() as lk:
        if options["by"]:
            report = lk.calibration.report(options["by"], source=options["source"])
            _with_notes(report.notes)
            ctx.output.rows(report.frame.to_dicts(), report.frame.columns)
            return
        found = lk.read("confidence_calibration", where)
    _with_left_out(int(found["inside_training_period"].sum()))
    ctx.output.rows(found.to_dicts(), found.columns)


@command(
    click.option("--by", multiple=True, type=click.Choice(GROUPS), help="Watch each of these by itself."),
    click.option("--recent", type=click.IntRange(2), default=100, show_default=True,
                 help="So many of the newest are held against those before."),
    click.option("--false-alarm", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.05,
                 show_default=True, help="Probability of an alarm though nothing changed."),
    click.option("--source", type=click.Choice(SOURCES), default="decisions", show_default=True),
    click.option("--features", is_flag=True, help="Watch the numbers of the market snapshots instead."),
)  # fmt: skip
def drift(ctx: Context, by: tuple[str, ...], source: str, *, features: bool, **options: Any) -> None:
    """Did wins, calibration or what the models are shown change? With n, threshold and since when."""
    watch = Watch(recent=options["recent"], false_alarm=options["false_alarm"])
    with ctx.open() as lk:
        found = lk.drift.features(watch) if features else lk.drift.check(by, watch, source=source)
    _with_notes(found.notes)
    rows = found.frame.to_dicts()
    ctx.output.rows(rows, found.frame.columns)


@command(
    click.argument("symbol"),
    click.option("--before", callback=moment, help="The time of the situation (ISO with offset); now by default."),
    click.option("--count", "k", type=click.IntRange(1), default=5, show_default=True, help="How many."),
    click.option("--side", type=click.Choice(["LONG", "SHORT", "HOLD"]), help="That is considered."),
    click.option("--timeframe", help="That is looked at, such as 1h."),
    click.option("--features", help="The market snapshot, as JSON."),
)
def lessons(ctx: Context, symbol: str, before: str | None, k: int, **situation: Any) -> None:
    """What became of decisions in situations like this one: lines for a prompt."""
    with ctx.open() as lk:
        found = lk.lessons(symbol, now_micros() if before is None else before, k, **situation)
    _with_left_out(found.inside_training_period)
    if ctx.output.as_json:
        ctx.output.rows(found.frame.to_dicts(), found.frame.columns)
        return
    click.echo(found.text())


def _compare(ctx: Context, lk: lake.Lake, options: dict[str, Any]) -> None:
    rules = Rules(metrics=options["metrics"], correction=options["correction"])
    found = lk.comparison.compare(options["by"], against=options["against"], rules=rules, days=options["days"])
    ctx.output.result({"comparisons": found.frame.to_dicts(), "notes": found.notes}, found.text())


def _with_left_out(inside: int) -> None:
    if inside:
        click.echo(f"Dated inside their model's training period: {inside}, left out.", err=True)


def _with_notes(notes: tuple[str, ...]) -> None:
    for note in notes:
        click.echo(note, err=True)
