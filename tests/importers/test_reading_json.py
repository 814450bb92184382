from __future__ import annotations

import gzip
import json
import multiprocessing
import resource
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lake.errors import SourceError
from lake.importers.base import Notes, Refused
from lake.importers.reading import jsons, steady
from lake.importers.reading.json_lines import lines_in
from lake.importers.reading.jsons import rows_in
from lake.importers.reading.tabular import Asked, tabular

ROWS: list[dict[str, Any]] = [{"id": 1, "note": 'Цена "]}"\\'}, {"id": 2, "x": [1.5, None, True]}, {"id": 3}]
DOCUMENT = {"metadata": {"version": "1.0", "text": '"}]{['}, "trades": ROWS, "patterns": {"a": [{"b": "]"}]}}
WRITTEN = json.dumps(DOCUMENT, ensure_ascii=False).encode()


def read(path: Path, content: bytes) -> tuple[list[Any], Notes]:
    path.write_bytes(content)
    notes = Notes()
    return list(rows_in(path, "trades", notes)), notes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "journal.json"


def test_a_file_cut_at_any_byte_gives_the_rows_before_and_says_that_it_breaks_off(file: Path) -> None:
    for size in range(1, len(WRITTEN)):
        found, notes = read(file, WRITTEN[:size])
        assert notes.failed, WRITTEN[:size]
        assert "breaks off" in notes.texts[0]
        whole = [row for row in found if not isinstance(row, Refused)]
        assert whole == ROWS[: len(whole)]
        assert len(found) - len(whole) <= 1
    assert read(file, WRITTEN)[0] == ROWS


def test_an_array_cut_at_any_byte_gives_the_rows_before(file: Path) -> None:
    content = json.dumps(ROWS).encode()
    for size in range(1, len(content)):
        found, notes = read(file, content[:size])
        assert notes.failed
        whole = [row for row in found if not isinstance(row, Refused)]
        assert whole == ROWS[: len(whole)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be-bom"])
def test_every_byte_order_mark_is_understood(file: Path, encoding: str) -> None:
    text = WRITTEN.decode()
    content = b"\xfe\xff" + text.encode("utf-16-be") if encoding == "utf-16-be-bom" else text.encode(encoding)
    found, notes = read(file, content)
    assert (found, notes.texts) == (ROWS, [])


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_understood(file: Path, encoding: str) -> None:
    found, notes = read(file, WRITTEN.decode().encode(encoding))
    assert (found, notes.texts) == (ROWS, [])


@pytest.mark.parametrize("tail", [b"]}", b'"tail of an older, longer file"}]}', b",", b'{"trades": [{"id": 4}, '])
def test_what_follows_the_end_and_is_no_json_is_told_and_refused(file: Path, tail: bytes) -> None:
    found, notes = read(file, WRITTEN + tail)
    assert found[:-1] == ROWS
    assert isinstance(found[-1], Refused)
    assert found[-1].found.strip() == tail.decode().strip()
    assert notes.failed
    assert "something follows the end" in notes.texts[0]


def test_files_that_were_joined_are_read_to_their_end(file: Path) -> None:
    found, notes = read(file, json.dumps(ROWS).encode() + b"\n[]" + WRITTEN + b'[{"id": 9}]')
    assert found == [*ROWS, *ROWS, {"id": 9}]
    assert not notes.failed
    (note,) = notes.texts
    assert "something follows the end" in note


def test_an_object_behind_the_end_that_has_no_rows_is_refused(file: Path) -> None:
    *found, last = read(file, WRITTEN + b'{"id": 9}')[0]
    assert (found, last) == (ROWS, Refused({"id": 9}, "it stands behind the end of the JSON"))


def test_of_a_name_that_is_there_twice_the_last_counts_and_the_others_are_kept(file: Path) -> None:
    found, _ = read(file, b'[{"pnl": 1, "x": {"a": 1, "a": 2}, "pnl": 2, "pnl": 3}]')
    assert found == [{"pnl": 3, "x": {"a": 2, "repeated:a": [1]}, "repeated:pnl": [1, 2]}]


def test_rows_under_a_name_that_is_there_twice_are_all_taken(file: Path) -> None:
    assert read(file, b'{"trades": [1], "trades": [2]}')[0] == [1, 2]


def test_bytes_that_are_no_text_are_replaced_and_told(file: Path) -> None:
    found, notes = read(file, b'[{"a": "\xff"}]')
    assert found == [{"a": "\ufffd"}]
    assert "not text of its encoding" in notes.texts[0]
    assert read(file, '[{"a": "\ufffd"}]'.encode())[1].texts == []


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b'[{"a": 1}, {"a": }, {"a": 3}]', 1),
        (b'[{"a": 1} {"a": 2}]', 1),
        (b"[1, 2,, 3]", 2),
        (b'[1, "\n"]', 1),
        (b"[1, [[[[" + b"[" * 100_000, 1),
    ],
)
def test_damage_ends_the_reading_and_what_stands_there_is_refused(file: Path, content: bytes, rows: int) -> None:
    found, notes = read(file, content)
    assert [isinstance(row, Refused) for row in found] == [False] * rows + [True]
    assert notes.failed


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty"), (b"\xef\xbb\xbf \n", "the file is empty"),
        (b"SQLite format 3\0", "not a JSON file"), (b'"trades"', "not a JSON file"),
        (b'{"signals": []}', "it has no 'trades'"),
        (b'{"trades": {"1": {}}}', "'trades' is no array"), (b'{"trades": 3}', "'trades' is no array"),
    ],
)  # fmt: skip
def test_a_file_of_another_kind_is_one_clear_error(file: Path, content: bytes, why: str) -> None:
    with pytest.raises(SourceError, match=why):
        read(file, content)


