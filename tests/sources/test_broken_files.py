"""A damaged or misshapen file is one clear sentence, and lands nothing; a bad row is quarantined alone."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from lake.errors import MissingExtraError, SourceError, StorageError, UnknownTimeframeError, UsageError
from lake.sources import frames, opening
from lake.sources.base import Options
from lake.sources.ingest import ingest
from lake.sources.landing import MOST_REASONS, OTHER
from lake.sources.pieces import Piece
from lake.sources.plan import Job
from lake.sources.reading import Damaged, pieces_of
from lake.sources.registry import by_name, sniff
from lake.sources.report import FileReport
from lake.sources.shape import TOO_LONG
from tests.sources.made import START, csv_text, kline_rows, written
from tests.sources.recorder import RecordingLake

HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
FREQTRADE = [[row[0], *map(float, row[1:6])] for row in kline_rows(500)]  # type: ignore[arg-type]


@pytest.fixture
def lk(tmp_path: Path) -> RecordingLake:
    return RecordingLake(tmp_path / "lake")


def _one(lk: RecordingLake, path: Path, options: Options | None = None, kind: str | None = None) -> FileReport:
    (file,) = ingest(lk, path, options, format=kind).files
    return file


def _feather() -> bytes:
    times = pl.Series([row[0] for row in FREQTRADE]).cast(pl.Datetime("ms", "UTC"))
    names = ("open", "high", "low", "close", "volume")
    frame = pl.DataFrame({"date": times} | {n: [row[i + 1] for row in FREQTRADE] for i, n in enumerate(names)})
    buffer = io.BytesIO()
    frame.write_ipc(buffer, compression="lz4")
    return buffer.getvalue()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _zip(name: str, text: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return buffer.getvalue()


KLINES = csv_text(kline_rows(3000))
BROKEN = {
    "half a zip": ("BTCUSDT-1m-2024-01.zip", _zip("BTCUSDT-1m-2024-01.csv", KLINES)[:20_000], "damaged or cut off"),
    "a zip with one byte changed": (
        "BTCUSDT-1m-2024-01.zip",
        bytes(b ^ 0xFF if i == 9_000 else b for i, b in enumerate(_zip("BTCUSDT-1m-2024-01.csv", KLINES))),
        "damaged or cut off",
    ),
    "half a gzip": ("BTC_USDT-1m.json.gz", gzip.compress(json.dumps(FREQTRADE).encode())[:-900], "damaged or cut off"),
    "half a feather": ("BTC_USDT-1m.feather", _feather()[:4_000], "the feather file is damaged or cut off"),
    "a feather of a name that nobody gives": ("x.feather", _feather()[:4_000], "the feather file is damaged"),
    "garbage in a feather": ("BTC_USDT-1m.feather", b"garbage" * 99, "the feather file is damaged"),
    "garbage in a parquet": ("x.parquet", b"garbage" * 99, "the parquet file is damaged"),
    "a parquet of two columns under the name of candles": (
        "BTC_USDT-1h.parquet", _parquet(pl.DataFrame({"a": [1], "b": [2]})), "no known kind.*named like one",
    ),
    "rows too short": ("ETH_USDT-1h.json", json.dumps([[START, 1, 2, 0.5]]).encode(), "no known kind.*named like one"),
    "null": ("ETH_USDT-1h.json", b"null", "no known kind.*named like one"),
    "an object": ("BTCUSDT-1m-2024-01.json", b'{"a":1}', "no known kind.*named like one"),
    "the head of an OctoBot file": ("x.data", b"SQLite format 3\0" + b"\1" * 900, "the OctoBot file is damaged"),
    "half a json": ("BTC_USDT-1m.json", json.dumps(FREQTRADE)[:-700].encode(), "the JSON is damaged or cut off"),
    "a json that ends between two rows": (
        "BTC_USDT-1m.json", json.dumps(FREQTRADE)[:-700].rpartition("]")[0].encode() + b"],", "damaged or cut off",
    ),
    "a csv that ends inside a row": (
        "BTCUSDT-1m-2024-01.csv", KLINES[:-30].encode(), "ends in the middle of a row",
    ),
    "a gzip of a csv that ends inside a row": (
        "BTCUSDT-1m-2024-01.csv.gz", gzip.compress(KLINES[:-30].encode()), "ends in the middle of a row",
    ),
    "a table with a header that ends inside a row": (
        "BTCUSDT_1m.csv", csv_text(kline_rows(9), HEADER, end="\r\n")[:-30].encode(), "ends in the middle of a row",
    ),
    "a csv in UTF-16": ("BTCUSDT_1m.csv", csv_text(kline_rows(5), HEADER).encode("utf-16"), "in UTF-16.*as UTF-8"),
    "a csv in UTF-16 without a byte order mark": (
        "BTCUSDT_1m.csv", csv_text(kline_rows(5), HEADER).encode("utf-16-le"), "in UTF-16.*as UTF-8",
    ),
    "a csv in UTF-16, its greater byte first": (
        "candles.csv", csv_text(kline_rows(5), HEADER).encode("utf-16-be"), "in UTF-16.*as UTF-8",
    ),
    "a gzip of a csv in UTF-16": (
        "prices.csv.gz", gzip.compress(csv_text(kline_rows(5), HEADER).encode("utf-16-le")), "in UTF-16.*as UTF-8",
    ),
    "a csv in UTF-32": ("BTCUSDT_1m.csv", csv_text(kline_rows(5), HEADER).encode("utf-32"), "in UTF-32.*as UTF-8"),
    "a json in UTF-16": ("BTC_USDT-1m.json", json.dumps(FREQTRADE).encode("utf-16-le"), "in UTF-16.*as UTF-8"),
    "half a parquet": ("BTC_USDT-1m.parquet", _parquet(pl.DataFrame({"date": [1]}))[:60], "parquet file is damaged"),
    "no bytes": ("BTC_USDT-1m.feather", b"", r"the file is empty \(0 bytes\)"),
    "a missing column": (
        "BTCUSDT_1m.csv",
        csv_text([r[:3] + r[4:] for r in kline_rows(5)], HEADER.replace(",low", "")).encode(),
        "no column low",
    ),
    "a parquet of another kind": ("users.parquet", _parquet(pl.DataFrame({"name": ["a"]})), "no known kind"),
    "a binance dump cut in its columns": (
        "BTCUSDT-1m-2024-01.csv", csv_text([r[:9] for r in kline_rows(5)]).encode(), "no known kind",
    ),
    "a folder of files zipped": ("all.zip", b"", "empty"),
    "rows of words": ("BTC_USDT-1m.json", b'[["a","b","c","d","e","f"], {"x": 1}]', "a row is not|shape"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_fails_with_one_sentence_and_lands_nothing(lk: RecordingLake, tmp_path: Path, kind: str) -> None:
    name, content, sentence = BROKEN[kind]
    file = _one(lk, written(tmp_path, name, content))
    assert file.status == "failed"
    assert name in file.error
    assert pytest.importorskip("re").search(sentence, file.error), file.error
    assert "\n" not in file.error
    assert lk.rows["candles"].is_empty()


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_text_in_utf_16_is_refused_under_a_format_that_is_said_too(
    lk: RecordingLake, tmp_path: Path, encoding: str
) -> None:
    content = csv_text(kline_rows(5), HEADER).encode(encoding)
    file = _one(lk, written(tmp_path, "BTCUSDT_1m.txt", content), kind="table")
    assert (file.status, file.error.count("the text is in UTF-16")) == ("failed", 1)


def test_commas_of_decimals_do_not_make_a_whole_file_a_cut_one(lk: RecordingLake, tmp_path: Path) -> None:
    rows = f"{START};1,5;2,5;1,25;1,5;10,5\n{START + 60_000};1;2,5;1;2;10"
    text = "open_time;open;high;low;close;volume\n" + rows
    file = _one(lk, written(tmp_path, "BTCUSDT_1m.csv", text.encode()))
    assert (file.status, file.quarantined) == ("done", 2)
    assert all("is not a number" in reason for reason in file.reasons)


FOREIGN = {
    "README.md": b"# read me",
    "picture.png": b"\x89PNG" * 9,
    "my_notes-2d.json": b'{"a": 1}',
    "report-2024-1d.json": b'{"a": 1}',
    "settings.json": b'{"a": 1}',
    "users.parquet": _parquet(pl.DataFrame({"name": ["a"]})),
    "list.csv": b"name,age\na,3\n",
}


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind != "a parquet of another kind"])
def test_a_broken_file_in_a_folder_fails_by_name_and_what_is_no_candles_is_skipped(
    lk: RecordingLake, tmp_path: Path, kind: str
) -> None:
    name, content, sentence = BROKEN[kind]
    for foreign, data in FOREIGN.items():
        written(tmp_path / "in", foreign, data)
    written(tmp_path / "in", name, content)
    report = ingest(lk, tmp_path / "in")
    assert [(Path(f.path).name, name in f.error) for f in report.failed] == [(name, True)]
    assert pytest.importorskip("re").search(sentence, report.failed[0].error)
    assert {Path(f.path).name for f in report.files if f.status == "skipped"} == set(FOREIGN)


def test_a_broken_file_does_not_keep_the_others_out(lk: RecordingLake, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    written(folder, "ETHUSDT-1m-2024-01.csv", csv_text(kline_rows(10)))
    written(folder, "BTCUSDT-1m-2024-01.zip", BROKEN["half a zip"][1])
    report = ingest(lk, folder)
    assert [f.status for f in report.files] == ["failed", "done"]
    assert lk.rows["candles"].height == 10


def _zip_of(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return buffer.getvalue()


def test_a_zip_of_several_files_in_a_folder_is_skipped_unless_one_is_named_like_candles(
    lk: RecordingLake, tmp_path: Path
) -> None:
    results = written(tmp_path / "in", "backtest-result.zip", _zip_of("backtest-result.json", "strategy.py"))
    written(tmp_path / "in", "klines.zip", _zip_of("a/BTCUSDT-1m-2024-01.csv", "a/BTCUSDT-1m-2024-02.csv"))
    assert [file.status for file in ingest(lk, tmp_path / "in").files] == ["skipped", "failed"]
    assert "holds one file, this one 2" in _one(lk, results).error


def test_a_path_that_is_not_there_is_refused(lk: RecordingLake, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="there is no such file or folder"):
        ingest(lk, tmp_path / "nothing")


def test_an_empty_path_is_refused(lk: RecordingLake) -> None:
    for paths in ("", [""]):
        with pytest.raises(UsageError, match="an empty path names no file or folder"):
            ingest(lk, paths)


def test_an_unknown_format_names_the_known_ones(lk: RecordingLake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown format.*octobot"):
        ingest(lk, written(tmp_path, "a.csv", "x"), format="excel")


def test_an_unknown_timeframe_option_is_refused(lk: RecordingLake, tmp_path: Path) -> None:
    with pytest.raises(UnknownTimeframeError):
        ingest(lk, written(tmp_path, "a.csv", "x"), Options(timeframe="7m"))


def test_of_a_large_file_that_is_cut_off_nothing_lands(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path
) -> None:
    monkeypatch.setattr("lake.sources.ingest.GATHER_ROWS", 100)
    monkeypatch.setattr("lake.sources.jsons._CHUNK", 700)
    for path in (
        written(tmp_path, "BTCUSDT-1m-2024-01.csv", KLINES[:-30]),
        written(tmp_path, "BTC_USDT-1m.json", json.dumps(FREQTRADE)[:-70]),
    ):
        assert _one(lk, path).status == "failed"
    assert lk.commits == 0


def _octobot(candles: list[str]) -> bytes:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("create table ohlcv (timestamp, exchange_name, symbol, time_frame, candle)")
        rows = [(0, "binance", "BTC/USDT", "1m", candle) for candle in candles]
        connection.executemany("insert into ohlcv values (?, ?, ?, ?, ?)", rows)
        connection.commit()
        return connection.serialize()


def _large() -> dict[str, tuple[str, bytes, bytes]]:
    """Name, whole content and content with a damage in its middle, of files that are read in pieces."""
    frame = pl.read_ipc(_feather())
    parquet = io.BytesIO()
    frame.write_parquet(parquet, row_group_size=100, compression="zstd")
    candles = [json.dumps([row[0] // 1000, *row[1:]]) for row in FREQTRADE]
    lines = csv_text(kline_rows(500)).splitlines(keepends=True)
    text, mixed = "".join(lines), csv_text(kline_rows(400) + kline_rows(9, scale=1000))
    quote = "".join([*lines[:400], '"', *lines[400:]])
    rows = json.dumps(FREQTRADE)
    fourth = pq.ParquetFile(parquet).metadata.row_group(3).column(1)
    place = fourth.dictionary_page_offset or fourth.data_page_offset
    return {
        "a csv with a quote that is not closed": ("BTCUSDT-1m-2024-01.csv", text.encode(), quote.encode()),
        "a csv in two units of time": ("BTCUSDT-1m-2024-01.csv", text.encode(), mixed.encode()),
        "a json": ("BTC_USDT-1m.json", rows.encode(), rows.replace(f"[{FREQTRADE[400][0]}", "{[").encode()),
        "a parquet": ("BTC_USDT-1m.parquet", parquet.getvalue(), _overwritten(parquet.getvalue(), place)),
        "an OctoBot file": ("x.data", _octobot(candles), _octobot([*candles[:400], "[1, 2", *candles[401:]])),
    }  # fmt: skip


def _overwritten(content: bytes, place: int) -> bytes:
    return content[:place] + b"\xff" * 300 + content[place + 300 :]


@pytest.mark.parametrize("kind", _large())
def test_of_a_large_file_with_a_damage_in_its_middle_nothing_lands(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path, kind: str
) -> None:
    _in_small_pieces(monkeypatch)
    name, whole, damaged = _large()[kind]
    path = written(tmp_path, name, damaged)
    file = _one(lk, path)
    assert (file.status, file.rows_in, name in file.error) == ("failed", 0, True)
    assert (lk.commits, lk.quarantined) == (0, [])
    assert not lk.folder.exists()
    written(tmp_path, name, whole)
    assert _one(lk, path).landed == 500
    assert lk.commits > 3


def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.sources.ingest.GATHER_ROWS", 120)
    monkeypatch.setattr("lake.sources.landing.GATHER_ROWS", 120)
    monkeypatch.setattr("lake.sources.jsons._CHUNK", 700)
    monkeypatch.setattr(opening.line_blocks, "__defaults__", (5000,))
    for module in ("csvs", "jsons", "frames", "octobot"):
        monkeypatch.setattr(f"lake.sources.{module}.BATCH_ROWS", 50)


def test_the_rows_of_a_large_file_are_counted_and_kept_as_those_of_a_small_one(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path
) -> None:
    rows = kline_rows(400)
    for place in range(0, 400, 3):
        rows[place][2] = "much"
    path = written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(rows))
    small = _one(lk, path)
    _in_small_pieces(monkeypatch)
    large = RecordingLake(tmp_path / "large")
    assert _one(large, path) == small
    assert (small.landed, small.quarantined) == (266, 134)
    assert large.rows["candles"].equals(lk.rows["candles"])
    assert large.quarantined == lk.quarantined


def test_a_disk_without_room_for_a_large_file_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path
) -> None:
    _in_small_pieces(monkeypatch)
    path = written(tmp_path, "BTCUSDT-1m-2024-01.csv", KLINES)
    monkeypatch.setattr("lake.sources.waiting.tempfile.TemporaryFile", lambda **_: full)
    with Path("/dev/full").open("wb", 0) as full, pytest.raises(StorageError, match=f"{tmp_path}: the disk is full"):
        ingest(lk, path)
    assert lk.commits == 0


@pytest.mark.parametrize("change", ["grown", "replaced", "gone"])
def test_a_file_that_changes_while_it_is_read_lands_nothing(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path, change: str
) -> None:
    path = written(tmp_path, "BTCUSDT-1m-2024-01.csv", KLINES)

    def changed(job: Job, *rest: Any, **more: Any) -> Iterator[Piece | Damaged]:
        if change == "gone":
            path.unlink()
        elif change == "grown":
            path.write_text(KLINES + KLINES[:30])
        else:
            written(tmp_path, "new", KLINES.replace("0", "1", 1)).replace(path)
        return pieces_of(job, *rest, **more)

    monkeypatch.setattr("lake.sources.ingest.pieces_of", changed)
    file = _one(lk, path)
    told = (
        "No such file" if change == "gone" else "the file changed while it was read. Ingest it again when it is whole."
    )
    assert (file.status, told in file.error, lk.commits) == ("failed", True, 0)


@pytest.mark.parametrize(
    ("what", "text"),
    {
        "a byte-order mark": "\ufeff" + csv_text(kline_rows(20), HEADER),
        "CRLF": csv_text(kline_rows(20), HEADER, end="\r\n"),
        "CRLF without header": csv_text(kline_rows(20), end="\r\n"),
        "semicolons": csv_text(kline_rows(20), HEADER.replace(",", ";"), ";"),
        "microseconds": csv_text(kline_rows(20, scale=1000)),
        "blank lines": csv_text(kline_rows(20)).replace("\n", "\n\n"),
        "CR alone": csv_text(kline_rows(20), HEADER, end="\r"),
        "CR alone without header": csv_text(kline_rows(20), end="\r"),
        "no last line end": csv_text(kline_rows(20)).rstrip("\n"),
    }.items(),
)
def test_a_dump_written_otherwise_reads_the_same(lk: RecordingLake, tmp_path: Path, what: str, text: str) -> None:
    file = _one(lk, written(tmp_path, "BTCUSDT-1m-2024-01.csv", text))
    assert (file.status, file.rows_in, file.landed) == ("done", 20, 20), what
    assert lk.rows["candles"]["open_time"].dt.epoch("ms").to_list() == [row[0] for row in kline_rows(20)]


MIXED = kline_rows(5) + kline_rows(5, scale=1000, start=START + 300_000)
UNITS = {
    "BTCUSDT-1m-2024-12.csv": csv_text(MIXED),
    "x/BTCUSDT-1m-2024-12.csv": csv_text(MIXED, HEADER),
    "BTCUSDT-trades-2024-12.csv": csv_text([[i, 100, 1, 100, r[0], "true", "true"] for i, r in enumerate(MIXED)]),
    "BTC_USDT-1m.json": json.dumps([row[:6] for row in MIXED]),
    "BTC_USDT-trades.json": json.dumps([[row[0], "7", None, "buy", 1.0, 1.0, 1.0] for row in MIXED]),
}


@pytest.mark.parametrize("batch", [3, 500_000])
@pytest.mark.parametrize("name", UNITS)
def test_a_file_that_changes_from_milliseconds_to_microseconds_is_refused_whole(
    monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path, name: str, batch: int
) -> None:
    for module in ("csvs", "jsons"):
        monkeypatch.setattr(f"lake.sources.{module}.BATCH_ROWS", batch)
    file = _one(lk, written(tmp_path, name, UNITS[name]))
    assert (file.status, "epoch times in mixed units" in file.error) == ("failed", True)
    assert lk.rows["candles"].is_empty()


def test_files_of_one_market_may_be_in_different_units(lk: RecordingLake, tmp_path: Path) -> None:
    written(tmp_path / "in", "BTCUSDT-1m-2024-12.csv", csv_text(MIXED[:5]))
    written(tmp_path / "in", "BTCUSDT-1m-2025-01.csv", csv_text(MIXED[5:]))
    assert ingest(lk, tmp_path / "in").totals["landed"] == 10
    assert lk.rows["candles"]["open_time"].dt.epoch("ms").to_list() == [row[0] for row in kline_rows(10)]


def test_bad_rows_are_quarantined_alone_with_their_reasons(lk: RecordingLake, tmp_path: Path) -> None:
    rows = kline_rows(6)
    rows[1][0] = START + 90_000 - 1
    rows[2][2] = "much"
    rows[3][4] = ""
    rows[4][0] = "1.70000E+12"
    file = _one(lk, written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(rows)))
    assert (file.rows_in, file.landed, file.quarantined) == (6, 2, 4)
    assert set(file.reasons) == {
        "open_time is off the 1m grid", "high is not a number: much", "close is missing",
        "the time is in scientific notation (a spreadsheet saved it): the exact time is lost",
    }  # fmt: skip
    assert json.loads(next(q["row"] for q in lk.quarantined if "much" in q["reason"]))["high"] == "much"


def test_a_reason_for_each_row_does_not_flood_the_report(lk: RecordingLake, tmp_path: Path) -> None:
    rows = [[row[0], f"{place},5", *row[2:]] for place, row in enumerate(kline_rows(200))]
    path = written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(rows, HEADER.replace(",", ";"), ";"))
    report = ingest(lk, path)
    (file,) = report.files
    assert (sum(file.reasons.values()), len(file.reasons), file.reasons[OTHER]) == (200, MOST_REASONS + 1, 150)
    assert len({row["reason"] for row in lk.quarantined}) == 200
    assert "; 41 x something else)" in report.text()
    assert len(report.text()) < 1000
    (again,) = ingest(lk, path).files
    assert again.reasons == file.reasons


def test_naive_times_of_no_known_format_need_a_zone(lk: RecordingLake, tmp_path: Path) -> None:
    text = "date,open,high,low,close,volume\n2024-01-01 01:00:00,1,2,0.5,1.5,7\n"
    path = written(tmp_path, "BTCUSDT_1h.csv", text)
    assert "times carry no time zone (got '2024-01-01 01:00:00')" in _one(lk, path).error
    assert _one(lk, path, Options(tz="Europe/Berlin")).landed == 1
    assert str(lk.rows["candles"]["open_time"][0]) == "2024-01-01 00:00:00+00:00"


def test_a_zone_that_does_not_exist_is_refused(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT_1h.csv", "date,open,high,low,close\n2024-01-01 01:00:00,1,2,0.5,1.5\n")
    assert "there is no such time zone (got 'Mars/Olympus')" in _one(lk, path, Options(tz="Mars/Olympus")).error


def test_a_column_map_reads_any_table(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "x.csv",
        "wann,auf,hoch,tief,zu,menge,was\n1704067200,1,2,0.5,1.5,7,eth/usdt\n1704070800,1,2,0.5,1.5,7,BTC-USDT\n",
    )
    names = {
        "open_time": "wann",
        "open": "auf",
        "high": "hoch",
        "low": "tief",
        "close": "zu",
        "volume": "menge",
        "symbol": "was",
    }
    assert _one(lk, path, Options(timeframe="1h", columns=names), kind="table").landed == 2
    assert lk.rows["candles"]["symbol"].to_list() == ["ETHUSDT", "BTCUSDT"]


def test_rows_without_a_symbol_or_timeframe_are_quarantined(lk: RecordingLake, tmp_path: Path) -> None:
    text = "symbol,interval,time,open,high,low,close\n,1h,1704067200,1,2,1,1\nBTC/USDT,,1704067200,1,2,1,1\n"
    file = _one(lk, written(tmp_path, "x.csv", text + "BTC/USDT,60,1704067200,1,2,1,1\n"))
    assert (file.landed, file.reasons) == (1, {"symbol is missing": 1, "timeframe is missing": 1})
    assert lk.rows["candles"].row(0)[:3] == ("", "BTCUSDT", "1h")


def test_a_column_map_that_names_a_column_the_file_lacks_is_refused(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "BTCUSDT_1h.csv", "date,open,high,low,close\n2024-01-01T00:00:00Z,1,2,0.5,1.5\n")
    file = _one(lk, path, Options(columns={"volume": "menge"}))
    assert "the column map names a column that the file lacks (got 'menge')" in file.error


def test_a_map_to_an_unknown_column_is_refused() -> None:
    with pytest.raises(UsageError, match="a column that candles do not have"):
        Options(columns={"colour": "x"})


def test_hdf5_without_pytables_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> object:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(frames.importlib, "import_module", missing)
    with pytest.raises(MissingExtraError, match=r"reading \.h5 needs PyTables"):
        list(frames.slices(tmp_path / "x.h5", b"\x89HDF\r\n\x1a\n"))


def test_a_half_hdf5_file_is_refused(lk: RecordingLake, shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / "ohlcv/freqtrade_testdata/UNITTEST_BTC-5m.h5").read_bytes()
    file = _one(lk, written(tmp_path, "UNITTEST_BTC-5m.h5", whole[: len(whole) // 2]))
    assert (file.status, "damaged or cut off" in file.error) == ("failed", True)


def test_a_half_octobot_file_is_refused(lk: RecordingLake, shared_data: Path, tmp_path: Path) -> None:
    whole = (shared_data / "ohlcv/octobot/binance_4sym_4h_2024.data").read_bytes()
    file = _one(lk, written(tmp_path, "half.data", whole[: len(whole) // 2]))
    assert file.status == "failed"
    assert lk.rows["candles"].is_empty()


def test_json_in_many_chunks_reads_as_one(monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path) -> None:
    monkeypatch.setattr("lake.sources.jsons._CHUNK", 700)
    trades = [
        {
            "info": {"legs": [{"a": 1}, {"a": 2}]},
            "timestamp": START + i,
            "id": str(i),
            "side": "buy",
            "price": 2.0,
            "amount": 1.0,
        }
        for i in range(300)
    ]
    assert _one(lk, written(tmp_path, "ETH_USDT-trades.json", json.dumps(trades))).rows_in == 300
    assert _one(lk, written(tmp_path, "BTC_USDT-1m.json", json.dumps(FREQTRADE))).landed == 500


def test_csv_in_many_blocks_reads_as_one(monkeypatch: pytest.MonkeyPatch, lk: RecordingLake, tmp_path: Path) -> None:
    monkeypatch.setattr(opening.line_blocks, "__defaults__", (1000,))
    assert _one(lk, written(tmp_path, "BTCUSDT-1m-2024-01.csv", csv_text(kline_rows(500), HEADER))).landed == 500


@pytest.mark.parametrize(
    "source",
    ["binance", "binance-metrics", "freqtrade", "octobot", "lean", "kraken", "ccxt", "alphavantage", "wide", "bittrex"],
)
def test_a_file_forced_into_the_wrong_format_fails_with_a_sentence(
    lk: RecordingLake, tmp_path: Path, source: str
) -> None:
    path = written(tmp_path, "notes.txt", "some notes\nabout nothing\n")
    file = _one(lk, path, kind=source)
    assert (file.status, file.landed) == ("failed", 0)
    assert "notes.txt" in file.error


def test_sniffing_finds_by_content_whatever_the_name(tmp_path: Path) -> None:
    found = {
        "binance": written(tmp_path, "x1.csv", csv_text(kline_rows(3))),
        "ccxt": written(tmp_path, "x2.json", json.dumps(FREQTRADE)),
        "bittrex": written(tmp_path, "x3.json", '[{"O":1,"H":2,"L":1,"C":1,"V":3,"T":"2017-11-04T23:02:00","BV":1}]'),
        "lean-funding": written(tmp_path, "x4.csv", "20201229 00:00:00,0.0002\n"),
        "kraken": written(tmp_path, "x5.csv", "1672531436,90.54,1.10\n"),
    }
    assert {path.name: sniff(path).name for path in found.values()} == {path.name: name for name, path in found.items()}
    assert by_name("binance").name == "binance"


OHLCV = "open_time,open,high,low,close,volume\n"


def test_a_row_with_more_values_than_columns_is_refused_alone_wherever_it_stands(
    lk: RecordingLake, tmp_path: Path
) -> None:
    good, commas = "2026-01-01T0{}:00:00Z,1,2,0.5,1.5,1\n", "2026-01-01T09:00:00Z,1,0,2,5,0,5,1,5,1\n"
    for place in range(3):
        rows = [good.format(place * 2), good.format(place * 2 + 1)]
        rows.insert(place, commas)
        path = written(tmp_path, f"A{place}USDT-1h.csv", OHLCV + "".join(rows))
        file = _one(lk, path, Options(timeframe="1h"))
        assert (file.landed, file.reasons) == (2, {TOO_LONG: 1})
    assert json.loads(lk.quarantined[0]["row"])["values beyond the last column"] == "5"
    assert lk.rows["candles"]["open"].to_list() == [1.0] * 6


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_be_longer_than_what_is_looked_at_first(lk: RecordingLake, tmp_path: Path, end: str) -> None:
    coins = [f"COIN{number}" for number in range(200)]
    header = ",".join(["date", *(f"{coin}:{name}" for coin in coins for name in ("open", "high", "low", "close"))])
    text = header + end + "".join(f"2026-01-0{day}" + ",100.25,102.25,100.25,101.25" * 200 + end for day in range(1, 4))
    file = _one(lk, written(tmp_path, "bitstamp_USD_d_wide.csv", text))
    assert (file.error, file.landed, lk.rows["candles"]["symbol"].n_unique()) == ("", 600, 200)


def test_a_separator_at_the_end_of_each_line_is_no_value(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "AUSDT-1h.csv", OHLCV + "2026-01-01T00:00:00Z,1,2,0.5,1.5,1,\n" * 2)
    assert _one(lk, path, Options(timeframe="1h")).landed == 1


def test_a_quote_that_is_not_closed_is_one_sentence(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "AUSDT-1h.csv", OHLCV + '"2026-01-01T00:00:00Z,1,2,0.5,1.5,1\n' * 2)
    error = _one(lk, path, Options(timeframe="1h")).error
    assert "a row of 1 values where 6 are to be" in error
    assert error.endswith("Look for a missing quote, or another separator.")


def test_blank_lines_before_the_first_row_are_no_rows(lk: RecordingLake, tmp_path: Path) -> None:
    path = written(tmp_path, "AUSDT-1h.csv", OHLCV + "\n" * 9 + "2026-01-01T00:00:00Z,1,2,0.5,1.5,1\n")
    file = _one(lk, path, Options(timeframe="1h"))
    assert (file.rows_in, file.landed) == (1, 1)
