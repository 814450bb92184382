"""``lk.models``: train, save, load, promote and roll back models, and say when to train again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

import polars as pl

from lake.clock import now_micros
from lake.errors import UnknownModelError, UsageError
from lake.learn.datasets.fresh import Live
from lake.learn.models import storing
from lake.learn.models.ledger import Versions, stack
from lake.learn.models.model import Model
from lake.learn.models.naming import checked_name
from lake.learn.models.outcomes import Outcomes
from lake.learn.models.policy import Guard, Policy, RetrainInfo, checked_policy, guard, retrain_info
from lake.learn.models.predicting import Predicting, PredictOptions
from lake.learn.models.runs import Runs, Trained, TrainOptions, recipe_of_rows
from lake.learn.models.storing import LoadOptions, SaveOptions
from lake.ledgers.receipt import Receipt
from lake.ledgers.writer import Writer
from lake.query.engine import Engine
from lake.spec import symbols
from lake.spec.times import from_micros, to_micros

_ORPHAN_MICROS = 24 * 3600 * 1_000_000  # a file without a row is somebody's save that was cut off, not one under way
_POLICY = Policy()
_SHORT = ("version", "name", "symbol", "regime", "stage", "threshold", "trained_until", "created_at", "promoted_at")


class Models:
    """The registry of models; ``lk.models``.

    Args:
        writer: lands rows, and knows where files go.
        engine: answers queries.
        keep: files of so many versions of a name (and symbol and regime) are kept, besides the live one's.
    """

    def __init__(self, writer: Writer, engine: Engine, keep: int = 10) -> None:
        self._writer = writer
        self._engine = engine
        self._keep = keep
        self._versions = Versions(writer, engine)
        self._outcomes = Outcomes(engine, writer.store)
        self._predicting = Predicting(self.load, self.find, self.list, Live(writer.store, engine))
        self._runs = Runs(writer, lambda model, run_id: self.save(model, run_id=run_id))

    def train(self, data: Any, name: str, *, promote: bool = False, **options: Unpack[TrainOptions]) -> Model:
        """Train a model and save it as a candidate; the run is a row of training_runs, also if it fails.

        Args:
            data: a data set (``lk.datasets.build(...)``), or a frame with decision_time, label_time and a target.
            name: of the model.
            promote: make it live at once.
            options: features, target, weight, recipe, grid, n_jobs, trigger: see
                :class:`lake.learn.models.runs.TrainOptions`.

        Raises:
            NotEnoughRowsError: fewer than 30 labelled rows, or all labels alike.
            FeatureMismatchError: a column is missing, or of a type that no model learns from.
            UsageError: parameters out of range, a name that cannot be one.
            MissingExtraError: the extra ``learn`` is not installed.
        """
        made = self._runs.train(data, checked_name(name), options)
        if promote:
            self.promote(made.version)
        return made

    def train_each(
        self, data: Any, name: str, by: str = "symbol", *, promote: bool = False, **options: Unpack[TrainOptions]
    ) -> Trained:
        """Train the general model, and one for each symbol (or regime) with rows enough; :meth:`load` picks.

        Args:
            data: a data set, or a frame with the column ``by``.
            name: of all of them.
            by: symbol or regime.
            promote: make all of them live.
            options: as for :meth:`train`, which also tells the errors.
        """
        made = self._runs.train_each(data, checked_name(name), by, options)
        if promote:
            for model in made.models.values():
                self.promote(model.version)
        return made

    def save(self, model: Model, name: str | None = None, **options: Unpack[SaveOptions]) -> Model:
        """Save a model as a candidate; the model with its version.

        The file is durable before its row lands, so that a version that is known has its file, whatever is cut off.

        Args:
            model: a trained model.
            name: of the model, when not its own.
            options: version: names it, made of name, time and content when left out. run_id: the training run. form:
                skops, or with allow_pickle=True joblib, which whoever loads it has to trust.

        Raises:
            LifeCycleError: there is such a version.
            UsageError: no model, a name that cannot be one, or joblib without allow_pickle.
        """
        if not isinstance(model, Model):
            raise UsageError(
                "a model is what training gives", where="models.save", value=type(model).__name__,
                todo="Such as lk.models.train(data, name), or lake.learn.models.training.train(...).",
            )  # fmt: skip
        name = checked_name(name or model.name)
        form = options.get("form", "skops")
        kept = replace(model, name=name)
        data = storing.dump(kept, form, allow_pickle=options.get("allow_pickle", False))
        digest, now = hashlib.sha256(data).hexdigest(), now_micros()
        version = options.get("version") or f"{name}-{from_micros(now):%Y%m%dT%H%M%S}-{digest[:8]}"
        path = f"{storing.FOLDER}/{name}/{checked_name(version, 'version')}-{digest[:16]}.{form}"
        self._writer.store.location.write(path, data)
        until = kept.metrics.get("trained_until")
        self._versions.insert(
            {
                "version": version, "name": name, "run_id": options.get("run_id"), "symbol": kept.symbol,
                "regime": kept.regime, "stage": "candidate", "path": path, "format": form, "sha256": digest,
                "dataset_manifest": dict(kept.manifest), "feature_schema": kept.schema.as_dict(),
                "metrics": dict(kept.metrics), "threshold": kept.threshold, "created_at": now,
                "trained_until": None if until is None else to_micros(until),
            }
        )  # fmt: skip
        self.prune(name)
        return replace(kept, version=version, stage="candidate")

    def load(
        self,
        name: str | None = None,
        version: str | None = None,
        stage: str = "live",
        symbol: str | None = None,
        regime: str | None = None,
        **options: Unpack[LoadOptions],
    ) -> Model:
        """A model that was saved: a version, or the newest of a stage; its file is checked against its hash.

        Args:
            name: of the model; may be left out where there is one only.
            version: which; then the rest does not matter.
            stage: live (the default), candidate or retired.
            symbol, regime: take the model for this symbol and regime, else for the symbol, else for the regime, else
                the general one.
            options: allow_pickle: load a joblib file, which runs what its author put into it. trusted: types that a
                skops file may hold besides those of the ensemble.

        Raises:
            UnknownModelError: there is none.
            CorruptLakeError: its file is gone, or not as it was saved.
            UsageError: several names, of which none was given; a joblib file without allow_pickle.
        """
        row = self._versions.row(version) if version is not None else self.find(name, stage, symbol, regime)
        model = storing.load(
            self._file(row), row["sha256"], row["format"] or "skops",
            allow_pickle=options.get("allow_pickle", False), trusted=tuple(options.get("trusted", ())),
        )  # fmt: skip
        return replace(model, version=row["version"], stage=row["stage"])

    def predict(self, name: str, ids: str | Sequence[str], **options: Unpack[PredictOptions]) -> pl.DataFrame:
        """What the live model says of rows that were just recorded: signals, phantoms, decisions or predictions.

        See :class:`lake.learn.models.predicting.Predicting`, which also tells the errors.

        Args:
            name: of the model; of several for symbols or regimes the one that serves each row.
            ids: of the rows.
            options: source, version, features, load: see :class:`lake.learn.models.predicting.PredictOptions`.
        """
        return self._predicting(name, ids, options)

    def unpickled(self, version: str, *, allow_pickle: bool = False) -> Any:
        """What is in a pickle that was imported: any object at all, and loading it runs what its author put into it.

        Raises:
            UnknownModelError: there is no such version.
            UsageError: without ``allow_pickle``.
            CorruptLakeError: its file is gone, or not as it was saved.
        """
        row = self._versions.row(version)
        return storing.unpickled(self._file(row), row["sha256"], allow_pickle=allow_pickle)

    def _file(self, row: Mapping[str, Any]) -> bytes:
        return storing.read(self._writer.store.location, row)

    def find(
        self, name: str | None = None, stage: str = "live", symbol: str | None = None, regime: str | None = None
    ) -> dict[str, Any]:
        """The row that :meth:`load` would take.

        Raises:
            UnknownModelError: there is none.
            UsageError: several names, of which none was given.
        """
        wanted = "" if symbol is None else symbols.canonical(symbol)
        rows = self._versions.all({"stage": stage, **({} if name is None else {"name": name})})
        names = rows["name"].unique().sort().to_list()
        if len(names) > 1:
            raise UsageError("which model?", where="models", todo=f"Give name=: {', '.join(names)}.")
        tries = ((wanted, regime or ""), (wanted, ""), ("", regime or ""), ("", ""))
        for each_symbol, each_regime in dict.fromkeys(tries):
            mine = (pl.col("symbol").fill_null("") == each_symbol) & (pl.col("regime").fill_null("") == each_regime)
            found = rows.filter(mine)
            if found.height:
                return found.row(-1, named=True)
        raise UnknownModelError(
            f"no model is {stage}", where=f"models, {name or 'any name'}",
            todo="Train one (`lake train`), and promote it (`lake models promote`).",
        )  # fmt: skip

    def promote(self, version: str, *, allow_pickle: bool = False) -> Receipt:
        """Make a version live, and retire the one that was live of its name, symbol and regime, in one commit.

        Raises:
            UsageError: a pickle that was imported, without ``allow_pickle``: whoever loads what is live would run it.
            UnknownModelError: there is no such version.
            LifeCycleError: its file was removed.
            CorruptLakeError: its file is gone, or not as it was saved.
        """
        row = self._versions.row(version)
        storing.must_be_trusted(row["format"] or "skops", allow_pickle=allow_pickle)
        self._file(row)
        return self._versions.promote(version)

    def rollback(self, name: str | None = None, symbol: str | None = None, regime: str | None = None) -> str:
        """Go back to the version that was live before the live one; may be repeated. The version that is live now.

        A version that was retired by hand is passed over; where the live one was, the one before it becomes live.

        Args:
            name: of the model; may be left out where one only is live.
            symbol, regime: of a model that is for these alone.

        Raises:
            UnknownModelError: none is live, or ever was.
            LifeCycleError: none was live before it, or all of these were retired or lost their files.
        """
        name = name or self.find(None, "live", symbol, regime)["name"]
        wanted = ("" if symbol is None else symbols.canonical(symbol), regime or "")
        head = self._versions.last_live(name, *wanted)
        if head is None:
            raise UnknownModelError("none is live for these alone", where=f"models, {name}", value=wanted)
        return self._versions.rollback(head)[1]

    def retire(self, version: str) -> Receipt:
        """Take a version out of use: no rollback goes back to it. If it was live, none of its name is live then.

        Raises:
            UnknownModelError: there is no such version.
        """
        return self._versions.retire(version)

    def list(self, name: str | None = None, stage: str | None = None) -> pl.DataFrame:
        """The versions, oldest first: version, name, symbol, regime, stage, threshold, and times."""
        given = {"name": name, "stage": stage}
        return self._versions.all({k: v for k, v in given.items() if v is not None}).select(_SHORT)

    def show(self, version: str) -> dict[str, Any]:
        """All that is known of a version: manifest, feature schema, metrics; JSON as text.

        Raises:
            UnknownModelError: there is no such version.
        """
        return self._versions.row(version)

    def files(self) -> dict[str, str]:
        """The paths of all files that versions have, each with its sha256."""
        rows = self._versions.all().filter(pl.col("path").is_not_null())
        return dict(rows.select("path", "sha256").iter_rows())

    def names(self) -> Sequence[str]:
        """Names of all models."""
        found: Sequence[str] = self._versions.all()["name"].drop_nulls().unique().sort().to_list()
        return found

    def recipe_of(self, name: str) -> dict[str, Any]:
        """How the newest version of a model was trained, for training it again on newer rows.

        Returns:
            manifest: of its data set (empty for a plain frame); options: for :meth:`train`, with features where they
            were named; learnt: the features of the newest version; by: symbol or regime, or None where there is but the
            general model; live: whether one is.

        Raises:
            UnknownModelError: there is no such model.
        """
        rows = self._versions.all({"name": name})
        if not rows.height:
            raise UnknownModelError("there is no such model", where="models", value=name)
        return recipe_of_rows(self._engine, rows)

    def retrain_info(self, name: str, policy: Policy = _POLICY) -> RetrainInfo:
        """Whether a model is to be trained again, and why: too much is new, it is old, its calibration has drifted.

        Args:
            name: of the model; of one that there is not yet it tells whether there are rows enough for a first.
            policy: when; 30 rows to begin with, then every 50, after 7 days, or on drift over the last 200.
        """
        policy = checked_policy(policy)
        rows = self._versions.all({"name": checked_name(name)})
        general = rows.filter((pl.col("symbol").fill_null("") == "") & (pl.col("regime").fill_null("") == ""))
        live = general.filter(pl.col("stage") == "live")
        newest = general.row(-1, named=True) if general.height else None
        at_work = live.row(-1, named=True) if live.height else None
        return retrain_info(self._outcomes, name, newest, at_work, self._versions.all({"stage": "live"}), policy)

    def guard(
        self, name: str | None = None, symbol: str | None = None, regime: str | None = None, policy: Policy = _POLICY
    ) -> Guard:
        """Whether the live model may be traded on: not when too few of its last 200 resolved yeses won.

        Counted are rows to which the live version said yes (score at or above its threshold): predictions, decisions
        and phantoms that name it as model_version; the score of a phantom is its ml_score, the probability times 100.
        Phantoms that name no model count where they were made since it is live, and it serves their symbol and regime.

        Raises:
            UnknownModelError: none is live.
        """
        policy = checked_policy(policy)
        all_live = self._versions.all({"stage": "live"})
        return guard(self._outcomes, self.find(name, "live", symbol, regime), all_live, policy)

    def prune(self, name: str) -> int:
        """Remove files of versions that are neither live, nor to be gone back to, nor among the newest; rows stay."""
        rows = self._versions.all({"name": name})
        gone: list[str] = []
        for part in rows.partition_by("symbol", "regime"):
            head = self._versions.last_live(name, part["symbol"][0] or "", part["regime"][0] or "")
            line = [] if head is None else stack(head["live_before"])[-self._keep :]
            wanted = line if head is None or head["stage"] != "live" else [*line, head["version"]]
            idle = part.filter(~pl.col("version").is_in(wanted) & pl.col("path").is_not_null())
            old = idle.head(max(0, idle.height - self._keep)).iter_rows(named=True)
            gone += [row["path"] for row in old if self._versions.forget_file(row["version"])]
        known = set(rows["path"].drop_nulls().to_list())
        stale = now_micros() - _ORPHAN_MICROS
        files = self._writer.store.location.list(f"{storing.FOLDER}/{name}")
        gone += [e.path for e in files if e.path not in known and e.modified_micros < stale]
        self._writer.store.location.delete(gone)
        return len(gone)
