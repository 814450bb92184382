"""Columns of data files: quick to read where that costs little, small where it pays, and the same rows in any case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import lake
from lake.spec import registry
from lake.store.cold.encodings import writer_options
from tests.helpers import T0

ROWS = 6_000
KNOWN_TO_EVERY_ENGINE = {"PLAIN", "RLE", "RLE_DICTIONARY", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY"}


def walk(seed: int) -> pl.DataFrame:
    """Candles of two symbols: prices on ticks, which repeat; volumes of which none is like another, some unknown."""
    rng = np.random.default_rng(seed)
    close = 100 + np.cumsum(rng.integers(-2, 3, 2 * ROWS)) / 10
    times = T0 * 1000 + np.tile(np.arange(ROWS), 2) * 60_000_000
    volume = pl.Series(rng.random(2 * ROWS)).set(pl.Series(rng.random(2 * ROWS) < 0.1), None)
    prices = {"open": close, "high": close + 0.5, "low": close - 0.5, "close": close}
    symbols = np.repeat(["AAAUSDT", "BBBUSDT"], ROWS)
    return pl.DataFrame({"symbol": symbols, "open_time": times, **prices, "volume": volume})


def layouts(folder: Path) -> dict[str, set[tuple[str, bool]]]:
    """By column of the newest data file: codecs, and whether there is a dictionary; all encodings are known ones."""
    path = max(folder.rglob("candles/**/*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    footer = pq.read_metadata(path)
    found: dict[str, set[tuple[str, bool]]] = {}
    for group in range(footer.num_row_groups):
        for at in range(footer.num_columns):
            column = footer.row_group(group).column(at)
            assert set(column.encodings) <= KNOWN_TO_EVERY_ENGINE
            found.setdefault(column.path_in_schema, set()).add((column.compression, column.has_dictionary_page))
    return found


def test_fresh_prices_that_repeat_are_a_dictionary_and_volumes_are_plain(tmp_path: Path) -> None:
    frame = walk(1)
    with lake.open(tmp_path) as lk:
        lk.candles.write(frame, "1m")
        found = layouts(tmp_path)
        assert {name: found[name] for name in ("open", "close", "volume", "open_time", "symbol")} == {
            "open": {("SNAPPY", True)},
            "close": {("SNAPPY", True)},
            "volume": {("UNCOMPRESSED", False)},
            "open_time": {("SNAPPY", False)},
            "symbol": {("SNAPPY", True)},
        }
        read = lk.candles.read(None, "1m", columns=frame.columns)
        assert read.drop("open_time").equals(frame.drop("open_time"))


def test_fresh_volumes_go_through_snappy_where_that_makes_them_smaller(tmp_path: Path) -> None:
    lots = np.arange(2 * ROWS) * 2.0**20  # no two are alike, and their last bytes are zeros
    with lake.open(tmp_path) as lk:
        lk.candles.write(walk(4).with_columns(pl.Series("volume", lots)), "1m")
        assert layouts(tmp_path)["volume"] == {("SNAPPY", False)}
        assert lk.candles.read(None, "1m", columns=["volume"])["volume"].to_list() == lots.tolist()


def test_a_compacted_column_goes_in_the_layout_that_is_read_soonest_of_those_about_as_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    lots, noise = rng.integers(1, 17, 2 * ROWS).astype(float), rng.random(2 * ROWS)  # whose first bytes repeat
    close = np.round(100 + np.cumsum(rng.normal(0, 0.01, 2 * ROWS)), 4)  # most are there once, neighbours are alike
    frame = walk(2).with_columns(pl.Series("volume", lots), pl.Series("quote_volume", noise))
    frame = frame.with_columns(taker_buy_quote_volume=pl.Series(close))
    with lake.open(tmp_path) as lk:
        lk.candles.write(frame, "1m")
        lk.compact()
        found = layouts(tmp_path)
        columns = ["open", "volume", "quote_volume", "taker_buy_quote_volume"]
        assert {name: found[name] for name in (*columns, "symbol")} == {
            "open": {("ZSTD", True)},
            "volume": {("SNAPPY", True)},
            "quote_volume": {("ZSTD", False)},
            "taker_buy_quote_volume": {("ZSTD", False)},
            "symbol": {("ZSTD", True)},
        }
        assert lk.candles.read(None, "1m", columns=columns).equals(frame.select(columns))


@pytest.mark.parametrize("level", [1, 15])
def test_no_choice_costs_more_than_a_fifth_of_a_byte_a_value_beside_zstd(level: int) -> None:
    ds, rng = registry.get("candles"), np.random.default_rng(3)
    steps = np.round(100 + np.cumsum(rng.normal(0, 0.01, ROWS)), 4)
    kinds = [steps, np.round(steps, 1), rng.random(ROWS), np.zeros(ROWS), np.sort(rng.random(ROWS))]
    for values in kinds:
        group = pa.table(dict.fromkeys(("open", "high", "low", "close", "volume"), values) | {"symbol": ["A"] * ROWS})
        chosen, small = written(group, writer_options(ds, [group], level)), written(group, plainly(level))
        assert chosen <= small + ROWS  # five columns


def plainly(level: int) -> dict[str, object]:
    return {"compression": "zstd", "compression_level": level, "use_dictionary": ["symbol"]}


def written(group: pa.Table, options: dict[str, object]) -> int:
    out = pa.BufferOutputStream()
    with pq.ParquetWriter(out, group.schema, **options) as writer:
        writer.write_table(group)
    footer = writer.writer.metadata
    assert pq.read_table(pa.BufferReader(out.getvalue())).equals(group)
    return sum(footer.row_group(0).column(at).total_compressed_size for at in range(footer.num_columns))