@pytest.mark.parametrize("content", [b"{}", b"[]", b'{"trades": []}', b'{"trades": null}', b" [ ] "])
def test_nothing_is_no_error(file: Path, content: bytes) -> None:
    found, notes = read(file, content)
    assert (found, notes.texts) == ([], [])


def test_a_packed_file_that_was_not_written_to_its_end_gives_what_comes_before(tmp_path: Path) -> None:
    rows = [{"id": n, "text": str(n * 7919)} for n in range(50_000)]
    packed = gzip.compress(json.dumps(rows).encode())
    file = tmp_path / "j.json.gz"
    found, notes = read(file, packed)
    assert (found, notes.failed) == (rows, False)
    found, notes = read(file, packed[: len(packed) // 2])
    whole = [row for row in found if not isinstance(row, Refused)]
    assert notes.failed
    assert whole == rows[: len(whole)]
    assert len(whole) > 20_000
    with pytest.raises(SourceError, match="it cannot be read"):
        read(file, packed[:2000] + b"damaged" + packed[2007:])


def test_packed_lines_that_break_off_give_what_comes_before(tmp_path: Path) -> None:
    rows = [{"id": n, "text": str(n * 7919)} for n in range(20_000)]
    packed = gzip.compress("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    file = tmp_path / "log.jsonl.gz"
    file.write_bytes(packed[: len(packed) // 2])
    notes = Notes()
    found = list(lines_in(file, notes))
    assert notes.failed
    assert found == rows[: len(found)]
    assert len(found) > 5_000


def test_lines_that_are_no_json_do_not_stop_the_others(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \n[2]\n{"a": NaN}\n{"b": 1, "b": 2}')
    notes = Notes()
    found = list(lines_in(file, notes))
    assert [type(row).__name__ for row in found] == ["dict", "Refused", "list", "dict", "dict"]
    assert found[-1] == {"b": 2, "repeated:b": [1]}
    assert "line 3 is no JSON" in notes.texts[0]


def test_a_line_without_an_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lake.importers.reading.json_lines._LONGEST", 100)
    file = tmp_path / "log.jsonl"
    file.write_text(f'{{"a": 1}}\n["{"x" * 1000}"]\n{{"a": 2}}\n')
    found = list(lines_in(file, Notes()))
    assert [row for row in found if not isinstance(row, Refused)] == [{"a": 1}, {"a": 2}]
    assert len(found) == 3


def test_a_line_that_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text(f'{"[" * 90_000}\n{{"a": 2}}\n')
    assert [isinstance(row, Refused) for row in lines_in(file, Notes())] == [True, False]


def test_only_the_first_hundred_damaged_lines_are_told_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text("{\n" * 1000)
    notes = Notes()
    assert len(list(lines_in(file, notes))) == 1000
    assert (len(notes.texts), notes.texts[-1]) == (101, "... and 900 more such notes")


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=40)
@example([1.3017506948621172e16, 1.3017506948621172e16, []], {}, 0, 2)  # a window ends where the file does
@given(
    st.lists(_values, max_size=6),
    st.dictionaries(st.text(max_size=5).filter(lambda name: name != "trades"), _values, max_size=3),
    st.integers(0, 3),
    st.integers(2, 100),
)
def test_any_json_is_read_as_the_standard_library_reads_it_in_windows_of_any_size(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], beside: dict[str, Any], indent: int, window: int
) -> None:
    whole = {**beside, "trades": rows} if indent % 2 else {"trades": rows, **beside}
    file = tmp_path_factory.mktemp("json") / "j.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lake.importers.reading.jsons._CHUNK", window)
        content = json.dumps(whole, indent=indent or None, ensure_ascii=bool(indent % 3)).encode(errors="surrogatepass")
        found, notes = read(file, content)
    assert not notes.failed
    there = json.loads(content, parse_constant=str)["trades"]  # infinities are kept as text
    assert json.dumps(found).encode("ascii") == json.dumps(there).encode("ascii") or notes.texts


@pytest.mark.parametrize("is_large", [False, True])
def test_rows_of_a_file_that_is_written_anew_meanwhile_are_never_of_two_moments(
    file: Path, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsons, "_CHUNK", 1 << 10)
    monkeypatch.setattr(steady, "_COPIED", 0 if is_large else 1 << 20)
    trades = [{"opened": n, "closed": n, "note": "x" * 100} for n in range(1_000)]
    file.write_text(json.dumps(trades))
    found, rows = [], rows_in(file, "trades", Notes())
    with suppress(SourceError):
        found.append(next(rows))
        file.write_text(json.dumps([{"added": "at the front"}, *trades[:500]]))
        found += rows
    assert found == trades[: len(found)]
    assert (len(found) == len(trades)) is not is_large


def test_a_file_that_never_rests_is_told_as_that(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("[1]")
    ticks = count(1)
    monkeypatch.setattr(steady, "_PAUSE", 0.0)
    monkeypatch.setattr(steady, "_state", lambda _file: next(ticks))
    with pytest.raises(SourceError, match="changes while it is read"):
        list(rows_in(file, "trades", Notes()))


NOTE = "a note of some length " + "x" * 500
ROW = f'{{"id": 7, "symbol": "BTCUSDT", "conditions": {{"rsi": 62.95, "trend": null}}, "notes": "{NOTE}"}}'
MEGABYTE = 1_000_000


def _peak(work: Callable[[Path], int], path: Path, answer: Any) -> None:
    """Run in a process of its own, and tell how many bytes of memory it takes more than before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    count = work(path)
    answer.send((count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024))


def _count(path: Path) -> int:
    return sum(1 for _ in rows_in(path, "trades", Notes()))


def _written_large(path: Path, size: int, head: str, row: str, tail: str) -> int:
    many = ",".join([row] * 1000)
    times = size // len(many)
    with path.open("w") as file:
        file.write(head)
        file.writelines("," * (number > 0) + many for number in range(times))
        file.write(tail)
    return times * 1000


@pytest.mark.parametrize(
    ("size", "head", "row", "tail", "most"),
    [
        (100 * MEGABYTE, '{"trades": [', ROW, '], "metadata": {}}', 40 * MEGABYTE),
        (30 * MEGABYTE, '{"patterns": {"all": [', ROW, ']}, "trades": []}', 10 * MEGABYTE),
        (30 * MEGABYTE, '{"trades": [{"a": 1} 7, ', ROW, "]}", 10 * MEGABYTE),
        (100 * MEGABYTE, '{"trades": ["', NOTE, "", 400 * MEGABYTE),
    ],
    ids=["rows", "passed over", "damaged at the beginning", "a text without an end"],
)
def test_a_large_file_takes_little_memory(tmp_path: Path, size: int, head: str, row: str, tail: str, most: int) -> None:
    file = tmp_path / "large.json"
    rows = _written_large(file, size, head, row, tail)
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_peak, args=(_count, file, there))
    process.start()
    count, taken = here.recv()
    process.join(60)
    assert process.exitcode == 0
    assert count == (rows if most == 40 * MEGABYTE else 0 if "patterns" in head else 2 if "7" in head else 1)
    assert taken < most


@pytest.mark.parametrize("zeros", [1, 4096, 70_000])
def test_zero_bytes_that_a_power_cut_left_are_passed_over_and_told(tmp_path: Path, file: Path, zeros: int) -> None:
    found, notes = read(file, WRITTEN + bytes(zeros))
    assert (found, notes.texts, notes.failed) == (ROWS, [jsons.ZEROS], False)
    found, notes = read(file, json.dumps(ROWS).encode()[:-5] + bytes(zeros))
    assert (found[:2], isinstance(found[2], Refused), notes.failed) == (ROWS[:2], True, True)
    lines, notes = tmp_path / "rows.jsonl", Notes()
    written = [json.dumps(row).encode() for row in ROWS]
    lines.write_bytes(written[0] + b"\n" + bytes(zeros) + written[1] + b"\n" + written[2] + b"\n" + bytes(zeros))
    assert (list(lines_in(lines, notes)), notes.texts, notes.failed) == (ROWS, [jsons.ZEROS], False)


def test_a_file_of_zero_bytes_is_empty(file: Path) -> None:
    with pytest.raises(SourceError, match="empty"):
        read(file, bytes(5_000))


@pytest.mark.parametrize("kind", ["lines", "csv", "json"])
@pytest.mark.parametrize("how", ["cut", "checksum", "junk", "other"])
def test_damage_of_a_packed_file_is_told_and_ends_no_reading_in_a_trace(tmp_path: Path, kind: str, how: str) -> None:
    """Rows of lines and of a CSV come before it; of other JSON nothing is believed but what breaks off."""
    rows = [{"id": str(n), "text": str(n * 7919)} for n in range(3_000)]
    text = {
        "lines": "".join(f"{json.dumps(row)}\n" for row in rows),
        "csv": "id,text\n" + "".join(f"{row['id']},{row['text']}\n" for row in rows),
        "json": json.dumps(rows),
    }[kind]
    packed = gzip.compress(text.encode())
    damaged = {"cut": packed[:-9], "checksum": packed[:-8] + b"1234" + packed[-4:], "junk": packed + b"junk"}
    path = tmp_path / {"lines": "t.jsonl.gz", "csv": "t.csv.gz", "json": "t.json.gz"}[kind]
    path.write_bytes(damaged.get(how, text.encode()))
    if how == "other" or (kind == "json" and how != "cut"):
        with pytest.raises(SourceError, match="it cannot be read"):
            list(tabular(str(path), Asked()).rows(Notes()))
        return
    notes = Notes()
    found = [row for row in tabular(str(path), Asked()).rows(notes) if not isinstance(row, Refused)]
    assert notes.failed
    assert found == rows[: len(found)]
    assert len(found) > 2_900
