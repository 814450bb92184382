"""Commands on models: train; predict; models list, show, promote, rollback, retire, info."""

from __future__ import annotations

from typing import Any

import click
import orjson

from lake.cli.app import Context, command, main
from lake.cli.working import working
from lake.errors import UsageError
from lake.learn.datasets.request import SOURCES
from lake.learn.models.model import Model

_SYMBOL = click.option("--symbol", help="The model of this symbol alone.")
_REGIME = click.option("--regime", help="The model of this market regime alone.")
_DOCUMENTS = ("dataset_manifest", "feature_schema", "metrics", "live_before", "extra")


@command(
    click.argument("name"),
    click.option("--dataset", required=True, help="Name of the data set, of `lake dataset build`."),
    click.option("--hash", "hash_", help="Which build of it, by the begin of its hash; the newest when left out."),
    click.option("--features", help="Columns to learn from, with commas between; all of the data set by default."),
    click.option("--target", default="label_win", show_default=True, help="Column of yes and no."),
    click.option("--promote", is_flag=True, help="Make it live at once."),
    click.option("--per-symbol", is_flag=True, help="Besides the general model one for each symbol with rows enough."),
    click.option("--per-regime", is_flag=True, help="The same for each market regime."),
    click.option("--neural", is_flag=True, help="With a small neural network in the ensemble."),
    click.option("--set", "changes", multiple=True, help="Parameter of the recipe, such as depth=6; several times."),
    click.option("--search", "grid", multiple=True, help="Parameter with values to choose among: depth=4,8."),
    click.option("--no-audit", is_flag=True, help="Train on a data set that was never audited, at your own risk."),
    click.option("--jobs", type=int, default=1, show_default=True, help="Fits at once; -1 is one for each core."),
)  # fmt: skip
def train(ctx: Context, name: str, dataset: str, **options: Any) -> None:
    """Train a model on a data set: ensemble, calibration, threshold and figures of what it did not see."""
    if options["per_symbol"] and options["per_regime"]:
        raise UsageError("--per-symbol and --per-regime exclude each other", todo="Train twice, under two names.")
    changes = {key: _number(key, value) for key, value in map(_pair, options["changes"])}
    recipe = {**changes, **({"neural": True} if options["neural"] else {})}
    grid = {key: [_number(key, v) for v in value.split(",")] for key, value in map(_pair, options["grid"])}
    more: dict[str, Any] = {"target": options["target"], "recipe": recipe, "n_jobs": options["jobs"]}
    more["audit"] = not options["no_audit"]
    if options["features"] is not None:
        more["features"] = [each.strip() for each in options["features"].split(",") if each.strip()]
    by = "symbol" if options["per_symbol"] else "regime" if options["per_regime"] else None
    with ctx.open() as lk, working(ctx.output, f"training {name}"):
        data = lk.datasets.load(dataset, options["hash_"])
        more.update({"grid": grid} if grid else {}, promote=options["promote"])
        if by is None:
            models, skipped = {"": lk.models.train(data, name, **more)}, {}
        else:
            made = lk.models.train_each(data, name, by, **more)
            models, skipped = dict(made.models), dict(made.skipped)
    rows = [_trained(model) for model in models.values()]
    if ctx.output.as_json:
        ctx.output.result({"models": rows, "skipped": skipped})
        return
    ctx.output.rows(rows)
    for value, reason in skipped.items():
        click.echo(f"{value}: {reason}", err=True)


@command(
    click.argument("name"),
    click.option("--id", "ids", multiple=True, required=True, help="Of a row; may be given several times."),
    click.option("--source", type=click.Choice(SOURCES), help="What the rows are; what it was trained on by default."),
    click.option("--version", help="Which version; the live one by default."),
    click.option("--features", help="The feature set as path.py:name, where the recorded name is not known."),
)
def predict(ctx: Context, name: str, ids: tuple[str, ...], **options: Any) -> None:
    """What a model says of rows that were just recorded, such as signals: their features as of their decision."""
    with ctx.open() as lk:
        found = lk.models.predict(name, list(dict.fromkeys(ids)), **options)
    ctx.output.rows(found.to_dicts(), found.columns)


