"""Pickled models are catalogued by their bytes, and nothing in them runs unless it is asked for."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler

import lake
from lake.cli import main
from lake.importers.run import import_from
from tests.importers.conftest import Redis
from tests.importers.contract import imported, notes, rows


class Trap:
    """When it is loaded it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as lk:
        yield lk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As a signal bot writes it: ml_engine's model, scaler and two JSON files."""
    folder = tmp_path / "models"
    folder.mkdir()
    rng = np.random.default_rng(1)
    forest = RandomForestClassifier(3, random_state=1).fit(rng.random((40, 2)), [0, 1] * 20)
    joblib.dump(forest, folder / "ml_model.pkl")
    joblib.dump(StandardScaler().fit(rng.random((40, 2))), folder / "ml_scaler.pkl")
    joblib.dump(forest, folder / "random_forest_BTC_USD.joblib")
    history = [{"accuracy": 0.61, "samples": 40}, {"accuracy": 0.66, "samples": 60}]
    (folder / "ml_performance.json").write_text(json.dumps(history))
    (folder / "ml_feature_importance.json").write_text(json.dumps({"rsi": 0.2, "volume_ratio": 0.8}))
    return folder


def test_a_folder_of_models_is_catalogued_with_hashes_and_metrics(lk: lake.Lake, folder: Path) -> None:
    report = imported(lk, "models", folder)
    assert (report.totals["found"], report.totals["landed"]) == (3, 3)
    assert rows(lk, "model_versions", "name", "symbol", "stage", "format") == [
        ("ml_model", "", "candidate", "pickle"),
        ("ml_scaler", "", "retired", "pickle"),
        ("random_forest", "BTCUSD", "candidate", "pickle"),
    ]
    model = lk.read("model_versions", {"name": "ml_model"}).row(0, named=True)
    digest = hashlib.sha256((folder / "ml_model.pkl").read_bytes()).hexdigest()
    assert model["sha256"] == digest
    assert lk.store.location.read(model["path"]) == (folder / "ml_model.pkl").read_bytes()
    assert json.loads(model["feature_schema"])["kinds"] == {"rsi": "number", "volume_ratio": "number"}
    metrics = json.loads(model["metrics"])
    assert metrics["overall"] == {"accuracy": 0.66, "samples": 60}
    assert metrics["importance"][0] == {"feature": "volume_ratio", "weight": 0.8}
    assert json.loads(model["extra"])["imported"]["models:models"]["size"] == (folder / "ml_model.pkl").stat().st_size
    assert "catalogued, and not loaded" in notes(report)
    lk.drain()
    assert lk.verify().ok


def test_a_metric_that_python_wrote_as_nan_is_null_and_the_others_are_kept(lk: lake.Lake, folder: Path) -> None:
    (folder / "ml_performance.json").write_text(json.dumps({"accuracy": 0.66, "f1": float("nan")}))
    report = imported(lk, "models", folder)
    assert not report.failed
    metrics = json.loads(lk.read("model_versions", {"name": "ml_model"})["metrics"].item())
    assert {name: metrics[name] for name in ("accuracy", "f1")} == {"accuracy": 0.66, "f1": None}


def test_nothing_in_a_pickle_runs_unless_it_is_asked_for(lk: lake.Lake, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "trap.pkl").write_bytes(pickle.dumps(Trap(mark)))
    import_from(lk, "models", str(tmp_path / "models"))
    (version,) = rows(lk, "model_versions", "version")
    assert lk.models.show(version)["format"] == "pickle"
    for use in (
        lambda: lk.models.load(version=version),
        lambda: lk.models.load("trap", stage="candidate"),
        lambda: lk.models.promote(version),
        lambda: lk.models.unpickled(version),
    ):
        with pytest.raises(lake.UsageError, match="runs whatever code its author put into it"):
            use()
    assert lk.models.list()["stage"].to_list() == ["candidate"]
    assert not mark.exists()
    lk.models.unpickled(version, allow_pickle=True)
    assert mark.exists()


def test_with_the_opt_in_an_import_tells_what_is_in_the_pickles(lk: lake.Lake, folder: Path) -> None:
    import_from(lk, "models", str(folder))
    report = import_from(lk, "models", str(folder), options_with_pickle())
    assert report.totals["changed"] == 3
    again = import_from(lk, "models", str(folder), options_with_pickle())
    assert (report.balanced, again.balanced, again.totals["landed"]) == (True, True, 0)
    assert "runs whatever code its author put into it" in notes(report)
    scaler = lk.read("model_versions", {"name": "ml_scaler"}).row(0, named=True)
    inside = json.loads(scaler["extra"])["imported"]["models:models"]["inside"]
    assert inside == {"type": "sklearn.preprocessing._data.StandardScaler", "n_features": 2}


def test_a_dry_run_runs_nothing_in_a_pickle_though_the_import_may(lk: lake.Lake, tmp_path: Path) -> None:
    mark = tmp_path / "it ran"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "trap.pkl").write_bytes(pickle.dumps(Trap(mark)))
    plan = import_from(lk, "models", str(tmp_path / "models"), options_with_pickle(), dry_run=True)
    assert (plan.totals["landed"], "catalogued, and not loaded" in notes(plan)) == (1, True)
    assert not mark.exists()
    import_from(lk, "models", str(tmp_path / "models"), options_with_pickle())
    assert mark.exists()


