"""Of a damaged SQLite file every row lands that is whole, the others are told, and the mended file completes it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import lake
from lake.errors import SourceError
from lake.importers.base import Notes, Options
from lake.importers.reading.sqlite import SqliteFile
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from tests.importers.freqtrade_bots import bot, order, trade

_PAGE, _ROWS = 1024, 4_000
_DAMAGE = random.Random(5).randbytes(_PAGE)
_DEALS = """create table deals (id integer primary key, pair text, side text, qty real, entry real, exit real,
  profit real, opened text, closed text, note text)"""
_MAP = """
dataset = "trades"
table = "deals"
[columns]
trade_id = { id = ["symbol", "side", "opened_at"] }
symbol = "pair"
side = "side"
status = { ended = "closed" }
quantity = "qty"
entry_price = "entry"
exit_price = "exit"
pnl = "profit"
created_at = "opened"
opened_at = "opened"
closed_at = "closed"
[sums]
pnl = "profit"
"""


def deal(number: int) -> tuple[Any, ...]:
    day = f"2024-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}T{number % 24:02}:{number % 60:02}"
    note = "x" * (3_000 if number % 500 == 0 else number % 50)  # of a few rows on pages of their own
    seconds = f"{number // 100 % 60:02}.{number % 1000:03}Z"
    times = (f"{day}:{seconds}", f"{day[:11]}23:59:59.999Z")
    return (number, "BTC/USDT", "LONG", 1.0, 100.0, 101.0, 1.0, *times, note)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with pages of 1 KiB: a table of some four hundred leaves, below several pages, and an index."""
    path = tmp_path_factory.mktemp("whole") / "bot.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"pragma page_size = {_PAGE}")
        connection.execute(_DEALS)
        connection.execute("create index of_time on deals (opened)")
        connection.executemany(f"insert into deals values ({', '.join('?' * 10)})", map(deal, range(1, _ROWS + 1)))
        connection.commit()
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    """A copy, to be damaged."""
    return shutil.copyfile(whole, tmp_path / "bot.db")


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake", durability="normal") as opened:
        yield opened


