"""Training runs: each is a row, from its start to its end or failure, tied to the data set it was made from."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypedDict

import orjson
import polars as pl

from lake.clock import now_micros
from lake.errors import FeatureMismatchError, NotEnoughRowsError, UsageError
from lake.learn.models.audited import must_be_audited
from lake.learn.models.examples import examples
from lake.learn.models.model import Model
from lake.learn.models.recipe import Recipe
from lake.learn.models.schema import as_frame
from lake.learn.models.search import search
from lake.learn.models.training import train
from lake.ledgers.changes import patch_row
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.query.read import read

DATASET = "training_runs"
BY = ("symbol", "regime")
_STANDARD = Recipe()


class TrainOptions(TypedDict, total=False):
    """Further arguments of :meth:`lake.learn.models.registry.Models.train`.

    Attributes:
        features: columns; those of the data set's manifest when left out. A retraining takes what was named here again,
            else all features that its data set has then.
        target: column of True and False; label_win when left out.
        weight: columns whose product weighs the rows; those of uniqueness and recency that are there when left out.
        recipe: a Recipe, or {parameter: value}.
        grid: {parameter: values} of the recipe to choose among, by log loss over the test blocks.
        n_jobs: test blocks or candidates that are worked on at once.
        trigger: why it is trained: by hand, count, age, drift.
        audit: whether a data set whose manifest tells of no audit is audited first, every row of it; True when left
            out.
    """

    features: Iterable[str] | None
    target: str
    weight: str | Iterable[str] | None
    recipe: Recipe | Mapping[str, Any] | None
    grid: Mapping[str, Sequence[Any]] | None
    n_jobs: int
    trigger: str
    audit: bool


class Saving(Protocol):
    """What keeps a trained model."""

    def __call__(self, model: Model, run_id: str) -> Model:
        """Save it; the model with its version."""


@dataclass(frozen=True, eq=False)
class Trained:
    """What came of training one model for each symbol or regime.

    Attributes:
        models: by symbol or regime; the general one under "".
        skipped: symbol or regime -> why there is none of its own: the general one serves it.
    """

    models: Mapping[str, Model]
    skipped: Mapping[str, str]


class Runs:
    """Trains, and keeps the log of it."""

    def __init__(self, writer: Writer, save: Saving) -> None:
        self._writer = writer
        self._save = save

    def train(self, data: Any, name: str, options: TrainOptions, variant: tuple[str, str] = ("", "")) -> Model:
        """Train and save a model; the run's row tells its end, also a bad one.

        Args:
            data: a data set or a frame.
            name: of the model.
            options: how.
            variant: symbol and regime that it is for.
        """
        strange = sorted(set(options) - set(TrainOptions.__annotations__))
        if strange:
            known = ", ".join(TrainOptions.__annotations__)
            raise UsageError("unknown arguments", where="models.train", value=strange, todo=f"There are {known}.")
        options = _listed(options)
        recipe = recipe_of(options.get("recipe"))
        manifest = manifest_of(data)
        began = time.perf_counter()
        run_id = self._begin(name, manifest, recipe, options)
        try:
            must_be_audited(data, audit=options.get("audit", True))
            rows = examples(
                data, options.get("features"), options.get("target", "label_win"), weight=options.get("weight")
            )
            tried: list[dict[str, Any]] = []
            n_jobs = options.get("n_jobs", 1)
            if grid := options.get("grid"):
                recipe, tried = search(rows, recipe, grid, n_jobs=n_jobs)
            made = train(rows, name, recipe, manifest=manifest, n_jobs=n_jobs)
            metrics = {**made.metrics, **({"search": tried} if tried else {})}
            symbol, regime = variant
            saved = self._save(replace(made, metrics=metrics, symbol=symbol, regime=regime), run_id)
        except BaseException as error:
            self._end(run_id, began, {"status": "failed", "error": f"{type(error).__name__}: {error}"})
            raise
        done = {"status": "done", "metrics": dict(saved.metrics), "rows": len(rows)}
        self._end(run_id, began, {**done, "parameters": _parameters(recipe, options)})
        return saved

    def train_each(self, data: Any, name: str, by: str, options: TrainOptions) -> Trained:
        """Train the general model, and one for each symbol or regime that has rows enough."""
        if by not in BY:
            raise UsageError("a model is for a symbol or a regime", where="by", value=by, todo=f"{' or '.join(BY)}.")
        frame = as_frame(getattr(data, "frame", data))
        if by not in frame.columns:
            raise FeatureMismatchError(f"{by} is missing", where="training, by")
        options = _listed(options)
        models, skipped = {"": self.train(data, name, options)}, {}
        names = options.get("features") or list(models[""].schema.names)
        for value in sorted(frame[by].drop_nulls().unique().to_list()):
            part = _Part(frame.filter(pl.col(by) == value), {**manifest_of(data), "only": {by: value}})
            variant = (value, "") if by == "symbol" else ("", value)
            own: TrainOptions = {**options, "features": names}
            try:
                models[value] = self.train(part, name, own, variant)
            except NotEnoughRowsError as error:
                skipped[value] = str(error)
        return Trained(models, skipped)

    def _begin(self, name: str, manifest: Mapping[str, Any], recipe: Recipe, options: TrainOptions) -> str:
        row = {
            "model_name": name, "trigger": options.get("trigger", "by hand"), "status": "running",
            "dataset_manifest": dict(manifest), "parameters": _parameters(recipe, options), "started_at": now_micros(),
        }  # fmt: skip
        receipt = self._writer.write(DATASET, row)
        return str(receipt.keys[0][0])

    def _end(self, run_id: str, began: float, changes: Mapping[str, Any]) -> None:
        lasted = round(time.perf_counter() - began, 3)
        patch_row(self._writer, DATASET, run_id, {**changes, "duration_seconds": lasted, "finished_at": now_micros()})


@dataclass(frozen=True, eq=False)
class _Part:
    """Some rows of a data set."""

    frame: pl.DataFrame
    manifest: Mapping[str, Any]


def manifest_of(data: Any) -> dict[str, Any]:
    """The manifest of a data set as a dict; empty for a plain frame."""
    manifest = getattr(data, "manifest", None)
    if manifest is None:
        return {}
    return dict(manifest.as_dict()) if hasattr(manifest, "as_dict") else dict(manifest)


def recipe_of(given: Recipe | Mapping[str, Any] | None) -> Recipe:
    """A recipe given as one, as changes of the standard one, or not at all."""
    if isinstance(given, Recipe):
        return given
    return _STANDARD.with_changes(given or {})


def options_of(parameters: str | None) -> TrainOptions:
    """The options of a run, out of its row's parameters."""
    told: dict[str, Any] = orjson.loads(parameters or "{}")
    options: TrainOptions = {}
    for name in ("target", "weight", "grid", "features"):
        if name in told:
            options[name] = told[name]
    known = {f.name for f in fields(Recipe)}
    options["recipe"] = {name: value for name, value in told.items() if name in known}
    return options


