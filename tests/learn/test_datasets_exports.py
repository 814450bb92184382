"""Exports: the same rows in every form, files whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lake.errors import StorageError, UsageError
from lake.learn.datasets import Dataset, stored
from lake.learn.features import register
from tests.learn.dataset_lakes import SMALL, opened

register(SMALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    with opened(tmp_path_factory.mktemp("exports") / "lake", 60) as lk:
        yield lk.datasets.build("exported", "phantoms", "small")


def test_every_form_has_the_same_rows(made: Dataset, tmp_path: Path) -> None:
    frame = made.frame
    assert pl.read_parquet(made.export(tmp_path / "a.parquet")).equals(frame)
    assert pl.read_ipc(made.export(tmp_path / "a.arrow")).equals(frame)
    texts = pl.read_csv(made.export(tmp_path / "a.csv"), try_parse_dates=True, schema_overrides=frame.schema)
    assert texts.equals(frame)
    assert pl.DataFrame(pl.from_arrow(made.arrow())).equals(frame)
    assert made.polars() is frame
    pandas = made.pandas()
    assert list(pandas.columns) == frame.columns
    assert pandas["close_now"].tolist() == frame["close_now"].to_list()
    assert str(pandas["decision_time"].dt.tz) == "UTC"


def test_numpy_has_features_and_labels_in_the_order_of_the_rows(made: Dataset, tmp_path: Path) -> None:
    arrays = made.numpy()
    numeric = [name for name in made.features if name != "plan.strategy"]  # a text has no number: it is by itself
    assert arrays["plan.strategy"].tolist() == made.frame["plan.strategy"].fill_null("").to_list()
    assert arrays["feature_names"].tolist() == numeric
    for place, name in enumerate(numeric):
        assert np.array_equal(arrays["X"][:, place], made.frame[name].cast(pl.Float64).to_numpy(), equal_nan=True)
    win = made.frame["label_win"].to_list()
    assert [None if np.isnan(y) else bool(y) for y in arrays["y"]] == win
    with np.load(made.export(tmp_path / "a.npz"), allow_pickle=False) as kept:
        assert set(kept.files) == set(arrays)
        for name, values in arrays.items():
            assert np.array_equal(kept[name], values, equal_nan=values.dtype.kind == "f")


def test_a_file_is_written_whole_or_not_at_all(made: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.npz"
    target.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(StorageError, match="no space left"):
        made.export(target)
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npz"]


def test_wrong_targets_are_told(made: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format.*parquet, csv, arrow, npz"):
        made.export(tmp_path / "a.xlsx")
    with pytest.raises(StorageError, match="that is a folder"):
        made.export(tmp_path, "csv")
    with pytest.raises(StorageError, match="cannot be written"):
        made.export(tmp_path / "nowhere" / "a.csv")


def test_a_form_can_be_named(made: Dataset, tmp_path: Path) -> None:
    assert pl.read_csv(made.export(tmp_path / "rows.txt", "csv")).height == len(made)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_told_whichever_thread_writes(made: Dataset) -> None:
    def written() -> None:
        with Path("/dev/full").open("wb", buffering=0) as out, ThreadPoolExecutor(1) as pool:
            sink = stored.Hashed(out, pool)
            stored.write_parquet(made.frame, sink)
            sink.finish()

    with pytest.raises(OSError, match="No space left"):
        written()
