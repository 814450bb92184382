"""CSV files as they are found: broken off, in other encodings, behind empty lines."""

from __future__ import annotations

import gzip
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lake.importers.base import Notes, Refused
from lake.importers.reading import steady
from lake.importers.reading.csv_tables import csv_columns, csv_rows
from lake.importers.reading.jsons import ZEROS
from lake.importers.reading.tabular import Asked, form_of, tabular

ROWS = [{"a": "1", "b": "x", "c": "2"}, {"a": "3", "b": "y", "c": "4"}]
TEXT = "a,b,c\n1,x,2\n3,y,4\n"


def read(path: Path, **how: Any) -> tuple[list[Any], Notes]:
    notes = Notes()
    return list(csv_rows(path, notes, **how)), notes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_what_its_first_bytes_say_is_its_encoding(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(("\ufeff" * (encoding == "utf-16-le") + TEXT).encode(encoding))
    assert (csv_columns(path), read(path)[0]) == (["a", "b", "c"], ROWS)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ending", [".csv", ".csv.gz"])
def test_utf_16_without_a_mark_is_told_by_its_zeros(tmp_path: Path, encoding: str, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    text = TEXT.replace("x", "купи 一")
    raw = text.encode(encoding)
    path.write_bytes(gzip.compress(raw) if ending.endswith("gz") else raw)
    found, notes = read(path)
    assert (found, notes.texts) == ([{**ROWS[0], "b": "купи 一"}, ROWS[1]], [])
    assert tabular(str(path), Asked()).columns == ("a", "b", "c")


def test_characters_that_are_none_are_replaced_and_told(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("a,b,c\n1,gér\u00e9,2\n".encode("latin-1"))
    found, notes = read(path)
    assert (found[0]["a"], found[0]["c"], notes.failed) == ("1", "2", False)
    assert "those characters are replaced" in notes.texts[0]


def test_empty_lines_before_the_header_and_between_rows_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("\n\r\n" + TEXT.replace("3,", "\n3,"))
    assert read(path)[0] == ROWS
    path.write_text("made today\n\n" + TEXT)
    assert read(path, skip=1)[0] == ROWS


@pytest.mark.parametrize("end", [
    "3,y", '3,"y,4', '3,y,"4', "3", '3,y,"4""', '3,"y\n",4" or,"5', '3,"y\nz',
    '3,"y\n', '3,y,"4\n', '3,"y,4\n5,z,6\n7,a,8\n',
])  # fmt: skip
def test_a_last_line_that_breaks_off_is_refused_and_what_comes_before_is_taken(tmp_path: Path, end: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"a,b,c\n1,x,2\n{end}")
    found, notes = read(path)
    assert (found[0], type(found[1]), len(found)) == (ROWS[0], Refused, 2)
    assert (notes.failed, notes.texts) == (True, ["the file breaks off: what comes before is taken"])


@pytest.mark.parametrize("text", [
    TEXT.rstrip("\n"), "a,b,c\n1,x\n3,y", 'a,b,c\n1,"x",2\n3,y,"4"', "a,b,c\n1,x\n3,y\n", 'a,b,c\n1,x,2\n3,5" wide,4',
    'a;b;c\n1;x;2\n3;"a ""b""";4"', 'a,b,c\n1,"x\n",2\n3,y,"4\n"\n', 'a,b,c\n1,x,2\r\n3,y,"4\r\n"',
])  # fmt: skip
def test_a_last_line_that_may_be_whole_is_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    found, notes = read(path)
    assert ([row["a"] for row in found], notes.texts) == (["1", "3"], [])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("1,x\n3,y,4\n", [{"a": "1", "b": "x"}, ROWS[1]]),
        ("1,x\n3,y\n", [{"a": "1", "b": "x"}, {"a": "3", "b": "y"}]),
        ('1,"x\nx",2\n3,y,4\n', [{**ROWS[0], "b": "x\nx"}, ROWS[1]]),
    ],
)
def test_the_first_line_of_a_file_without_a_header_is_a_row_as_any_other(
    tmp_path: Path, text: str, rows: list[Any]
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text)
    found, notes = read(path, header=("a", "b", "c"))
    assert (found, notes.texts) == (rows, [])


def test_a_file_to_which_lines_are_added_is_read_and_one_that_is_written_anew_is_of_one_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(TEXT)
    rows = csv_rows(path, Notes())
    found = [next(rows)]
    path.write_text("a,b,c\n0,w,1\n" + TEXT[6:])
    assert [*found, *rows] == ROWS
    ticks = count(1)
    monkeypatch.setattr(steady, "_PAUSE", 0.0)
    monkeypatch.setattr(steady, "_state", lambda _file: next(ticks))
    assert len(read(path)[0]) == 3


def test_a_packed_file_that_breaks_off_gives_what_comes_before(tmp_path: Path) -> None:
    path = tmp_path / "t.csv.gz"
    lines = [f"{n},x{n * 7919 % 1000},{n}" for n in range(50_000)]
    packed = gzip.compress("\n".join(["a,b,c", *lines]).encode())
    path.write_bytes(packed[: len(packed) // 2])
    found, notes = read(path)
    assert notes.failed
    assert 1_000 < len(found) < 50_000
    assert all(
        row == dict(zip("abc", line.split(","), strict=True)) for row, line in zip(found[:-1], lines, strict=False)
    )


@pytest.mark.parametrize("zeros", [1, 4096])
def test_zero_bytes_that_a_power_cut_left_are_passed_over_and_told(tmp_path: Path, zeros: int) -> None:
    path, notes = tmp_path / "rows.csv", Notes()
    path.write_bytes(b"symbol,price\nBTCUSDT,2\n" + bytes(zeros) + b"ETHUSDT,4\nXRPUSD" + bytes(zeros))
    found = list(csv_rows(path, notes))
    assert found[:2] == [{"symbol": "BTCUSDT", "price": "2"}, {"symbol": "ETHUSDT", "price": "4"}]
    assert (isinstance(found[2], Refused), len(found), notes.failed, ZEROS in notes.texts) == (True, 3, True, True)
    assert form_of(path) == "csv"
