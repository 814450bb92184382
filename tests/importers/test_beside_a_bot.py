"""What a bot writes between an import's look at the lake and its write stays, and is told as if it had been there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import lake
import lake.sources.landing as ingest_landing
from lake.importers.base import Options
from lake.importers.candle_landing import CandleLanding
from lake.importers.landing import RecordLanding
from lake.importers.report import ImportReport
from lake.importers.run import import_from
from lake.ledgers.writer import BULK_ROWS
from lake.sources.ingest import ingest
from tests.helpers import T0, closes

Bot = Callable[[lake.Lake], object]
FEW, MANY = 3, BULK_ROWS + 1
AT = 1_700_000_000
CANDLES = """create table candles (id integer primary key, symbol varchar(20) not null, timestamp bigint not null,
  open float, high float, low float, close float, volume float, unique (symbol, timestamp))"""


def once(bot: Bot, where: Path, after: Callable[..., Any]) -> Callable[..., Any]:
    """``after``, and behind its first call for any rows what the bot does, with a hot log of its own."""
    left = [bot]

    def both(*arguments: Any, **named: Any) -> Any:
        found = after(*arguments, **named)
        if left and len(arguments[-1]):
            with lake.open(where, bot_id="beside") as lk:
                left.pop()(lk)
        return found

    return both


def trades(path: Path, count: int) -> Path:
    told = [
        {
            "symbol": "BTCUSDT", "side": "long", "entry_price": 100.0, "exit_price": 101.0, "quantity": 0.25,
            "entry_time": AT + 60 * n, "exit_time": AT + 60 * n + 30, "pnl_usd": 0.25, "exit_reason": "tp",
        }
        for n in range(count)
    ]  # fmt: skip
    path.write_text(json.dumps(told))
    return path


def trade_id(folder: Path) -> str:
    """Under which id the last of the trades lands."""
    with lake.open(folder / "elsewhere") as lk:
        import_from(lk, "trades-json", str(trades(folder / "one.json", FEW)), Options(bot_id="b1"))
        name: str = lk.frame("SELECT max_by(trade_id, opened_at) FROM trades").item()
    return name


def drained(bot: Bot) -> Bot:
    def does(lk: lake.Lake) -> None:
        bot(lk)
        lk.drain()

    return does


def outcome(report: ImportReport) -> list[Any]:
    assert report.balanced, report.text()
    return [
        (t.found, t.landed, t.changed, t.unchanged, t.refused, t.differences, t.differences_found, t.sums)
        for t in report.tables
    ]


def told_of(folder: Path, source: Path, bot: Bot, *, first: Bot | None = None) -> tuple[list[Any], list[Any]]:
    """What an import tells, and the row that it then finds; the bot writes before it begins when ``first`` is that."""
    with lake.open(folder) as lk:
        for does in (first, bot):
            if does is not None:
                does(lk)
        report = import_from(lk, "trades-json", str(source), Options(bot_id="b1"))
        return outcome(report), rows(lk)


def rows(lk: lake.Lake) -> list[Any]:
    return lk.frame("SELECT trade_id, pnl, exit_reason, strategy FROM trades ORDER BY ALL").rows()


@pytest.mark.parametrize("settles", [False, True], ids=["in-hot", "settled"])
@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_trade_that_a_bot_writes_after_an_import_s_look_is_kept_and_told_as_if_it_had_been_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, settles: bool
) -> None:
    name, source = trade_id(tmp_path), trades(tmp_path / "trade_history.json", count)
    row = {
        "trade_id": name, "bot_id": "b1", "symbol": "BTCUSDT", "side": "LONG", "status": "closed", "mode": "live",
        "quantity": 0.25, "entry_price": 100.0, "exit_price": 107.0, "pnl": 7.25, "strategy": "breakout",
        "created_at": AT * 1000, "opened_at": (AT + 60 * (FEW - 1)) * 1000, "closed_at": (AT + 3600) * 1000,
    }  # fmt: skip

    def write(lk: lake.Lake) -> object:
        return lk.write("trades", row)

    bot = drained(write) if settles else write
    before = told_of(tmp_path / "before", source, bot)
    look = once(bot, tmp_path / "between", RecordLanding._look_up)
    monkeypatch.setattr(RecordLanding, "_look_up", look)
    between = told_of(tmp_path / "between", source, lambda _: None)
    assert between == before
    assert (name, 7.25, "tp", "breakout") in between[1]
    assert len(between[1]) == count


@pytest.mark.parametrize("count", [FEW, MANY])
def test_what_a_bot_patches_after_an_import_s_look_is_kept_and_told_as_if_it_had_been_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    name, source = trade_id(tmp_path), trades(tmp_path / "trade_history.json", count)
    row = {"trade_id": name, "symbol": "BTCUSDT", "status": "closed", "created_at": AT * 1000, "pnl": 5.0}

    def write(lk: lake.Lake) -> object:
        return lk.write("trades", row)

    def patch(lk: lake.Lake) -> object:
        return lk.patch("trades", name, {"pnl": 7.25, "strategy": "breakout"})

    before = told_of(tmp_path / "before", source, patch, first=write)
    look = once(patch, tmp_path / "between", RecordLanding._look_up)
    monkeypatch.setattr(RecordLanding, "_look_up", look)
    between = told_of(tmp_path / "between", source, lambda _: None, first=write)
    assert between == before
    assert (name, 7.25, "tp", "breakout") in between[1]


def bars(count: int) -> list[dict[str, Any]]:
    return [
        {"open_time": T0 + n * 60_000, "open": 1.0, "high": 2.5, "low": 0.5, "close": 1.5, "volume": 1.0 + n}
        for n in range(count)
    ]


def candles_db(path: Path, count: int) -> Path:
    told = [("BTCUSDT", *bar.values()) for bar in bars(count)]
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(CANDLES)
        columns = "(symbol, timestamp, open, high, low, close, volume)"
        connection.executemany(f"insert into candles {columns} values (?, ?, ?, ?, ?, ?, ?)", told)
        connection.commit()
    return path


def final(lk: lake.Lake) -> object:
    """A bot writes the last candle of three: it knows more of it than the import's source."""
    bar = {**bars(FEW)[-1], "close": 2.0, "volume": 9.0, "trade_count": 12}
    return lk.candles.write([bar], "1m", symbol="BTCUSDT")


