"""When to train again and when to halt; the commands and the job, from phantoms to a promoted model and back."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import lake
from jobs import retrain
from jobs.running import once
from lake.cli import main
from lake.errors import UnknownModelError, UsageError
from lake.kernels.scores import wilson
from lake.learn.models.model import Model
from lake.learn.models.policy import Policy
from tests.learn.models_made import NAMES, rows, small_model

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SMALL_WORDS = ("--set", "trees=10", "--set", "rounds=10", "--set", "repeats=0", "--set", "folds=3")


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def lk(tmp_path: Path):
    with lake.open(tmp_path / "lake", bot_id="b") as opened:
        yield opened


def phantoms(
    count: int, first: int = 0, *, start: datetime = T0, wins: Any = None, lasts: float = 3, **more: Any
) -> list[dict[str, Any]]:
    """Completed phantoms an hour apart, over after three; ``a`` of their features tells the outcome."""
    rng = np.random.default_rng(first)
    made = []
    for number in range(first, first + count):
        a = float(rng.normal())
        win = bool(rng.random() < 1 / (1 + np.exp(-2.5 * a))) if wins is None else bool(wins(number))
        begun = start + timedelta(hours=number)
        made.append(
            {
                "phantom_id": f"p{number}", "symbol": "BTCUSDT", "side": "LONG", "signal_time": begun,
                "entry_price": 100.0, "stop_loss": 99.0, "tp1": 101.5, "status": "completed",
                "outcome": "win" if win else "loss", "exit_time": begun + timedelta(hours=lasts), "exit_reason": "tp",
                "pnl_percent": 1.5 if win else -1.0, "realized_rr": 1.5 if win else -1.0,
                "features": {"a": a, "b": float(rng.normal())}, **more,
            }
        )  # fmt: skip
    return made


def test_before_the_first_model_it_waits_for_thirty_rows(lk: lake.Lake) -> None:
    assert lk.models.retrain_info("m").reasons == ("cold start: 0 of 30 resolved rows",)
    lk.write("phantoms", phantoms(29))
    assert not lk.models.retrain_info("m").due
    lk.write("phantoms", phantoms(1, 29))
    found = lk.models.retrain_info("m")
    assert (found.due, found.trigger, found.resolved) == (True, "first", 30)


def test_fifty_new_rows_are_enough_and_fewer_are_not(lk: lake.Lake, model: Model) -> None:
    saved = lk.models.save(model)  # its last label was over 62 hours after T0
    lk.write("phantoms", phantoms(60))  # the last of them at the same time
    assert lk.models.retrain_info("m").new == 0
    lk.write("phantoms", phantoms(49, 60))
    found = lk.models.retrain_info("m")
    assert (found.new, found.due, found.version, found.live) == (49, False, saved.version, None)
    lk.write("phantoms", phantoms(1, 109))
    found = lk.models.retrain_info("m")
    assert (found.new, found.due, found.trigger) == (50, True, "count")


def test_after_seven_days_one_new_row_is_enough_and_none_is_not(lk: lake.Lake, model: Model) -> None:
    saved = lk.models.save(model)
    lk.patch("model_versions", saved.version, {"created_at": datetime.now(UTC) - timedelta(days=7, hours=1)})
    assert not lk.models.retrain_info("m").due
    lk.write("phantoms", phantoms(1, 60))
    found = lk.models.retrain_info("m")
    assert (found.due, found.trigger) == (True, "age")
    assert "it was trained 7.0 days ago, 7 is the limit" in found.reasons[0]


def test_drift_is_a_calibration_that_chance_does_not_explain(lk: lake.Lake, model: Model) -> None:
    lk.models.promote(lk.models.save(model).version)
    future = {"start": datetime.now(UTC) + timedelta(minutes=1), "ml_score": 80.0}
    lk.write("phantoms", phantoms(40, wins=lambda n: n % 5 != 0, **future))
    calibrated = lk.models.retrain_info("m", Policy(every=1000, brier=0.9))
    assert calibrated.calibration["n"] == 40
    assert calibrated.calibration["ece"] == pytest.approx(0.0)
    assert not calibrated.due
    lk.write("phantoms", phantoms(160, 40, wins=lambda n: n % 5 == 0, **future))
    drifted = lk.models.retrain_info("m", Policy(every=1000, brier=0.9))
    assert (drifted.due, drifted.trigger) == (True, "drift")
    assert drifted.calibration["ece"] == pytest.approx(0.8 - 64 / 200)


def test_scores_in_another_unit_halt_and_are_told(lk: lake.Lake, model: Model) -> None:
    """What predict() calls probability is 0-1, the ml_score of a phantom 0-100; predict() gives that, too."""
    saved = lk.models.save(model, version="v")
    lk.models.promote(saved.version)
    said = lk.models.load("m").predict(rows(5))
    assert said["ml_score"].to_list() == pytest.approx((100 * said["probability"]).to_list())
    named = {"start": T0, "model_version": saved.version}
    lk.write("phantoms", phantoms(29, wins=lambda n: n % 5 == 0, **named, ml_score=0.99))
    assert lk.models.guard("m").allowed
    lk.write("phantoms", phantoms(1, 29, wins=lambda _: False, **named, ml_score=0.7))
    found = lk.models.guard("m")
    assert not found.allowed
    assert "all 30 phantoms have an ml_score of at most 1, which is 0-100" in found.reason
    info = lk.models.retrain_info("m")
    assert "ece" not in info.calibration
    assert "ml_score of at most 1" in info.reasons[-1]
    lk.write("phantoms", phantoms(1, 30, wins=lambda _: False, **named, ml_score=99.0))
    assert lk.models.guard("m").reason.startswith("1 resolved rows are too few")


def test_the_guard_halts_when_the_whole_interval_lies_below_the_floor(lk: lake.Lake, model: Model) -> None:
    with pytest.raises(UnknownModelError, match="no model is live"):
        lk.models.guard("m")
    saved = lk.models.save(model)
    lk.models.promote(saved.version)
    lk.patch("model_versions", saved.version, {"threshold": 0.5})
    begun = datetime.now(UTC) + timedelta(minutes=1)
    named = {"start": begun, "lasts": 0.9, "model_version": saved.version}
    lk.write("phantoms", phantoms(20, wins=lambda _: False, **named, ml_score=90.0))
    assert lk.models.guard("m").reason == "20 resolved rows are too few to judge, 30 are needed"
    lk.write("phantoms", phantoms(300, 20, wins=lambda _: True, **named, ml_score=40.0))  # it said no to these
    lk.write("phantoms", phantoms(200, 320, wins=lambda n: n % 3 == 0, **named, ml_score=90.0))
    found = lk.models.guard("m")
    wins = sum(n % 3 == 0 for n in range(320, 520))
    assert (found.n, found.wins, found.allowed) == (200, wins, True)
    assert (found.low, found.high) == tuple(float(b) for b in wilson(wins, 200))
    lk.write("phantoms", phantoms(200, 520, wins=lambda n: n % 4 == 0, **named, ml_score=90.0))
    found = lk.models.guard("m")
    assert (found.n, found.wins, found.allowed) == (200, 50, False)
    assert found.reason == "50 of 200 won: even the upper bound 0.314 is below 0.4"
    assert lk.models.guard("m", policy=Policy(floor=0.3)).allowed


def test_rows_that_overlap_halt_only_when_as_many_independent_ones_would(lk: lake.Lake, model: Model) -> None:
    saved = lk.models.save(model)
    lk.models.promote(saved.version)
    lk.patch("model_versions", saved.version, {"threshold": 0.5})
    named = {"start": T0, "model_version": saved.version, "ml_score": 90.0}
    lk.write("phantoms", phantoms(144, wins=lambda n: n // 16 % 4 == 1, lasts=15, **named))  # spells, good and bad
    found = lk.models.guard("m")
    assert (found.n, found.wins, found.allowed) == (144, 32, True)
    assert found.high is not None
    assert float(wilson(32, 144)[1]) < 0.3
    assert found.high > 0.4


def test_a_model_is_credited_with_what_it_scored_alone(lk: lake.Lake, model: Model) -> None:
    mine, other = lk.models.save(model), lk.models.save(model, "other")
    for version in (mine.version, other.version):
        lk.models.promote(version)
        lk.patch("model_versions", version, {"threshold": 0.5})
    begun = datetime.now(UTC) + timedelta(minutes=1)
    scored = {"start": begun, "ml_score": 90.0, "lasts": 0.9}
    lk.write("phantoms", phantoms(40, wins=lambda _: True, **scored, model_version=mine.version))
    lk.write("phantoms", phantoms(50, 40, wins=lambda _: False, **scored, model_version=other.version))
    found = {name: lk.models.guard(name) for name in ("m", "other")}
    assert [(g.n, g.wins, g.unnamed, g.allowed) for g in found.values()] == [(40, 40, 0, True), (50, 0, 0, False)]
    assert lk.models.retrain_info("m").calibration["n"] == 40
    lk.write("phantoms", phantoms(10, 90, wins=lambda _: True, **scored))
    found = {name: lk.models.guard(name) for name in ("m", "other")}
    assert [(g.n, g.unnamed) for g in found.values()] == [(50, 10), (60, 10)]
    assert found["m"].reason.endswith(
        f"10 of them do not name the model that scored them, and others are live, too: {other.version}"
    )


def test_phantoms_that_name_no_model_count_for_the_nearest_that_serves_them(lk: lake.Lake, model: Model) -> None:
    for symbol in ("", "BTCUSDT"):
        made = lk.models.save(replace(model, symbol=symbol), version=f"v{symbol}")
        lk.models.promote(made.version)
        lk.patch("model_versions", made.version, {"threshold": 0.5})
    scored = {"start": datetime.now(UTC) + timedelta(minutes=1), "ml_score": 90.0, "lasts": 0.9}
    lk.write("phantoms", phantoms(30, **scored, regime="range"))
    lk.write("phantoms", phantoms(20, 30, **scored, symbol="ETHUSDT"))
    assert (lk.models.guard("m").n, lk.models.guard("m", symbol="BTCUSDT").n) == (20, 30)
    assert lk.models.guard("m", symbol="ETHUSDT").version == "v"


def test_rows_whose_outcome_came_late_are_new_however_old_they_are(lk: lake.Lake) -> None:
    lk.write("phantoms", phantoms(60))
    late = phantoms(55, 1_000, start=T0 - timedelta(hours=1_000))  # over before the last of the others
    ended = {"outcome", "exit_time", "exit_reason", "pnl_percent", "realized_rr"}
    lk.write("phantoms", [{n: v for n, v in row.items() if n not in ended} | {"status": "active"} for row in late])
    data = lk.datasets.build("d", "phantoms", None)
    lk.models.train(data, "m", recipe={"trees": 2, "rounds": 2, "repeats": 0, "folds": 2})
    assert lk.models.retrain_info("m").new == 0
    lk.write("phantoms", late)
    found = lk.models.retrain_info("m")
    assert (found.new, found.due, found.trigger, found.told_by) == (55, True, "count", "data set")


def test_where_the_lake_lost_the_versions_of_the_data_set_times_tell_what_is_new(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        lk.write("phantoms", phantoms(60))
        data = lk.datasets.build("d", "phantoms", None)
        lk.models.train(data, "m", recipe={"trees": 2, "rounds": 2, "repeats": 0, "folds": 2})
        lk.datasets.delete("d")
    for first in (60, 80):
        with lake.open(tmp_path / "lake", bot_id="b") as lk:
            lk.write("phantoms", phantoms(20, first))
            lk.drain()
            lk.compact()
            lk.vacuum(grace_hours=0)
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        found = lk.models.retrain_info("m")
        assert (found.told_by, found.new) == ("time", 40)


def test_predictions_count_for_the_version_that_they_name(lk: lake.Lake, model: Model) -> None:
    saved = lk.models.save(model)
    lk.models.promote(saved.version)
    lk.patch("model_versions", saved.version, {"threshold": 0.5})
    for number in range(80):
        lk.write(
            "predictions",
            {
                "prediction_id": f"x{number}", "symbol": "BTCUSDT", "probability": 0.9, "correct": False,
                "model_version": saved.version if number % 2 else "another", "horizon_minutes": 60,
                "predicted_at": T0 + timedelta(hours=number), "due_at": T0 + timedelta(hours=number + 1),
                "resolved_at": T0 + timedelta(hours=number + 1),
            },
        )  # fmt: skip
    found = lk.models.guard("m", policy=Policy(source="predictions"))
    assert (found.n, found.wins, found.allowed) == (40, 0, False)


@pytest.mark.parametrize("bad", [{"every": 0}, {"floor": 1.0}, {"days": 0.0}, {"source": "candles"}])
def test_a_policy_refuses_what_is_none(bad: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="policy"):
        Policy(**bad)


def run(path: Path, *words: str, status: int = 0) -> Any:
    found = CliRunner().invoke(main, [*words, "--lake", str(path), "--json"])
    assert found.exit_code == status, found.output
    return json.loads(found.stdout.splitlines()[0])


def test_from_phantoms_to_a_live_model_and_back_by_commands_and_the_job(tmp_path: Path) -> None:
    path = tmp_path / "lake"
    with lake.open(path, bot_id="b") as lk:
        lk.write("phantoms", phantoms(120))
    run(path, "dataset", "build", "d", "--from", "phantoms", "--features", "none")
    first = run(path, "train", "m", "--dataset", "d", "--promote", *SMALL_WORDS)["models"][0]
    assert first["rows"] == 120
    assert first["auc_low"] > 0.5
    second = run(path, "train", "m", "--dataset", "d", "--search", "depth=2,4", "--jobs", "1", *SMALL_WORDS)
    assert run(path, "models", "promote", second["models"][0]["version"])["live"] == second["models"][0]["version"]
    assert run(path, "models", "rollback", "m")["live"] == first["version"]
    shown = run(path, "models", "show", first["version"])
    assert shown["dataset_manifest"]["name"] == "d"
    assert shown["dataset_manifest"]["content"]["sha256"]
    assert len(shown["metrics"]["folds"]) == 3
    assert run(path, "models", "info", "m")["due"] is False
    assert run(path, "models", "rollback", "m", status=1)["error"].startswith("no version was live before it")
    assert run(path, "train", "m", "--dataset", "d", "--set", "depth", status=2)["error"].startswith("a parameter is")
    with lake.open(path, bot_id="b") as lk:
        assert set(lk.read("training_runs")["status"]) == {"done"}
        assert once("retrain", retrain.work, lk)["waiting"] == {"m": "0 of 50 new resolved rows"}
        lk.write("phantoms", phantoms(60, 120))
        line = once("retrain", retrain.work, lk)
        assert line["ok"], line
        made = line["trained"]["m"]
        assert made["trigger"] == "count"
        assert lk.models.load("m").version == made["live"][0] == made["versions"][0]
        assert lk.models.load("m").metrics["rows"] == 180
        assert lk.read("training_runs").sort("started_at")["trigger"].to_list() == ["by hand", "by hand", "count"]
        assert once("retrain", retrain.work, lk)["waiting"] == {"m": "0 of 50 new resolved rows"}
        assert lk.models.rollback("m") == first["version"]
        features = lk.models.load("m").schema.names
        said = lk.models.load("m").predict([dict.fromkeys(features, 2.0), dict.fromkeys(features, -2.0)])
        assert said["probability"][0] > said["probability"][1]
    assert run(path, "models", "retire", first["version"])["retired"] == first["version"]
    assert {row["stage"] for row in run(path, "models", "list")} == {"retired"}


def test_data_sets_of_the_job_go_with_the_last_model_of_theirs_and_others_stay(lk: lake.Lake) -> None:
    lk.models._keep = 1
    lk.write("phantoms", phantoms(60))
    by_hand = lk.datasets.build("d", "phantoms", None).manifest.hash
    recipe = {"trees": 2, "rounds": 2, "repeats": 0, "folds": 2}
    lk.models.train(lk.datasets.load("d"), "m", recipe=recipe)
    built = []
    for part in range(1, 4):
        lk.write("phantoms", phantoms(50, 10 + 50 * part))
        assert once("retrain", retrain.work, lk)["trained"]["m"]["versions"]
        built.append(lk.datasets.load("d").manifest.hash)
    assert {manifest.hash for manifest in lk.datasets.list("d")} == {by_hand, built[-1]}
    assert sorted(tag for tag in lk.tags() if tag.startswith("dataset-")) == sorted(
        f"dataset-d-{each}" for each in (by_hand, built[-1])
    )


@pytest.mark.parametrize("days", [0, 2])
def test_a_run_of_the_job_that_was_killed_ends_and_its_data_set_goes_and_one_at_work_stays(
    lk: lake.Lake, days: int
) -> None:
    lk.write("phantoms", phantoms(60))
    recipe = {"trees": 2, "rounds": 2, "repeats": 0, "folds": 2}
    lk.models.train(lk.datasets.build("d", "phantoms", None), "m", recipe=recipe)
    lk.write("phantoms", phantoms(20, 60))
    killed = lk.datasets.build("d", "phantoms", None).manifest
    begun = {"model_name": "m", "status": "running", "started_at": datetime.now(UTC) - timedelta(days=days)}
    for run_id, trigger in {"job": "count", "hand": "by hand"}.items():
        manifest = killed.as_dict() if run_id == "job" else {}
        lk.write("training_runs", {**begun, "run_id": run_id, "trigger": trigger, "dataset_manifest": manifest})
    lk.write("phantoms", phantoms(40, 80))
    assert once("retrain", retrain.work, lk)["trained"]["m"]["versions"]
    status = dict(lk.read("training_runs").select("run_id", "status").iter_rows())
    assert (status["job"], status["hand"]) == ("failed" if days else "running", "running")
    assert (killed.hash in {manifest.hash for manifest in lk.datasets.list("d")}) is (days == 0)
    assert (f"dataset-d-{killed.hash}" in lk.tags()) is (days == 0)


def test_a_successor_learns_from_new_features_unless_its_features_were_named(lk: lake.Lake, tmp_path: Path) -> None:
    """As a bot begins to record another one, or an older version of the lake knew fewer."""
    words = ["--set", "trees=2", "--set", "rounds=2", "--set", "repeats=0", "--set", "folds=2"]
    lk.write("phantoms", phantoms(60))
    lk.datasets.build("d", "phantoms", None)
    run(tmp_path / "lake", "train", "all", "--dataset", "d", *words)
    run(tmp_path / "lake", "train", "some", "--dataset", "d", "--features", "features.a, features.b", *words)
    assert {row["name"] for row in run(tmp_path / "lake", "models", "list", "some")} == {"some"}
    with pytest.raises(UsageError, match="no feature is named"):
        lk.models.train(lk.datasets.load("d"), "none", features=[])
    known = set(lk.models.load("all", stage="candidate").schema.names)
    later = phantoms(60, 60)
    lk.write("phantoms", [{**row, "features": {**row["features"], "c": 1.0}} for row in later])
    told = once("retrain", retrain.work, lk)["trained"]
    assert told["all"]["features_added"] == ["features.c"]
    assert "features_added" not in told["some"]
    assert set(lk.models.load("all", stage="candidate").schema.names) == {*known, "features.c"}
    assert set(lk.models.load("some", stage="candidate").schema.names) == {"features.a", "features.b"}


def test_the_job_goes_on_where_one_model_cannot_be_trained(lk: lake.Lake) -> None:
    lk.models.train(rows(60), "plain", features=NAMES, recipe={"trees": 2, "rounds": 2, "repeats": 0})
    lk.write("phantoms", phantoms(200))
    line = once("retrain", retrain.work, lk)
    assert line["ok"]
    assert line["trained"]["plain"]["skipped"] == "it was not trained on a data set of the lake"
