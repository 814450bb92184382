"""The whole loop by commands, on real candles: record, label, build, audit, train, promote, predict, roll back."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import lake
from lake.cli import main
from lake.errors import FeatureMismatchError

SYMBOLS = ("BTCUSDT", "DOGEUSDT")


def lake_command(folder: Path, *words: str) -> Any:
    """What a command tells as JSON."""
    done = CliRunner().invoke(main, [*words, "--lake", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def crosses(candles: pl.DataFrame) -> pl.DataFrame:
    """A real strategy: the averages of 8 and 24 closes cross; stop and target by volatility, given up after a day."""
    fast, slow = (pl.col("close").rolling_mean(n) for n in (8, 24))
    way, close = pl.when(pl.col("up")).then(1.0).otherwise(-1.0), pl.col("close")
    risk = (4 * close.pct_change().rolling_std(48)).clip(lower_bound=0.004)
    at = pl.col("open_time") + timedelta(minutes=15)
    return (
        candles.sort("open_time")
        .with_columns(up=fast > slow, risk=risk)
        .filter(pl.col("up") != pl.col("up").shift(1), pl.col("risk").is_not_null())
        .select(
            "symbol", "venue", "timeframe",
            phantom_id=pl.format("{}-{}", "symbol", at.dt.to_string("%Y%m%dT%H%M")),
            strategy=pl.lit("cross"), side=pl.when("up").then(pl.lit("LONG")).otherwise(pl.lit("SHORT")),
            entry_price="close", stop_loss=close * (1 - way * pl.col("risk")),
            tp1=close * (1 + way * 1.5 * pl.col("risk")), signal_time=at, timeout_at=at + timedelta(hours=24),
            was_executed=pl.lit(value=False), reject_reason=pl.lit("on paper"),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with real candles, and phantoms of the strategy on them."""
    folder = tmp_path_factory.mktemp("loop") / "lake"
    source = shared_data / "ohlcv" / "genetrader_2024_binance"
    lake_command(folder, "ingest", *(str(source / f"{s[:-4]}_USDT-15m.feather") for s in SYMBOLS))
    with lake.open(folder, bot_id="cross") as lk:
        for symbol in SYMBOLS:
            lk.write("phantoms", crosses(lk.candles.read(symbol, "15m")))
    return folder


def test_the_loop_goes_from_record_to_rollback_by_commands(recorded: Path) -> None:
    labelled = lake_command(recorded, "label", "--source", "phantoms", "--fees", "0.0005")["labels"][0]
    assert labelled["labelled"] > 2000
    assert lake_command(recorded, "label", "--source", "phantoms", "--fees", "0.0005")["labels"][0]["labelled"] == 0

    built = lake_command(recorded, "dataset", "build", "cross", "--source", "phantoms")
    assert built["rows"] == labelled["labelled"]
    assert lake_command(recorded, "dataset", "audit", "cross")["passed"]

    small = ("--set", "trees=20", "--set", "rounds=20", "--set", "folds=3", "--set", "repeats=0")
    versions = [
        lake_command(recorded, "train", "scorer", "--dataset", "cross", *small, "--set", f"seed={seed}")["models"][0][
            "version"
        ]
        for seed in (1, 2)
    ]
    for version in versions:
        lake_command(recorded, "models", "promote", version)

    with lake.open(recorded) as lk:
        data = lk.datasets.load("cross")
        row = data.frame.select(data.manifest.features.keys()).row(-1, named=True)
        live = lk.models.load("scorer")
        assert live.version == versions[1]
        assert live.manifest["hash"] == data.manifest.hash
        (probability,) = live.predict(row)["probability"]
        assert 0 < probability < 1
        last = data.frame["id"][-1]
        auc = live.metrics["overall"]
        assert auc["auc_low"] < auc["auc"] < auc["auc_high"]
        assert auc["auc_low"] < 0.6, "a moving average's cross cannot be told that well: something looks ahead"
        del row["rsi_14"]
        with pytest.raises(FeatureMismatchError, match="rsi_14"):
            live.predict(row)

    (said,) = lake_command(recorded, "predict", "scorer", "--source", "phantoms", "--id", last)
    assert (said["id"], said["version"], said["probability"]) == (last, versions[1], pytest.approx(probability))
    lake_command(recorded, "models", "rollback", "scorer")
    with lake.open(recorded) as lk:
        assert lk.models.load("scorer").version == versions[0]
        assert lk.frame("SELECT count(*) FROM training_runs WHERE status = 'done'").item() == 2


def test_a_data_set_of_real_candles_is_built_again_byte_for_byte_after_compaction_and_late_candles(
    recorded: Path,
) -> None:
    with lake.open(recorded, bot_id="cross") as lk:
        lk.label("phantoms", fees=0.0005)
        made = lk.datasets.build("again", "phantoms", symbols="BTCUSDT")
        before = Path(made.path).read_bytes()
        last = lk.candles.read("BTCUSDT", "15m").tail(50)
        lk.write("candles", last.with_columns(pl.col("volume") * 2))
        lk.drain()
        lk.compact()
        lk.vacuum(grace_hours=0)
        again = lk.datasets.rebuild(made.manifest)
        after = Path(again.path).read_bytes()
        assert after == before
