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
    assert run("lessons", "BTCUSDT", "--before", "2026-01-06", "--lake", folder).exit_code == 1
    assert run("lessons", "BTCUSDT", "--lake", folder).stdout.count("\n- ") == 5
