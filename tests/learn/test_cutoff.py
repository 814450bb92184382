"""What a model may remember from its training is no evidence, and nobody is left in doubt about what was counted."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from jobs import retrain
from lake.errors import RebuildError, UsageError
from lake.learn.comparison import Rules
from lake.learn.cutoff import Cutoffs, flagged, guard
from lake.settings import Settings, load

JUNE = datetime(2025, 6, 30, tzinfo=UTC)


def rows(*given: tuple[str | None, datetime]) -> pl.DataFrame:
    schema: dict[str, Any] = {"model_version": pl.String, "made_at": pl.Datetime("us", "UTC")}
    return pl.DataFrame({"model_version": [g[0] for g in given], "made_at": [g[1] for g in given]}, schema=schema)


def test_the_day_of_the_cutoff_is_inside_and_the_next_is_not() -> None:
    last, first = JUNE + timedelta(hours=23, minutes=59, seconds=59), JUNE + timedelta(days=1)
    found = flagged(rows(("m", last), ("m", first), ("other", last), (None, last)), Cutoffs({"m": "2025-06-30"}))
    assert found["inside_training_period"].to_list() == [True, False, None, None]


def test_a_whole_name_goes_before_the_longest_beginning() -> None:
    cutoffs = Cutoffs({"gpt-*": "2024-01-01", "gpt-x*": date(2024, 6, 1), "gpt-x-2": datetime(2025, 1, 1, tzinfo=UTC)})
    days = {name: cutoffs.until(name) for name in ("gpt-x-2", "gpt-x-3", "gpt-4", "llama", None)}
    assert [moment and moment.date() for moment in days.values()] == [
        date(2025, 1, 2), date(2024, 6, 2), date(2024, 1, 2), None, None,
    ]  # fmt: skip


def test_what_is_inside_is_left_out_and_told_and_an_unknown_model_too() -> None:
    given = rows(("m", JUNE), ("m", JUNE + timedelta(days=9)), ("new", JUNE), (None, JUNE))
    found = guard(given, Cutoffs({"m": "2025-06-30"}))
    assert (found.rows.height, found.inside, found.unknown, found.unknown_models) == (3, 1, 2, (None, "new"))
    assert found.notes[0] == "Dated inside their model's training period: 1, left out."
    assert "2, of (no model), new" in found.notes[1]
    kept = guard(given, Cutoffs({"m": "2025-06-30"}), keep_inside=True)
    assert (kept.rows.height, kept.inside) == (4, 1)
    assert kept.notes[0].endswith("1, counted all the same.")
    assert guard(given[1:2], Cutoffs({"m": "2025-06-30"})).notes == ()


def test_no_rows_at_all_are_guarded() -> None:
    found = guard(rows(), Cutoffs({"m": "2025-06-30"}))
    assert (found.rows.height, found.inside, found.notes) == (0, 0, ())


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ({"m": "June"}, r"knowledge_cutoffs, m: a knowledge cutoff is a day \(got 'June'\)"),
        ({"m": 2025}, "a knowledge cutoff is a day"),
        ([1], "knowledge cutoffs are {model version: day}"),
    ],
)
def test_a_bad_cutoff_is_refused_by_name(days: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Cutoffs(days)


def test_the_settings_name_cutoffs_in_the_file_and_in_the_environment() -> None:
    text = '[knowledge_cutoffs]\n"gpt-x.1:beta" = 2025-06-30\nm = "2024-01-31"\n'
    assert load(text, {}).knowledge_cutoffs == {"gpt-x.1:beta": "2025-06-30", "m": "2024-01-31"}
    from_env = load(text, {"LAKE_KNOWLEDGE_CUTOFFS": "a=b=2025-01-01, c=2025-02-01"}).knowledge_cutoffs
    assert from_env == {"a=b": "2025-01-01", "c": "2025-02-01"}
    settings = Settings(knowledge_cutoffs={'odd "name"\\': "2025-01-01", "gpt-*": "2024-02-02"})
    assert tomllib.loads(settings.to_toml())["knowledge_cutoffs"] == settings.knowledge_cutoffs
    assert load(settings.to_toml(), {}) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[knowledge_cutoffs]\nm = 'June'", "setting knowledge_cutoffs.m: it must be a date such as 2025-06-30.*June"),
        ("[knowledge_cutoffs]\nm = 2025", "knowledge_cutoffs.m: it must be a date"),
        ("knowledge_cutoffs = 'm'", "setting knowledge_cutoffs: it must be a table"),
    ],
)
def test_a_bad_setting_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load(text, {})


@pytest.fixture
def lk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[lake.Lake]:
    monkeypatch.setenv("LAKE_KNOWLEDGE_CUTOFFS", "m1=2025-06-30")
    with lake.open(tmp_path / "lake", bot_id="tester") as opened:
        yield opened


def test_a_replay_of_days_that_a_model_was_trained_on_counts_in_no_report_unless_asked_for(lk: lake.Lake) -> None:
    made = []
    for number in range(80):
        inside = number < 40
        at = JUNE - timedelta(days=number) if inside else JUNE + timedelta(days=number)
        for model in ("m1", "m2"):
            right = inside if model == "m1" else number % 2 == 0  # m1 is right where it remembers, and never else
            made.append(
                {
                    "decision_id": f"{model}-{number}", "symbol": "BTCUSDT", "analyzed_at": at, "model_version": model,
                    "recommendation": "LONG", "confidence": 0.6, "outcome_correct": right,
                    "outcome_recorded_at": at + timedelta(hours=1),
                }
            )  # fmt: skip
    lk.write("decisions", made)
    report = lk.calibration.report("model_version")
    of = {row["model_version"]: row for row in report.frame.iter_rows(named=True)}
    assert (of["m1"]["n"], of["m1"]["inside_training_period"], of["m1"]["accuracy"]) == (40, 40, 0.0)
    assert (of["m2"]["n"], of["m2"]["unknown_cutoff"]) == (80, 80)
    assert "40, left out" in report.notes[0]
    assert "80, of m2" in report.notes[1]
    rules = Rules(metrics=("accuracy",))
    [row] = lk.comparison.models("m1", against="m2", rules=rules).frame.to_dicts()
    assert (row["n_candidate"], row["verdict"]) == (40, "worse")
    [seen] = lk.comparison.models("m1", against="m2", rules=rules, keep_inside=True).frame.to_dicts()
    assert (seen["n_candidate"], seen["candidate_value"]) == (80, 0.5)
    everywhere = lk.calibration.report("model_version", cutoffs={"m*": "2030-01-01"})
    assert everywhere.frame["n"].to_list() == [0, 0]
    assert sorted(everywhere.frame["inside_training_period"].to_list()) == [80, 80]


def decided(days: int, model: str, **more: Any) -> dict[str, Any]:
    at = JUNE + timedelta(days=days)
    told = {"outcome_correct": days % 2 == 0, "outcome_recorded_at": at + timedelta(hours=1), "confidence": 0.6}
    return {
        "decision_id": f"{model}{days}", "symbol": "BTCUSDT", "recommendation": "LONG", "analyzed_at": at,
        "model_version": model, "actual_pnl_percent": 1.0, **told, **more,
    }  # fmt: skip


def test_a_data_set_leaves_out_what_a_model_may_remember_and_says_so(lk: lake.Lake) -> None:
    lk.write("decisions", [decided(day, model) for day in (-3, -2, 4, 5) for model in ("m1", "m2")])
    made = lk.datasets.build("d", "decisions", None)
    assert made.frame["id"].to_list() == ["m2-3", "m2-2", "m14", "m24", "m15", "m25"]
    assert made.manifest.excluded == {"inside_training_period": 2}
    assert made.manifest.notes == {"unknown_cutoff": 4}
    assert made.manifest.request["cutoffs"] == {"m1": "2025-06-30"}
    kept = lk.datasets.build("d", "decisions", None, keep_inside=True)
    flagged = kept.frame.filter("flag_inside_training_period")["id"].to_list()
    assert (flagged, kept.frame.height, kept.manifest.excluded) == (["m1-3", "m1-2"], 8, {})
    assert kept.manifest.notes == {"unknown_cutoff": 4, "inside_training_period": 2}
    assert lk.datasets.build("d", "decisions", None, cutoffs={"m*": "2025-07-04"}).frame.height == 2
    assert lk.datasets.build("d", "decisions", None, cutoffs={}).frame.height == 8
    with pytest.raises(UsageError, match="phantoms name no model that could remember.*decisions and predictions"):
        lk.datasets.build("p", "phantoms", None, cutoffs={})


def test_a_data_set_is_rebuilt_byte_for_byte_whatever_the_cutoffs_of_the_settings_become(
    lk: lake.Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    lk.write("decisions", [decided(day, "m1") for day in range(-5, 6)])
    made = lk.datasets.build("d", "decisions", None)
    older = {name: value for name, value in made.manifest.request.items() if name not in {"cutoffs", "keep_inside"}}
    before = Path(made.path).read_bytes()
    lk.close()
    monkeypatch.setenv("LAKE_KNOWLEDGE_CUTOFFS", "m1=2030-01-01")
    with lake.open(lk.location.uri, bot_id="tester") as again:
        assert Path(again.datasets.rebuild(made.manifest).path).read_bytes() == before
        assert again.datasets.load("d").audit().passed
        with pytest.raises(UsageError, match="left out: 11 inside_training_period"):
            again.datasets.build("d", "decisions", None)
        with pytest.raises(RebuildError, match="11 rows instead of"):  # a request of before cutoffs had none
            again.datasets.rebuild({**made.manifest.as_dict(), "request": older})


def test_what_a_model_may_remember_is_no_new_row_to_train_on(lk: lake.Lake) -> None:
    lk.write("decisions", [decided(day, "m1", confidence=0.5 + day / 200) for day in range(1, 61)])
    data = lk.datasets.build("d", "decisions", None)
    lk.models.train(data, "m", recipe={"trees": 2, "rounds": 2, "repeats": 0, "folds": 2})
    lk.write("decisions", [decided(-day, "m1") for day in range(1, 61)])
    info = lk.models.retrain_info("m")
    assert (info.resolved, info.new, info.due) == (60, 0, False)


def test_a_retraining_asks_the_settings_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        lk.write("decisions", [decided(day, "m1", confidence=0.5 + day / 400) for day in range(1, 61)])
        data = lk.datasets.build("d", "decisions", None)
        lk.models.train(data, "m", recipe={"trees": 2, "rounds": 2, "repeats": 0, "folds": 2})
        lk.write("decisions", [decided(day, "m1") for day in range(61, 121)])
    monkeypatch.setenv("LAKE_KNOWLEDGE_CUTOFFS", "m1=2025-07-04")
    with lake.open(tmp_path / "lake", bot_id="b") as lk:
        assert retrain.work(lk)["trained"]["m"]["versions"]
        newest = lk.datasets.load("d").manifest
        assert (newest.request["cutoffs"], newest.rows) == ({"m1": "2025-07-04"}, 116)