@main.group()
def models() -> None:
    """Versions of models, and which one is live."""


@command(
    click.argument("model", required=False),
    click.option("--name", help="Only of this model."),
    click.option("--stage", type=click.Choice(["candidate", "live", "retired"])),
    name="list",
    group=models,
)
def list_(ctx: Context, model: str | None, name: str | None, stage: str | None) -> None:
    """List the versions, oldest first; of one model where it is named."""
    with ctx.open() as lk:
        found = lk.models.list(name or model, stage)
    ctx.output.rows(found.to_dicts(), found.columns)


@command(click.argument("version"), group=models)
def show(ctx: Context, version: str) -> None:
    """Show a version: its figures by test block, what it leans on, and the data it was trained on."""
    with ctx.open() as lk:
        row = lk.models.show(version)
    found = {key: orjson.loads(v) if key in _DOCUMENTS and v else v for key, v in row.items()}
    if ctx.output.as_json:
        ctx.output.result(found)
        return
    metrics = found["metrics"] or {}
    told = {k: v for k, v in found.items() if k not in _DOCUMENTS and v not in (None, "")}
    ctx.output.result({**told, **(metrics.get("overall") or {})})
    names = ("start", "n_train", "n", "auc", "auc_low", "auc_high", "brier", "ece", "n_above", "win_rate_above")
    ctx.output.rows(metrics.get("folds") or [], names)
    ctx.output.rows((metrics.get("importance") or [])[:10])


@command(
    click.argument("version"),
    click.option("--allow-pickle", is_flag=True, help="Also an imported pickle: loading it runs any code in it."),
    group=models,
)
def promote(ctx: Context, version: str, *, allow_pickle: bool) -> None:
    """Make a version live; the one that was live is retired."""
    with ctx.open() as lk:
        lk.models.promote(version, allow_pickle=allow_pickle)
    ctx.output.result({"live": version})


@command(click.argument("name", required=False), _SYMBOL, _REGIME, group=models)
def rollback(ctx: Context, name: str | None, symbol: str | None, regime: str | None) -> None:
    """Go back to the version that was live before; may be repeated."""
    with ctx.open() as lk:
        version = lk.models.rollback(name, symbol, regime)
    ctx.output.result({"live": version})


@command(click.argument("version"), group=models)
def retire(ctx: Context, version: str) -> None:
    """Take a version out of use."""
    with ctx.open() as lk:
        lk.models.retire(version)
    ctx.output.result({"retired": version})


@command(click.argument("name"), group=models)
def info(ctx: Context, name: str) -> None:
    """Is it to be trained again, and may the live version still be traded on?"""
    with ctx.open() as lk:
        found = lk.models.retrain_info(name)
        guarded = lk.models.guard(name).as_dict() if found.live else None
    told = {**found.as_dict(), "guard": guarded}
    if guarded is not None and not ctx.output.as_json:
        told["guard"] = f"{'go' if guarded['allowed'] else 'halt'}: {guarded['reason']}"
    ctx.output.result(told)


def _trained(model: Model) -> dict[str, Any]:
    overall = model.metrics["overall"]
    names = ("n", "auc", "auc_low", "auc_high", "brier", "ece", "n_above", "win_rate_above", "mean_gain_above")
    who = {"version": model.version, "symbol": model.symbol, "regime": model.regime, "rows": model.metrics["rows"]}
    return {**who, "threshold": model.threshold, **{name: overall.get(name) for name in names}}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not value:
        raise UsageError("a parameter is NAME=VALUE", value=text, todo="Such as depth=6.")
    return name.strip(), value


def _number(name: str, text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        if name == "calibration":
            return text
        raise UsageError(f"{name} is a number", value=text, todo="Such as depth=6.") from None