def leaves(path: Path, first_byte: int = 13) -> list[int]:
    """Numbers of the pages of a kind, the leaves of tables when left out, in the order of the file."""
    raw = path.read_bytes()
    return [page for page in range(2, len(raw) // _PAGE + 1) if raw[(page - 1) * _PAGE] == first_byte]


def put(path: Path, page: int, data: bytes, at: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * _PAGE + at)
        file.write(data)


def cut(path: Path, pages: float) -> None:
    path.write_bytes(path.read_bytes()[: int(pages * _PAGE)])


def root(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("select rootpage from sqlite_master where name = ?", [name]).fetchone()[0])


def bring(lk: lake.Lake, path: Path) -> ImportReport:
    (map_file := path.with_suffix(".toml")).write_text(_MAP)
    return import_from(lk, "generic", str(path), Options(map_file=map_file, bot_id="b"))


def read(path: Path, order_by: tuple[str, ...] = ()) -> tuple[list[int], Notes]:
    notes = Notes()
    return [row["id"] for row in SqliteFile(path).rows("deals", notes, order_by)], notes


HURTS: dict[str, tuple[Callable[[Path], None], int]] = {  # how a file is damaged, and how many rows that costs at most
    "a page that is none": (lambda path: put(path, leaves(path)[150], _DAMAGE), 15),
    "a page of zeros": (lambda path: put(path, leaves(path)[150], bytes(_PAGE)), 15),
    "half a page of zeros": (lambda path: put(path, leaves(path)[150], bytes(_PAGE // 2), _PAGE // 2), 15),
    "half a page of another": (
        lambda path: put(path, leaves(path)[150], path.read_bytes()[leaves(path)[9] * _PAGE - 512 :][:512], 512), 15,
    ),
    "two pages": (lambda path: [put(path, leaves(path)[at], _DAMAGE) for at in (100, 200)] and None, 30),
    "the first leaf": (lambda path: put(path, leaves(path)[0], _DAMAGE), 15),
    "the first page of the tree": (lambda path: put(path, root(path, "deals"), _DAMAGE), 0),
    "a page above leaves": (lambda path: put(path, leaves(path, 5)[1], _DAMAGE), 0),
    "the end": (lambda path: cut(path, leaves(path)[200] - 0.5), _ROWS - 199 * 8),
    "a page that a long text goes on on": (lambda path: put(path, leaves(path, 0)[1], _DAMAGE), 1),
    "the index": (lambda path: [put(path, page, _DAMAGE) for page in leaves(path, 10)[3:9]] and None, 0),
    "the list of free pages": (lambda path: put(path, 1, b"\0\0\7\7\0\0\0\5", 32), 0),
}  # fmt: skip


@pytest.mark.parametrize("how", HURTS)
def test_of_a_damaged_database_all_rows_that_are_whole_land_and_the_mended_file_completes_them(
    lk: lake.Lake, path: Path, whole: Path, how: str
) -> None:
    hurt, most = HURTS[how]
    hurt(path)
    damaged = path.read_bytes()
    report = bring(lk, path)
    landed = report.totals["landed"]
    assert report.balanced
    assert _ROWS - most <= landed < _ROWS + (most == 0)
    assert report.failed == (most > 0 or how == "the first page of the tree"), report.text()
    assert path.read_bytes() == damaged
    shutil.copyfile(whole, path)
    again = bring(lk, path)
    assert (again.balanced, again.failed, again.totals["changed"]) == (True, False, 0)
    assert again.totals["landed"] == _ROWS - landed
    assert lk.frame("SELECT count(*) AS n, sum(pnl) AS pnl FROM trades").row(0) == (_ROWS, float(_ROWS))


def test_which_rows_cannot_be_read_is_told(path: Path) -> None:
    lost = leaves(path)[150]
    put(path, lost, _DAMAGE)
    numbers, notes = read(path)
    gone = sorted(set(range(1, _ROWS + 1)).difference(numbers))
    assert gone == list(range(gone[0], gone[-1] + 1))
    assert f"of deals the rows {gone[0]:,} to {gone[-1]:,} cannot be read" in notes.texts[0]


@pytest.mark.parametrize("order", [("opened",), ("note", "opened")])
@pytest.mark.parametrize("kind", [13, 10])
def test_rows_come_in_the_order_that_is_asked_for_though_pages_are_damaged(
    path: Path, whole: Path, order: tuple[str, ...], kind: int
) -> None:
    for page in leaves(path, kind)[7:30:11]:
        put(path, page, _DAMAGE)
    numbers, _ = read(path, order)
    expected, _ = read(whole, order)
    there = set(numbers)
    assert numbers == [number for number in expected if number in there]
    assert len(numbers) > _ROWS - 50


def test_several_tables_that_are_read_at_once_go_on_each_by_itself(path: Path) -> None:
    put(path, leaves(path)[150], _DAMAGE)
    db = SqliteFile(path)
    first, second = (db.rows("deals", Notes()) for _ in range(2))
    begun = [next(second) for _ in range(10)]
    assert [row["id"] for row in first] == [row["id"] for row in [*begun, *second]]


@pytest.mark.parametrize("newest_first", [False, True])
def test_pages_of_a_large_table_go_on_behind_what_is_damaged(path: Path, *, newest_first: bool) -> None:
    expected, _ = read(path)
    put(path, leaves(path)[150], _DAMAGE)
    notes, columns = Notes(), {"id": pl.Int64(), "profit": pl.Float64()}
    pages = list(SqliteFile(path).pages("deals", columns, notes, 300, newest_first=newest_first))
    numbers = pl.concat([page for page in pages if isinstance(page, pl.DataFrame)])["id"].to_list()
    assert notes.failed
    assert numbers == sorted(numbers, reverse=newest_first)
    assert _ROWS - 15 <= len(numbers) < _ROWS
    assert set(numbers) < set(expected)


def test_rows_that_were_deleted_do_not_come_back_with_those_that_are_found(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("delete from deals where id between 1000 and 1999")
        connection.commit()
    put(path, root(path, "deals"), _DAMAGE)
    numbers, _ = read(path)
    assert numbers == [*range(1, 1000), *range(2000, _ROWS + 1)]


def test_of_two_tables_whose_rows_are_alike_lost_leaves_are_given_to_neither(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(_DEALS.replace("deals", "others"))
        connection.execute("insert into others select * from deals")
        connection.commit()
    for name in ("deals", "others"):
        put(path, root(path, name), _DAMAGE)
    numbers, notes = read(path)
    assert (numbers, notes.failed) == ([], True)
    assert "of deals the rows of all numbers cannot be read" in notes.texts[0]


def test_a_table_without_row_ids_is_read_up_to_what_is_damaged_and_says_so(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute(f"pragma page_size = {_PAGE}")
        connection.execute("create table deals (id integer primary key, note text) without rowid")
        connection.executemany("insert into deals values (?, ?)", ((n, "x" * 50) for n in range(1_000)))
        connection.commit()
    put(tmp_path / "x.db", leaves(tmp_path / "x.db", 10)[20], _DAMAGE)
    numbers, notes = read(tmp_path / "x.db")
    assert numbers == list(range(len(numbers)))
    assert 200 < len(numbers) < 1_000
    assert (notes.failed, "what comes before is taken" in notes.texts[0]) == (True, True)


@pytest.mark.parametrize("at", [100, 512])
def test_a_database_whose_list_of_tables_is_damaged_says_so(path: Path, at: int) -> None:
    put(path, 1, bytes(_PAGE - at), at)
    with pytest.raises(SourceError, match=r"cannot be read|the list of its tables is damaged") as caught:
        SqliteFile(path)
    assert ".recover" in str(caught.value)


@pytest.fixture
def logged(path: Path, tmp_path: Path) -> Path:
    """A file with a log beside it, as a bot that was killed leaves them: 500 rows were changed, in fifty steps."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma wal_autocheckpoint = 0")
        for first in range(1, 501, 10):
            connection.execute("update deals set profit = 2 where id between ? and ?", [first, first + 9])
            connection.commit()
        (left := tmp_path / "left").mkdir()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", left / f"bot.db{suffix}")
    return left / "bot.db"


def changed(path: Path) -> tuple[int, Notes]:
    notes = Notes()
    return sum(row["profit"] == 2 for row in SqliteFile(path).rows("deals", notes)), notes


def test_a_whole_log_is_taken_without_a_word(logged: Path) -> None:
    number, notes = changed(logged)
    assert (number, notes.texts, notes.failed) == (500, [], False)


@pytest.mark.parametrize("how", ["cut", "torn", "head"])
def test_a_damaged_log_is_taken_up_to_there_and_told(logged: Path, how: str) -> None:
    log = Path(f"{logged}-wal")
    raw = log.read_bytes()
    place = len(raw) // 2
    torn = {
        "cut": raw[:place],
        "torn": raw[:place] + _DAMAGE + raw[place + _PAGE :],
        "head": raw[:16] + b"?" + raw[17:],
    }
    log.write_bytes(torn[how])
    number, notes = changed(logged)
    assert 0 < number < 500 if how != "head" else number == 0
    assert notes.failed
    assert "the log beside the database (-wal) is damaged" in notes.texts[0]


def test_what_was_not_committed_in_a_log_is_no_damage(logged: Path) -> None:
    with closing(sqlite3.connect(logged)) as connection:
        connection.execute("pragma wal_autocheckpoint = 0")
        connection.execute("pragma cache_size = 5")
        connection.execute("update deals set profit = 3, note = note || 'y'")
        (left := logged.parent / "again").mkdir()
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{logged}{suffix}", left / f"bot.db{suffix}")
    number, notes = changed(left / "bot.db")
    assert (number, notes.texts) == (500, [])


def test_damage_is_mended_with_what_the_log_says(logged: Path) -> None:
    put(logged, leaves(logged)[300], _DAMAGE)
    number, notes = changed(logged)
    assert (number, notes.failed) == (500, True)


def test_a_bot_of_freqtrade_whose_tables_are_damaged_is_completed_by_the_mended_file(
    lk: lake.Lake, tmp_path: Path
) -> None:
    def at(number: int, minute: int) -> str:
        return f"2024-03-{number % 28 + 1:02} {number // 28:02}:{minute:02}:00.000001"

    trades = [trade(n, open_date=at(n, 0), close_date=at(n, 30)) for n in range(1, 301)]
    pairs = [(order(2 * n - 1, n, "buy", order_date=at(n, 0)), order(2 * n, n, "sell", order_date=at(n, 30)))
             for n in range(1, 301)]  # fmt: skip
    path = bot(tmp_path / "tradesv3.sqlite", 2021, trades=trades, orders=[one for pair in pairs for one in pair])
    whole = path.read_bytes()
    of_tables = [page for page in range(1, len(whole) // 4096) if whole[page * 4096] == 13]
    for page in (of_tables[5], of_tables[-5]):
        put(path, page * 4 + 1, bytes(4096))  # in pages of 1 KiB
    report = import_from(lk, "freqtrade", str(path))
    assert (report.balanced, report.failed) == (True, True)
    assert 0 < report.totals["landed"] < 900
    path.write_bytes(whole)
    again = import_from(lk, "freqtrade", str(path))
    assert (again.balanced, again.failed) == (True, False)
    assert lk.frame("SELECT count(*), sum(pnl) FROM trades WHERE status = 'closed'").row(0) == (
        300,
        pytest.approx(300 * 9.79),
    )
    assert lk.frame("SELECT count(*), count(DISTINCT trade_id) FROM fills").row(0) == (600, 300)
