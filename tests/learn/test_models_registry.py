"""The registry: what is saved is what is loaded; stages; what is cut off or changed is never half known."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import polars as pl
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import lake
from lake.errors import (
    CorruptLakeError,
    FeatureMismatchError,
    InvalidRowError,
    LifeCycleError,
    NotEnoughRowsError,
    UnknownModelError,
    UnknownRowError,
    UsageError,
)
from lake.learn.models import storing
from lake.learn.models.ledger import Versions
from lake.learn.models.model import Model
from lake.learn.models.registry import Models
from lake.store.backup import backup, restore
from tests.helpers import finished, spawned
from tests.learn.dataset_lakes import at, bars, phantom
from tests.learn.models_made import NAMES, SMALL, rows, small_model
from tests.s3_servers import S3Service


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


@pytest.fixture
def lk(tmp_path: Path):
    with lake.open(tmp_path / "lake", bot_id="b") as opened:
        yield opened


def live(lk: lake.Lake) -> list[str]:
    return lk.models.list(stage="live")["version"].to_list()


def test_what_is_loaded_says_what_was_saved(lk: lake.Lake, model: Model) -> None:
    saved = lk.models.save(model)
    lk.models.promote(saved.version)
    loaded = lk.models.load()
    assert (loaded.version, loaded.stage) == (saved.version, "live")
    assert loaded.about() == saved.about()
    assert loaded.predict(rows(50)).equals(model.predict(rows(50)))


def test_on_s3_too(moto: S3Service, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_HOT_FOLDER", str(tmp_path))
    with lake.open(f"s3://{moto.new_bucket()}/lake", bot_id="b", storage_options=moto.options) as lk:
        for version in ("v1", "v2"):
            lk.models.save(model, version=version)
            lk.models.promote(version)
        lk.drain()
        assert lk.models.rollback() == "v1"
        assert lk.models.load().predict(rows(20)).equals(model.predict(rows(20)))


def test_a_restored_backup_predicts_as_before(lk: lake.Lake, model: Model, tmp_path: Path) -> None:
    lk.models.promote(lk.models.save(model).version)
    backup(lk.store, tmp_path / "backup")
    restore(tmp_path / "backup", str(tmp_path / "again"))
    with lake.open(tmp_path / "again") as again:
        assert again.models.load().predict(rows(20)).equals(model.predict(rows(20)))


def test_every_changed_byte_of_a_file_is_found(lk: lake.Lake, model: Model) -> None:
    lk.models.save(model, version="v")
    path = Path(lk.location.url(lk.models.show("v")["path"]))
    good = path.read_bytes()
    for place in (0, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(CorruptLakeError, match="the model's file has changed: its sha256 is"):
            lk.models.load(version="v")
    path.write_bytes(good[:-1])
    with pytest.raises(CorruptLakeError, match="has changed"):
        lk.models.load(version="v")
    path.unlink()
    with pytest.raises(CorruptLakeError, match="the model's file is gone"):
        lk.models.load(version="v")


def test_joblib_needs_a_word_that_says_what_it_risks_on_both_sides(lk: lake.Lake, model: Model) -> None:
    with pytest.raises(UsageError, match="runs whatever code its author put into it. Say allow_pickle=True"):
        lk.models.save(model, form="joblib")
    lk.models.save(model, version="v", form="joblib", allow_pickle=True)
    with pytest.raises(UsageError, match="runs whatever code"):
        lk.models.load(version="v")
    assert lk.models.load(version="v", allow_pickle=True).predict(rows(9)).equals(model.predict(rows(9)))


def test_types_that_are_not_named_are_not_loaded(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    data = storing.dump(model)
    digest = storing.hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(storing, "TRUSTED", storing.TRUSTED[:-1])
    with pytest.raises(UsageError, match=r"types that are not trusted \(got \['sklearn.tree._tree.Tree'\]\)"):
        storing.load(data, digest)
    assert storing.load(data, digest, trusted=["sklearn.tree._tree.Tree"]).name == "m"


def test_a_save_that_is_cut_off_between_file_and_row_leaves_nothing_known(tmp_path: Path, model: Model) -> None:
    process = spawned(_die_between, str(tmp_path / "lake"))
    process.join(120)
    assert process.exitcode == 9
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        files = list((tmp_path / "lake" / storing.FOLDER).rglob("*.skops"))
        assert len(files) == 1
        assert lk.models.list().is_empty()
        os.utime(files[0], (0, 0))  # a day later
        lk.models.save(model, version="v")
        assert [f.name.split("-")[0] for f in (tmp_path / "lake" / storing.FOLDER).rglob("*.skops")] == ["v"]


def _die_between(path: str) -> None:
    Versions.insert = lambda *_: os._exit(9)  # type: ignore[method-assign,assignment]
    with lake.open(path, bot_id="b") as lk:
        lk.models.save(small_model())


def test_of_processes_that_promote_at_once_one_version_is_live(tmp_path: Path, model: Model) -> None:
    path = tmp_path / "lake"
    with lake.open(path, bot_id="b") as lk:
        for number in range(4):
            lk.models.save(model, version=f"v{number}")
    finished(*(spawned(_promote_often, str(path), f"p{i}") for i in range(2)))
    with lake.open(path, bot_id="b") as lk:
        assert len(live(lk)) == 1
        seen = live(lk)
        while True:  # every step of the way back leaves one live as well
            try:
                seen.append(lk.models.rollback())
            except LifeCycleError:
                break
            assert live(lk) == [seen[-1]]
    assert 8 <= len(seen) <= 16  # of 16 promotions; of two processes in step each finds half of its own done


def _promote_often(path: str, bot: str) -> None:
    with lake.open(path, bot_id=bot) as lk:
        for number in range(8):
            lk.models.promote(f"v{number % 4}")


def test_a_version_is_saved_once(lk: lake.Lake, model: Model) -> None:
    lk.models.save(model, version="v")
    with pytest.raises(LifeCycleError, match="there is such a version"):
        lk.models.save(model, version="v")
    assert lk.models.load(version="v").name == "m"


def test_what_there_is_not_is_said_by_name(lk: lake.Lake, model: Model) -> None:
    with pytest.raises(UnknownModelError, match="models, any name: no model is live"):
        lk.models.load()
    with pytest.raises(UnknownModelError, match="no such version"):
        lk.models.promote("v")
    lk.models.save(model, version="v")
    lk.models.promote("v")
    with pytest.raises(LifeCycleError, match="no version was live before it"):
        lk.models.rollback()
    lk.models.save(model, "other", version="w")
    lk.models.promote("w")
    with pytest.raises(UsageError, match="which model.*m, other"):
        lk.models.load()
    for name in ("", "a/b", "../x", "x" * 65):
        with pytest.raises(UsageError, match="letters, digits"):
            lk.models.save(Model(**{**vars(model), "name": name or "/"}))


def test_the_newest_files_are_kept_and_the_live_one_always(tmp_path: Path, model: Model) -> None:
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        few = Models(lk.writer, lk._engine, keep=2)
        few.save(model, version="v0")
        few.promote("v0")
        for number in range(1, 6):
            few.save(model, version=f"v{number}")
        held = {row["version"]: row["path"] for row in lk.read("model_versions").to_dicts()}
        assert sorted(v for v, path in held.items() if path) == ["v0", "v4", "v5"]
        assert sorted(held) == [f"v{n}" for n in range(6)]
        files = {str(f.relative_to(tmp_path / "lake")) for f in (tmp_path / "lake" / storing.FOLDER).rglob("*.skops")}
        assert files == {path for path in held.values() if path}
        with pytest.raises(LifeCycleError, match="its file was removed"):
            few.load(version="v1")
        with pytest.raises(LifeCycleError, match="its file was removed"):
            few.promote("v1")
        assert live(lk) == ["v0"]


def test_a_symbol_without_a_model_of_its_own_has_the_general_one(lk: lake.Lake) -> None:
    frame = pl.concat([rows(60, symbol="BTCUSDT"), rows(40, symbol="ETHUSDT", seed=1), rows(9, symbol="XRPUSDT")])
    made = lk.models.train_each(frame, "m", "symbol", features=NAMES, recipe=SMALL, promote=True)
    assert set(made.models) == {"", "BTCUSDT", "ETHUSDT"}
    assert list(made.skipped) == ["XRPUSDT"]
    assert "9 labelled rows are too few" in made.skipped["XRPUSDT"]
    assert len(live(lk)) == 3
    assert lk.models.load("m", symbol="BTC/USDT").version == made.models["BTCUSDT"].version
    assert lk.models.load("m", symbol="XRPUSDT").version == made.models[""].version
    assert lk.models.load("m", symbol="ETHUSDT", regime="calm").symbol == "ETHUSDT"
    assert lk.models.load("m").symbol == ""
    with pytest.raises(UnknownModelError, match="none is live for these alone"):
        lk.models.rollback("m", symbol="XRPUSDT")


def test_a_run_is_a_row_whether_a_model_came_of_it_or_not(lk: lake.Lake) -> None:
    with pytest.raises(NotEnoughRowsError):
        lk.models.train(rows(10), "m", features=NAMES)
    with pytest.raises(FeatureMismatchError, match="zz is missing"):
        lk.models.train(rows(60), "m", features=["zz"])
    made = lk.models.train(rows(60), "m", features=NAMES, recipe={**SMALL.as_dict(), "seed": 3})
    runs = lk.read("training_runs").sort("started_at")
    assert runs["status"].to_list() == ["failed", "failed", "done"]
    assert "NotEnoughRowsError" in runs["error"][0]
    assert runs["rows"].to_list() == [None, None, 60]
    assert (runs["duration_seconds"] >= 0).all()
    row = lk.models.show(made.version)
    assert row["run_id"] == runs["run_id"][2]
    again = lk.models.recipe_of("m")
    assert again["options"]["recipe"] == {**SMALL.as_dict(), "seed": 3}
    assert again["options"]["features"] == NAMES


def test_for_asyncio_too(tmp_path: Path, model: Model) -> None:
    async def run() -> None:
        async with await lake.open_async(tmp_path / "lake", bot_id="b") as alk:
            await alk.models.save(model, version="v1")
            made = await alk.models.train(rows(60), "m", features=NAMES, recipe=SMALL)
            await asyncio.gather(alk.models.promote("v1"), alk.models.promote(made.version))
            loaded = await alk.models.load()
            other = await alk.models.rollback()
            assert {loaded.version, other} == {"v1", made.version}
            assert not (await alk.models.retrain_info("m")).due

    asyncio.run(run())


class Stages(RuleBasedStateMachine):
    """The registry against a list that is the line of live versions."""

    @initialize()
    def start(self) -> None:
        self.folder = tempfile.mkdtemp(dir=self.base)
        self.lk = lake.open(self.folder, bot_id="b")
        self.saved: list[str] = []
        self.line: list[str] = []
        self.retired: set[str] = set()

    base: Path
    model: Model

    @precondition(lambda self: len(self.saved) < 4)
    @rule()
    def save(self) -> None:
        version = f"v{len(self.saved)}"
        self.lk.models.save(self.model, version=version)
        self.saved.append(version)
        self.check()

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def promote(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.saved))
        self.lk.models.promote(version)
        self.retired.discard(version)
        if self.line[-1:] != [version]:
            self.line.append(version)
        self.check()

    @precondition(lambda self: self.line)
    @rule()
    def rollback(self) -> None:
        before = self.line[:-1]
        while before and before[-1] in self.retired:
            before.pop()
        if not before:
            with pytest.raises(LifeCycleError, match="no version was live before it, or all were retired"):
                self.lk.models.rollback("m")
        else:
            assert self.lk.models.rollback("m") == before[-1]
            self.line = before
        self.check()

    @precondition(lambda self: self.line)
    @rule()
    def retire_the_live_one(self) -> None:
        self.lk.models.retire(self.line[-1])
        self.retired.add(self.line[-1])
        self.check()

    @precondition(lambda self: self.saved)
    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        version = data.draw(st.sampled_from(self.saved))
        self.lk.models.retire(version)
        self.retired.add(version)
        self.check()

    @rule()
    def drain(self) -> None:
        self.lk.drain()
        self.check()

    @rule()
    def restart(self) -> None:
        self.lk.close()
        self.lk = lake.open(self.folder, bot_id="b")
        self.check()

    def check(self) -> None:
        assert live(self.lk) == [v for v in self.line[-1:] if v not in self.retired]

    def teardown(self) -> None:
        if hasattr(self, "lk"):
            self.lk.close()


def test_any_sequence_of_promotions_and_rollbacks_leaves_the_right_one_live(tmp_path: Path, model: Model) -> None:
    class Machine(Stages):
        base = tmp_path

    Machine.model = model
    run = Machine.TestCase
    run.settings = settings(
        max_examples=8, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run("runTest").runTest()


def test_a_version_that_was_retired_by_hand_never_comes_back_by_rollback(lk: lake.Lake, model: Model) -> None:
    for version in ("v0", "v1", "v2"):
        lk.models.save(model, version=version)
        lk.models.promote(version)
    lk.models.retire("v1")
    assert lk.models.rollback("m") == "v0"
    with pytest.raises(LifeCycleError, match="m.*no version was live before it, or all were retired|v0.*all were"):
        lk.models.rollback("m")
    assert live(lk) == ["v0"]
    lk.models.promote("v1")
    assert lk.models.rollback("m") == "v0", "who promotes it again has thought better of it"


def test_after_the_live_one_was_retired_the_way_back_is_still_there(lk: lake.Lake, model: Model) -> None:
    for version in ("v0", "v1", "v2"):
        lk.models.save(model, version=version)
    lk.models.promote("v0")
    lk.models.promote("v1")
    lk.models.retire("v1")
    assert live(lk) == []
    assert lk.models.rollback("m") == "v0"
    lk.models.promote("v1")
    lk.models.retire("v1")
    lk.models.promote("v2")
    assert lk.models.rollback("m") == "v0"
    lk.models.retire("v0")
    with pytest.raises(LifeCycleError, match="all were retired or their files removed"):
        lk.models.rollback("m")
    with pytest.raises(UnknownModelError, match="none is live for these alone"):
        lk.models.rollback("other")


def test_the_way_back_stays_however_many_candidates_come(lk: lake.Lake, model: Model) -> None:
    few = Models(lk.writer, lk._engine, keep=2)
    for number in range(8):
        few.save(model, version=f"v{number}")
        if number < 2:
            few.promote(f"v{number}")
    assert few.rollback("m") == "v0"
    assert few.load("m").version == "v0"


def test_a_check_of_the_lake_finds_model_files_that_are_changed_or_missing(lk: lake.Lake, model: Model) -> None:
    for version in ("whole", "changed", "missing"):
        lk.models.save(model, version=version)
    report = lk.verify()
    assert (report.ok, report.named_files) == (True, 3)
    paths = {name: str(lk.models.show(name)["path"]) for name in ("changed", "missing")}
    changed = Path(lk.location.url(paths["changed"]))
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    Path(lk.location.url(paths["missing"])).unlink()
    lk.drain()
    found = {finding.where: finding.what for finding in lk.verify().findings}
    assert found.keys() == set(paths.values())
    assert "it has changed: its sha256 is" in found[paths["changed"]]
    assert found[paths["missing"]] == "the file is missing"


def test_a_version_whose_file_is_gone_or_changed_does_not_become_live(lk: lake.Lake, model: Model) -> None:
    for version in ("good", "gone"):
        lk.models.save(model, version=version)
    lk.models.promote("good")
    path = Path(lk.location.url(lk.models.show("gone")["path"]))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptLakeError, match="has changed"):
        lk.models.promote("gone")
    path.unlink()
    with pytest.raises(CorruptLakeError, match="is gone"):
        lk.models.promote("gone")
    assert lk.models.load("m").version == "good"


def test_arguments_that_do_not_exist_and_features_that_tell_the_outcome_are_refused(lk: lake.Lake) -> None:
    with pytest.raises(UsageError, match="unknown arguments"):
        lk.models.train(rows(60), "m", features=["a"], wieght="weight_recency")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="tell the outcome"):
        lk.models.train(rows(60), "m", features=["a", "label_rr"])
    assert lk.models.list().is_empty()


def _levels(side: str) -> dict[str, Any]:
    return {
        "side": side,
        **({"stop_loss": 99.0, "tp1": 102.0} if side == "LONG" else {"stop_loss": 101.0, "tp1": 98.0}),
    }


def _sided(path: Path) -> lake.Lake:
    """Phantoms whose win depends on the side alone."""
    lk = lake.open(path, bot_id="bot")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        lk.candles.write(bars(symbol, "binance"), "1m", symbol=symbol, venue="binance")
    phantoms = []
    for n in range(240):
        side, score = ("LONG", "SHORT")[n % 2], float(n * 37 % 100)
        won = (side == "LONG") != (n % 7 == 0)
        more = {**_levels(side), "ml_score": score, "outcome": "win" if won else "loss"}
        phantoms.append(phantom(n, 60 + 5 * n, venue="binance", realized_rr=2.0 if won else -1.0, **more))
    lk.write("phantoms", phantoms)
    return lk


def _signal(name: str, symbol: str) -> dict[str, Any]:
    return {
        "signal_id": name, "symbol": symbol, "venue": "binance", "timeframe": "1m", "signal_type": "BUY",
        "strategy": "cross", "direction": "LONG", "entry_price": 100.0, "stop_loss": 99.0, "tp1": 102.0,
        "signal_time": at(1400),
    }  # fmt: skip


def test_a_row_that_was_just_recorded_is_predicted_with_the_features_of_the_data_set(tmp_path: Path) -> None:
    with _sided(tmp_path / "lake") as lk:
        data = lk.datasets.build("sided", "phantoms")
        model = lk.models.train(data, "scorer", promote=True, recipe=SMALL)
        last = data.frame.tail(5)
        found = lk.models.predict("scorer", last["id"].to_list())
        expected = model.predict(last.select(data.manifest.features.keys()))
        assert found.select(expected.columns).equals(expected)
        assert found["missing"].to_list() == [0] * 5
        fresh = dict.fromkeys(("outcome", "exit_time", "pnl_percent", "realized_rr"))
        for number, side in ((9001, "LONG"), (9002, "SHORT")):
            more = {**fresh, **_levels(side), "symbol": "BTCUSDT", "venue": "binance", "ml_score": 90.0}
            lk.write("phantoms", [phantom(number, 1400, status="active", **more)])
        said = lk.models.predict("scorer", ["p9002", "p9001"])
        assert said["id"].to_list() == ["p9002", "p9001"]
        assert said["version"].to_list() == [model.version] * 2
        assert said["probability"][1] > 0.5 > said["probability"][0]  # the side alone tells them apart
        with pytest.raises(UnknownRowError, match="no such phantoms.*p9999"):
            lk.models.predict("scorer", ["p9001", "p9999"])
        lk.write("signals", [_signal("s", "BTCUSDT")])
        with pytest.raises(FeatureMismatchError, match="signals do not record .*recorded.ml_score"):
            lk.models.predict("scorer", "s", source="signals")
        lk.models.train(rows(), "framed", promote=True, recipe=SMALL, features=NAMES)
        with pytest.raises(UsageError, match="trained on a frame"):
            lk.models.predict("framed", "p9001")
        with pytest.raises(UsageError, match="several different ones"):
            lk.models.predict("scorer", [])


def test_a_recorded_number_may_have_a_fraction_where_the_data_set_had_none(tmp_path: Path) -> None:
    with _sided(tmp_path / "lake") as lk:
        fresh = dict.fromkeys(("outcome", "exit_time", "pnl_percent", "realized_rr"))
        for number, rsi in enumerate((55, 55.5, "high")):
            features = {"rsi": rsi, "book": {"spread": 1.0}}
            lk.write("phantoms", [phantom(9000 + number, 1400, status="active", **fresh, features=features)])
        for name, recorded in (("as_is", True), ("typed", {"features.rsi": "Int64"})):
            data = lk.datasets.build(name, "phantoms", None, recorded=recorded)
            assert data.manifest.features["features.rsi"] == "Int64"
            lk.models.train(data, name, promote=True, recipe=SMALL)
        said = lk.models.predict("as_is", ["p9000", "p9001"])
        assert said["missing"].to_list() == [0, 0]
        with pytest.raises(InvalidRowError, match="p9002, features.rsi: the value does not fit Float64"):
            lk.models.predict("as_is", ["p9002"])
        assert lk.models.predict("typed", ["p9000", "p9001", "p9002"])["missing"].to_list() == [0, 1, 1]


def test_the_score_of_a_model_is_no_feature_of_its_successor_and_that_of_another_program_is(tmp_path: Path) -> None:
    with _sided(tmp_path / "lake") as lk:
        first = lk.models.train(lk.datasets.build("d", "phantoms", None), "m", promote=True, recipe=SMALL)
        assert "recorded.ml_score" in first.schema.names
        said = lk.models.predict("m", [f"p{n:04d}" for n in range(240)])
        for row in said.iter_rows(named=True):
            lk.patch("phantoms", row["id"], {"model_version": row["version"]})
        assert "recorded.ml_score" in lk.datasets.build("d", "phantoms", None).features  # named too late to count
        fresh = dict.fromkeys(("outcome", "exit_time", "pnl_percent", "realized_rr"))
        over = {"outcome": "win", "exit_time": at(1410), "pnl_percent": 1.0, "realized_rr": 1.0}
        for number, more in enumerate((over, {**fresh, "status": "active"})):
            lk.write("phantoms", [phantom(9000 + number, 1400, **more, ml_score=77.0, model_version=first.version)])
        data = lk.datasets.build("d", "phantoms", None)
        assert data.manifest.notes["own_scores"] == 1
        assert data.frame.filter(id="p9000")["recorded.ml_score"].to_list() == [None]
        assert data.frame["recorded.ml_score"].null_count() == 1
        assert data.audit().passed
        assert lk.models.predict("m", ["p9001"], version=first.version)["missing"].to_list() == [1]
        kept = lk.datasets.build("d", "phantoms", None, own_scores=True)
        assert kept.frame.filter(id="p9000")["recorded.ml_score"].to_list() == [77.0]
        older = {name: value for name, value in kept.manifest.request.items() if name != "own_scores"}
        assert lk.datasets.rebuild({**kept.manifest.as_dict(), "request": older}).frame.equals(kept.frame)


def test_one_model_tells_strategies_apart_and_knows_nothing_of_a_new_one(tmp_path: Path) -> None:
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        won = {name: {"outcome": "win", "realized_rr": 2.0} for name in ("good",)}
        lost = {"outcome": "loss", "realized_rr": -1.0}
        names = [("good", "bad")[n % 2] for n in range(120)]
        lk.write("phantoms", [phantom(n, 5 * n, strategy=s, **won.get(s, lost)) for n, s in enumerate(names)])
        data = lk.datasets.build("told", "phantoms", None, recorded=False)
        assert data.audit().passed
        lk.models.train(data, "m", promote=True, recipe=SMALL)
        fresh: dict[str, Any] = {**dict.fromkeys(lost), "exit_time": None, "pnl_percent": None, "status": "active"}
        news = ("good", "bad", "new", None)
        lk.write("phantoms", [phantom(900 + n, 900, strategy=s, **fresh) for n, s in enumerate(news)])
        said = lk.models.predict("m", [f"p090{n}" for n in range(4)])
        good, bad, new, _ = said["score"]
        assert good > new > bad
        assert said["missing"].to_list() == [0, 0, 0, 1]


def test_a_model_is_loaded_once_however_often_it_predicts_and_another_as_soon_as_it_is_live(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _sided(tmp_path / "lake") as lk:
        data = lk.datasets.build("plain", "phantoms", None, recorded=False)
        made = lk.models.train_each(data, "each", "symbol", promote=True, recipe=SMALL).models
        loaded: list[str] = []
        load, find, asked = storing.load, lk.models._versions.all, []
        monkeypatch.setattr(storing, "load", lambda *a, **k: loaded.append(a[1]) or load(*a, **k))  # type: ignore[func-returns-value]
        monkeypatch.setattr(lk.models._versions, "all", lambda *a: asked.append(a) or find(*a))  # type: ignore[func-returns-value]
        ids = data.frame["id"].to_list()
        first = lk.models.predict("each", ids)
        assert len(loaded) == 3  # the general one, and one for each of two symbols
        assert len(asked) == 1 + data.frame.select("symbol", "regime").n_unique()
        assert lk.models.predict("each", ids).equals(first)
        assert len(loaded) == 3
        again = lk.models.train(data, "each", promote=True, recipe={**SMALL.as_dict(), "seed": 9})
        lk.models.retire(made["ETHUSDT"].version)
        said = lk.models.predict("each", ids)
        assert set(said["version"]) == {again.version, made["BTCUSDT"].version}
        assert lk.models.predict("each", ids, version=made[""].version)["version"].unique().to_list() == [
            made[""].version
        ]


def test_the_model_of_a_symbol_predicts_its_rows_and_signals_are_predicted_like_phantoms(tmp_path: Path) -> None:
    with _sided(tmp_path / "lake") as lk:
        data = lk.datasets.build("plain", "phantoms", recorded=False)
        made = lk.models.train_each(data, "each", "symbol", promote=True, recipe=SMALL)
        lk.models.retire(made.models["ETHUSDT"].version)
        lk.write("signals", [_signal(symbol, symbol) for symbol in ("BTCUSDT", "ETHUSDT")])
        found = lk.models.predict("each", ["ETHUSDT", "BTCUSDT"], source="signals")
        assert found["version"].to_list() == [made.models[""].version, made.models["BTCUSDT"].version]
        assert found["missing"].to_list() == [0, 0]
        lk.models.retire(made.models[""].version)
        (said,) = lk.models.predict("each", "BTCUSDT", source="signals")["version"]
        assert said == made.models["BTCUSDT"].version
        with pytest.raises(UnknownModelError, match="no model is live"):
            lk.models.predict("each", ["ETHUSDT"], source="signals")
        lk.models.retire(said)
        with pytest.raises(UnknownModelError, match="no model is live"):
            lk.models.predict("each", ["BTCUSDT"], source="signals")
