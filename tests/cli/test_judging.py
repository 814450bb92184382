"""Judging prompts, confidence, drift and lessons on the command line."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lake
from lake.cli import main

DAY = datetime(2026, 1, 5, tzinfo=UTC)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, list(words))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("cli") / "lake"
    rows: list[dict[str, Any]] = []
    for number in range(60):
        for version, right in (("v1", number % 2 == 0), ("v2", number % 10 != 0)):
            made = DAY + timedelta(hours=number)
            rows.append(
                {
                    "decision_id": f"{version}-{number}", "symbol": "BTCUSDT", "timeframe": "1h", "analyzed_at": made,
                    "recommendation": "LONG", "confidence": 0.7, "prompt_version": version, "model_version": "m",
                    "outcome_correct": right, "outcome_recorded_at": made + timedelta(minutes=30),
                    "market_snapshot": {"rsi": number % 30}, "cost_usd": 0.01,
                }
            )  # fmt: skip
    with lake.open(path, bot_id="b") as lk:
        lk.write("decisions", rows)
        lk.drain()
    return str(path)


def test_prompts_are_compared_with_what_is_decided_and_what_is_still_needed(folder: str) -> None:
    done = run("prompts", "--compare", "--metric", "accuracy", "--lake", folder)
    assert done.exit_code == 0, done.output
    assert "v2 against v1, accuracy: 90 against 50 %, +40 (" in done.stdout
    assert "60 pairs: better." in done.stdout
    assert "knowledge cutoff is not known" in done.stdout
    found = json.loads(run("prompts", "--compare", "--against", "v2", "--lake", folder, "--json").stdout)
    assert {row["metric"]: row["verdict"] for row in found["comparisons"]}["accuracy"] == "worse"
    assert len(found["notes"]) == 1
    wrong = run("prompts", "--compare", "--against", "v9", "--lake", folder)
    assert (wrong.exit_code, "There are: v1, v2" in wrong.stderr) == (2, True)


def test_calibration_by_prompt_has_its_error_beside_what_chance_alone_gives(folder: str) -> None:
    done = run("calibration", "--by", "prompt_version", "--lake", folder, "--json")
    rows = {row["prompt_version"]: row for row in json.loads(done.stdout)}
    assert (rows["v1"]["n"], rows["v1"]["accuracy"]) == (60, 0.5)
    assert rows["v1"]["ece"] == pytest.approx(0.2)
    assert rows["v1"]["ece_p"] < 0.05
    assert "knowledge cutoff" in done.stderr
    assert run("calibration", "--by", "symbol", "--prompt", "v1", "--lake", folder).exit_code == 2


def test_what_a_model_may_remember_is_left_out_of_calibration_and_prompts(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAKE_KNOWLEDGE_CUTOFFS", "m*=2026-01-06")  # of the 60 hours from the 5th on, 48 are inside
    done = run("calibration", "--lake", folder, "--json")
    rows = {row["prompt_version"]: row for row in json.loads(done.stdout)}
    assert {name: (row["n"], row["inside_training_period"]) for name, row in rows.items()} == {
        "v1": (12, 48), "v2": (12, 48),
    }  # fmt: skip
    assert "Dated inside their model's training period: 96, left out." in done.stderr
    done = run("prompts", "--lake", folder, "--json")
    prompts = {row["prompt_version"]: row for row in json.loads(done.stdout)}
    told = [prompts["v1"][n] for n in ("decisions", "resolved", "correct", "costed", "inside_training_period")]
    assert told == [12, 12, 6, 12, 48]
    assert "training period: 96, left out." in done.stderr
    done = run("lessons", "BTCUSDT", "--before", "2026-01-08T00:00Z", "--count", "99", "--lake", folder)
    assert len(done.stdout.splitlines()) == 1 + 24
    assert "of 24 decisions were right" in done.stdout
    assert "training period: 96, left out." in done.stderr
    monkeypatch.setenv("LAKE_KNOWLEDGE_CUTOFFS", "m=2030-01-01,m*=2019-01-01")  # the whole name goes before
    rows = {row["prompt_version"]: row for row in json.loads(run("prompts", "--lake", folder, "--json").stdout)}
    assert (rows["v1"]["decisions"], rows["v1"]["accuracy"], rows["v1"]["inside_training_period"]) == (0, None, 60)
    monkeypatch.delenv("LAKE_KNOWLEDGE_CUTOFFS")
    done = run("calibration", "--lake", folder)
    assert "training period" not in done.stderr


def test_drift_is_told_with_its_threshold(folder: str) -> None:
    rows = json.loads(run("drift", "--recent", "40", "--lake", folder, "--json").stdout)
    assert {row["name"] for row in rows} == {"win_rate", "brier", "ece"}
    assert all(row["raised"] in (True, False) and row["n"] == 40 for row in rows)
    shown = json.loads(run("drift", "--features", "--recent", "40", "--lake", folder, "--json").stdout)
    assert {row["name"] for row in shown} == {"psi:market_snapshot.rsi", "ks:market_snapshot.rsi"}


def test_lessons_are_lines_for_a_prompt(folder: str) -> None:
    words = ("lessons", "btc/usdt", "--before", "2026-01-06T00:00:00Z", "--count", "2", "--lake", folder)
    done = run(*words, "--side", "LONG", "--timeframe", "1h", "--features", '{"rsi": 3}')
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0].startswith("Record of BTCUSDT before 2026-01-06 00:00 UTC: 33 of 48 decisions")
    assert len(done.stdout.splitlines()) == 3
    rows = json.loads(run(*words, "--json").stdout)
    assert [row["analyzed_at"] < "2026-01-06" for row in rows] == [True, True]
    assert run("lessons", "BTCUSDT", "--before", "2026-01-06", "--lake", folder).exit_code == 2
    assert run("lessons", "BTCUSDT", "--lake", folder).stdout.count("\n- ") == 5