@pytest.mark.parametrize("settles", [False, True], ids=["in-hot", "settled"])
@pytest.mark.parametrize("count", [FEW, MANY])
def test_a_candle_that_a_bot_writes_after_an_import_s_look_is_kept_and_told_as_if_it_had_been_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, settles: bool
) -> None:
    source, bot = candles_db(tmp_path / "candles.db", count), drained(final) if settles else final
    told = []
    for folder in (tmp_path / "before", tmp_path / "between"):
        with lake.open(folder) as lk:
            if folder.name == "before":
                bot(lk)
            else:
                monkeypatch.setattr(CandleLanding, "_there", once(bot, folder, CandleLanding._there))
            report = import_from(lk, "candles-sqlite", str(source), Options(timeframe="1m"))
            told.append((outcome(report), closes(lk)))
    assert told[0] == told[1]
    assert told[1][1] == {**dict.fromkeys(range(count), 1.5), FEW - 1: 2.0}


@pytest.mark.parametrize("settles", [False, True], ids=["in-hot", "settled"])
@pytest.mark.parametrize("count", [FEW, MANY])
def test_an_ingest_tells_of_a_candle_that_a_bot_writes_after_its_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, settles: bool
) -> None:
    bot = drained(final) if settles else final
    text = "open_time,open,high,low,close,volume\n"
    source = tmp_path / "BTCUSDT-1m.csv"
    source.write_text(text + "".join(",".join(map(str, bar.values())) + "\n" for bar in bars(count)))
    told = []
    for folder in (tmp_path / "before", tmp_path / "between"):
        with lake.open(folder) as lk:
            if folder.name == "before":
                bot(lk)
            else:
                monkeypatch.setattr(ingest_landing, "_held", once(bot, folder, ingest_landing._held))
            (file,) = ingest(lk, str(source)).files
            told.append(((file.landed, file.updated, file.duplicate, file.reasons), closes(lk)))
    assert told[0] == told[1]
    assert told[1][0][:2] == (count - 1, 1)
