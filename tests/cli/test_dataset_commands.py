"""Data sets on the command line: each command, its exit status and its JSON."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

import lake
from lake.cli import main
from tests.learn.dataset_lakes import opened, phantom

SETS = """
import polars as pl
from lake.learn.features import Feature, FeatureSet

mine = FeatureSet("mine", 1, (Feature("change", pl.col("close") / pl.col("open") - 1, 0),))
SOURCE = "market_metrics:nobody_writes_it"
poor = FeatureSet("poor", 1, (*mine.features, Feature("told", pl.col("nobody_writes_it"), 0, source=SOURCE)))
ahead = FeatureSet("ahead", 1, (Feature("next", pl.col("close").shift(-1), 0),))
"""


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["dataset", *words])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli")
    with opened(path / "lake", 40) as lk:
        lk.drain()
    (path / "sets.py").write_text(SETS)
    return path


def test_a_data_set_goes_from_build_to_delete(folder: Path) -> None:
    where, sets = ("--lake", str(folder / "lake")), f"{folder / 'sets.py'}:mine"
    built = run("build", "first", "--from", "phantoms", "--features", sets, *where, "--json")
    assert built.exit_code == 0, built.output
    told = json.loads(built.stdout)
    assert (told["name"], told["rows"], told["feature_set"]) == ("first", 40, "mine 1")
    assert [row["hash"] for row in json.loads(run("list", *where, "--json").stdout)] == [told["hash"]]
    assert "first" in run("list", *where).stdout
    assert json.loads(run("show", "first", *where, "--json").stdout)["rows"] == 40
    assert "dataset-first-" in run("show", "first", *where).stdout
    audited = run("audit", "first", *where)
    assert (audited.exit_code, "nothing looks ahead" in audited.stdout) == (0, True)
    assert json.loads(run("audit", "first", "--rows", "5", *where, "--json").stdout)["rows"] == 5
    assert json.loads(run("rebuild", "first", *where, "--json").stdout)["same"] is True
    manifest = Path(told["path"]).with_name("manifest.json")
    assert run("rebuild", str(manifest), *where).exit_code == 0
    exported = run("export", "first", str(folder / "rows.csv"), *where, "--json")
    assert json.loads(exported.stdout)["rows"] == pl.read_csv(folder / "rows.csv").height == 40
    assert run("delete", "first", *where).exit_code == 0
    assert json.loads(run("list", *where, "--json").stdout) == []


def test_a_feature_without_any_value_is_named(folder: Path) -> None:
    where, sets = ("--lake", str(folder / "lake")), f"{folder / 'sets.py'}:poor"
    assert run("build", "poor", "--from", "phantoms", "--features", sets, *where).exit_code == 0
    (line,) = [line for line in run("show", "poor", *where).stdout.splitlines() if line.startswith("without any value")]
    assert line.split()[-1] == "told"
    assert run("delete", "poor", *where).exit_code == 0


def test_what_breakevens_and_timeouts_count_as_is_chosen_and_inputs_that_changed_are_told(tmp_path: Path) -> None:
    where = ("--lake", str(tmp_path / "lake"))
    with lake.open(tmp_path / "lake", bot_id="bot") as lk:
        lk.write("phantoms", [phantom(n, 10.0 * n, ambiguous=n == 1) for n in range(6)])
        lk.patch("phantoms", "p0003", {"ml_score": 99.0})
    for words, wins, rows in (
        ((), [True, False, True, False, False], 5),
        (("--neutral", "left_out", "--ambiguous"), None, 6),
    ):
        built = run("build", "chosen", "--from", "phantoms", "--features", "none", *words, *where, "--json")
        made = pl.read_parquet(json.loads(built.stdout)["path"])
        assert (built.exit_code, made.height) == (0, rows)
        assert made["label_win"].to_list() == (wins or [True, False, None] * 2)
    assert "inputs_changed_later 1" in run("show", "chosen", *where).stdout


def test_a_set_that_looks_ahead_ends_with_status_1(folder: Path) -> None:
    ahead = f"{folder / 'sets.py'}:ahead"
    refused = run("build", "bad", "--from", "phantoms", "--features", ahead, "--lake", str(folder / "lake"), "--json")
    assert refused.exit_code == 1
    assert "next: what was known only after" in json.loads(refused.stdout)["error"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("show", "nothing"), "no such data set"),
        (("build", "a/b", "--from", "phantoms"), "letters, digits"),
        (("build", "a", "--from", "phantoms", "--features", "nothing"), "no such feature set"),
        (("build", "a", "--from", "phantoms", "--symbol", "NOPEUSDT"), "none was decided then"),
        (("build", "a", "--from", "candles"), "Invalid value"),
        (("rebuild", "nowhere/manifest.json"), "there is no manifest"),
    ],
)
def test_wrong_use_ends_with_status_2(folder: Path, words: tuple[str, ...], message: str) -> None:
    done = run(*words, "--lake", str(folder / "lake"))
    assert (done.exit_code, message in done.output + done.stderr) == (2, True), done.output