def recipe_of_rows(engine: Engine, rows: pl.DataFrame) -> dict[str, Any]:
    """How the newest of some versions was trained: see :meth:`lake.learn.models.registry.Models.recipe_of`."""
    general = rows.filter((pl.col("symbol").fill_null("") == "") & (pl.col("regime").fill_null("") == ""))
    row = general.row(-1, named=True) if general.height else rows.row(-1, named=True)
    run = read(engine, DATASET, {"run_id": row["run_id"]}) if row["run_id"] else None
    options = options_of(run.row(0, named=True)["parameters"] if run is not None and run.height else None)
    manifest = orjson.loads(row["dataset_manifest"] or "{}")
    learnt = list(orjson.loads(row["feature_schema"] or '{"kinds": {}}')["kinds"])
    if set(learnt) != set(manifest.get("features") or ()) or not learnt:  # named, where an older run does not tell
        options.setdefault("features", learnt)
    by = next((n for n in BY if (rows[n].fill_null("") != "").any()), None)
    is_live = bool((rows["stage"] == "live").any())
    return {"manifest": manifest, "options": options, "learnt": learnt, "by": by, "live": is_live}


def _listed(options: TrainOptions) -> TrainOptions:
    """The options with the features as a list: they are read more than once."""
    names = options.get("features")
    return options if names is None or isinstance(names, str) else {**options, "features": list(names)}


def _parameters(recipe: Recipe, options: TrainOptions) -> dict[str, Any]:
    told = {name: options.get(name) for name in ("target", "grid") if options.get(name) is not None}
    for name in ("weight", "features"):
        given: Any = options.get(name)
        if given is not None:
            told[name] = given if isinstance(given, str) else list(given)
    return {**recipe.as_dict(), **told}