def test_models_without_a_time_keep_that_of_their_first_import(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("ml:trend:model", base64.b64encode(pickle.dumps([1, 2])))
    import_from(lk, "models", redis.address)
    first = rows(lk, "model_versions", "created_at")
    again = import_from(lk, "models", redis.address)
    assert (again.totals["landed"], again.totals["differences_found"]) == (0, 0), again.text()
    assert rows(lk, "model_versions", "created_at") == first


def test_a_promoted_pickle_is_loaded_as_what_it_is_and_not_as_a_model_of_the_lake(lk: lake.Lake, folder: Path) -> None:
    import_from(lk, "models", str(folder))
    version = lk.models.list("ml_model")["version"][0]
    lk.models.promote(version, allow_pickle=True)
    assert lk.models.find("ml_model")["version"] == version
    with pytest.raises(lake.UsageError, match="runs whatever code"):
        lk.models.load("ml_model")
    with pytest.raises(lake.UsageError, match="made by another program"):
        lk.models.load("ml_model", allow_pickle=True)
    forest = lk.models.unpickled(version, allow_pickle=True)
    assert forest.predict_proba([[0.1, 0.2]]).shape == (1, 2)
    assert lk.models.recipe_of("ml_model")["manifest"] == {}
    assert lk.models.recipe_of("random_forest")["options"]["features"] == []
    assert not lk.models.retrain_info("ml_model").due
    imported(lk, "models", folder)
    assert lk.models.find("ml_model")["version"] == version


def test_the_command_promotes_a_pickle_only_with_the_opt_in(lk: lake.Lake, folder: Path, tmp_path: Path) -> None:
    import_from(lk, "models", str(folder))
    lk.drain()
    version, where = lk.models.list("ml_model")["version"][0], f"--lake={tmp_path / 'lake'}"
    refused = CliRunner().invoke(main, ["models", "promote", version, where])
    assert (refused.exit_code, "runs whatever code" in refused.output) == (2, True)
    shown = CliRunner().invoke(main, ["models", "show", version, where])
    assert (shown.exit_code, "volume_ratio" in shown.output) == (0, True), shown.output
    assert CliRunner().invoke(main, ["models", "promote", version, where, "--allow-pickle"]).exit_code == 0


def test_files_that_are_no_models_are_refused_or_told(lk: lake.Lake, folder: Path, tmp_path: Path) -> None:
    (folder / "empty.pkl").write_bytes(b"")
    (folder / "ml_performance.json").write_text('[{"accuracy": 0.6')
    report = import_from(lk, "models", str(folder))
    assert (report.failed, report.balanced, report.totals["refused"]) == (True, True, 1)
    assert "ml_performance.json is no JSON" in notes(report)
    broken = tmp_path / "broken.pkl"
    broken.write_bytes(b"\x80\x04 no pickle")
    assert "the pickle cannot be loaded" in notes(import_from(lk, "models", str(broken)) and import_from(
        lk, "models", str(broken), options_with_pickle()))  # fmt: skip
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(lake.LakeError, match="there are no pickles"):
        import_from(lk, "models", str(folder))


@pytest.mark.parametrize(("name", "data"), [("journal.json", b'{"trades": []}'), ("ml_model.pkl", b"<html>404</html>")])
def test_a_file_that_does_not_begin_like_a_pickle_is_refused(
    lk: lake.Lake, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    report = import_from(lk, "models", str(tmp_path / name))
    assert (report.fits_nothing, dict(report.tables[0].reasons)) == (True, {"not a pickle, by its first bytes": 1})


@pytest.mark.parametrize("compress", [0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("lzma", 3), ("xz", 3)])
def test_pickles_of_every_way_to_pack_them_are_catalogued(lk: lake.Lake, tmp_path: Path, compress: Any) -> None:
    joblib.dump(StandardScaler(), tmp_path / "scaler.joblib", compress=compress)
    with (tmp_path / "old.pkl").open("wb") as file:
        pickle.dump({"a": 1}, file, protocol=0)
    assert imported(lk, "models", tmp_path).totals["landed"] == 2


def options_with_pickle() -> Any:
    return lake.importers.base.Options(allow_pickle=True)


def test_models_of_redis_are_catalogued_once_though_they_are_mirrored(
    lk: lake.Lake, redis: Redis, tmp_path: Path
) -> None:
    mark = tmp_path / "it ran"
    model = base64.b64encode(pickle.dumps(Trap(mark)))
    state = {"completed_trades": 120, "threshold": 70, "nn_enabled": "0", "phantom_weight": 0.8}
    for space in ("ml:trend", "tml"):
        redis.server.set(f"{space}:model", model)
        redis.server.set(f"{space}:scaler", base64.b64encode(pickle.dumps([1, 2])))
        for name, value in state.items():
            redis.server.set(f"{space}:{name}", value)
        redis.server.set(f"{space}:ev_buckets", json.dumps({"70-80": 1.2}))
    redis.server.set("ml:scalp:threshold", 75)
    redis.server.set("ml:scalp:model", "neither")
    report = imported(lk, "models", redis.address)
    assert (report.totals["found"], report.totals["landed"], report.totals["refused"]) == (3, 2, 1)
    assert rows(lk, "model_versions", "name", "stage", "threshold") == [
        ("ml-trend", "candidate", 0.7),
        ("ml-trend-scaler", "retired", None),
    ]
    assert "tml:model holds what ml:trend:model holds: it is taken once" in notes(report)
    metrics = json.loads(lk.read("model_versions", {"name": "ml-trend"})["metrics"][0])
    assert metrics["state"]["completed_trades"] == "120"
    assert not mark.exists()
