"""Columns of which the files of a snapshot hold nothing are not read, and are there with their type as any other."""

from __future__ import annotations

from pathlib import Path

import lake
from tests.helpers import trade, write_candles


def test_a_column_without_any_value_is_not_read_and_says_null(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        write_candles(lk, range(6_000))
        ((_, plan),) = lk.sql("EXPLAIN SELECT sum(quote_volume), sum(volume) FROM candles").fetchall()
        assert "volume" in plan.replace("quote_volume", "")
        scanned = plan[plan.index("READ_PARQUET") :]
        assert "quote_volume" not in scanned
        found = lk.sql("SELECT count(quote_volume), sum(quote_volume), count(*) FROM candles")
        assert found.fetchall() == [(0, None, 6_000)]
        assert [str(kind) for kind in lk.sql("SELECT trade_count, quote_volume FROM candles").types] == [
            "BIGINT",
            "DOUBLE",
        ]
        assert lk.sql("SELECT count(*) FROM candles WHERE quote_volume IS NULL").fetchall() == [(6_000,)]
        assert lk.sql("SELECT count(*) FROM candles WHERE quote_volume > 0").fetchall() == [(0,)]


def test_a_value_in_one_file_or_in_a_row_that_waits_is_read(tmp_path: Path) -> None:
    with lake.open(tmp_path, bot_id="b") as lk:
        lk.write("trades", [trade(1), trade(2)])
        lk.drain()
        asked = "SELECT trade_id, pnl, strategy FROM trades ORDER BY trade_id"
        assert lk.sql(asked).fetchall() == [("t1", None, None), ("t2", None, None)]
        lk.write("trades", trade(3, pnl=2.5))
        assert lk.sql(asked).fetchall() == [("t1", None, None), ("t2", None, None), ("t3", 2.5, None)]
        lk.drain()
        lk.write("trades", trade(1, strategy="s", pnl=1.0))
        assert lk.sql(asked).fetchall() == [("t1", 1.0, "s"), ("t2", None, None), ("t3", 2.5, None)]
        lk.drain()
        lk.compact()
        assert lk.sql(asked).fetchall() == [("t1", 1.0, "s"), ("t2", None, None), ("t3", 2.5, None)]
