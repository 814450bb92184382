"""Trades and phantoms that a bot keeps in Redis: all of them land, whatever key type and age they are of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

import lake
from lake.importers.base import Options
from lake.importers.reading import redis as reading
from lake.importers.reading.redis import RedisStore
from lake.importers.run import import_from
from lake.importers.twins import base_of
from tests.importers.conftest import Redis
from tests.importers.contract import differences, imported, notes, quarantined, rows


@pytest.fixture
def lk(tmp_path: Path) -> Iterator[lake.Lake]:
    with lake.open(tmp_path / "lake") as lk:
        yield lk


def trade(number: int, **more: Any) -> dict[str, Any]:
    return {
        "symbol": "BTCUSDT", "side": "long", "entry_price": 100.0, "exit_price": 110.0, "quantity": 0.5,
        "entry_time": f"2025-03-{1 + number % 28:02d}T10:00:{number // 28:02d}.123456", "leverage": 10,
        "exit_time": f"2025-03-{1 + number % 28:02d}T12:00:{number // 28:02d}", "pnl_usd": 5.01, "pnl_percent": 100.0,
        "exit_reason": "tp", "strategy_name": "trend", **more,
    }  # fmt: skip


def phantom(number: int, symbol: str = "SOLUSDT", **more: Any) -> dict[str, Any]:
    return {
        "symbol": symbol, "side": "short", "entry_price": 50.0 + number, "stop_loss": 52.0 + number,
        "take_profit": 45.0 + number, "signal_time": f"2025-04-01T0{number}:15:00", "ml_score": 71.5,
        "was_executed": False, "features": {"rsi": 61.2}, "outcome": "active", "exit_price": None, "pnl_percent": None,
        "exit_time": None, "max_favorable": 49.0, "max_adverse": 50.5 + number, "one_r_hit": None, "phantom_id": "",
        **more,
    }  # fmt: skip


def ended(number: int, outcome: str = "win", **more: Any) -> dict[str, Any]:
    end = {"outcome": outcome, "exit_time": f"2025-04-01T0{number}:55:30.5", "exit_price": 45.0 + number}
    kept = {"pnl_percent": 10.0, "exit_reason": "tp", "realized_rr": 2.5, "time_to_exit_sec": 2400, **more}
    return phantom(number, **{**end, "strategy_name": "trend", "ml_score": 80.0, "was_executed": True, **kept})


@pytest.mark.parametrize("kind", ["list", "string", "zset", "hash"])
def test_executed_trades_land_whatever_type_their_key_has(lk: lake.Lake, redis: Redis, kind: str) -> None:
    trades = [json.dumps(trade(number)) for number in range(50)]
    key = "trade_history:executed"
    if kind == "list":
        redis.server.lpush(key, *trades)
    elif kind == "string":
        redis.server.set(key, f"[{','.join(trades)}]")
    elif kind == "zset":
        redis.server.zadd(key, {text: number for number, text in enumerate(trades)})
    else:
        redis.server.hset(key, mapping=dict(enumerate(trades)))
    report = imported(lk, "trades-redis", redis.address)
    assert (report.totals["found"], report.totals["landed"]) == (50, 50)
    assert lk.frame("SELECT sum(pnl) AS p, sum(quantity) AS q FROM trades").row(0) == pytest.approx((250.5, 25.0))


@pytest.mark.parametrize("kind", ["list", "string"])
def test_a_name_that_an_entry_has_twice_is_kept_with_both_values(lk: lake.Lake, redis: Redis, kind: str) -> None:
    text = json.dumps(trade(1)).replace('"symbol":', '"symbol": "ETHUSDT", "symbol":')
    if kind == "list":
        redis.server.rpush("trade_history:executed", text)
    else:
        redis.server.set("trade_history:executed", f"[{text}]")
    imported(lk, "trades-redis", redis.address)
    (found,) = json.loads(rows(lk, "trades", "extra")[0])["imported"].values()
    assert (found["symbol"], found["repeated:symbol"]) == ("BTCUSDT", ["ETHUSDT"])


def test_what_json_and_redis_both_tell_is_one_trade(lk: lake.Lake, redis: Redis, tmp_path: Path) -> None:
    (tmp_path / "trade_history.json").write_text(json.dumps([trade(1), trade(2)]))
    import_from(lk, "trades-json", str(tmp_path / "trade_history.json"))
    redis.server.rpush("trade_history:executed", *(json.dumps(t) for t in (trade(2, exit_price=111.0), trade(3))))
    report = import_from(lk, "trades-redis", redis.address)
    assert report.balanced
    assert len(rows(lk, "trades", "trade_id")) == 3
    assert differences(report) == [("exit_price", 110.0, 111.0)]


def test_broken_entries_are_refused_and_the_others_land(lk: lake.Lake, redis: Redis) -> None:
    good, nan = json.dumps(trade(1)), json.dumps(trade(2, exit_price=float("nan")))
    redis.server.rpush(
        "trade_history:executed", good, good[:40], "[]", "7", "\xff", nan, json.dumps(trade(3, side="?"))
    )
    report = import_from(lk, "trades-redis", redis.address)
    assert report.balanced
    assert report.failed
    assert (report.totals["found"], report.totals["landed"], report.totals["refused"]) == (6, 2, 4)
    assert "an entry is no JSON" in notes(report)
    assert len(quarantined(lk)) == 4


def test_a_text_that_breaks_off_gives_what_comes_before(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("phantom:completed", json.dumps([ended(1), ended(2)])[:-30])
    report = import_from(lk, "phantoms-redis", redis.address)
    assert report.failed
    assert (report.totals["landed"], report.totals["refused"]) == (1, 1)


class _Writing:
    """A bot that writes a key anew whenever some of it was fetched, so often."""

    def __init__(self, patch: pytest.MonkeyPatch, write: Callable[[], object], times: int) -> None:
        fetch = RedisStore.stretch

        def stretch(store: RedisStore, key: str, start: int, length: int) -> bytes:
            done = fetch(store, key, start, length)
            self.times, before = self.times - 1, self.times
            if before > 0:
                write()
            return done

        self.times = times
        patch.setattr(RedisStore, "stretch", stretch)


@pytest.mark.parametrize(("times", "lands"), [(1, 20), (3, 20), (1_000, 0)])
@pytest.mark.parametrize("asked", [64 << 20, 1 << 12])
def test_a_text_that_its_bot_writes_anew_is_read_as_of_one_moment(
    lk: lake.Lake, redis: Redis, monkeypatch: pytest.MonkeyPatch, times: int, lands: int, asked: int
) -> None:
    monkeypatch.setattr(reading, "_WHOLE", asked)
    told = [ended(n % 8, symbol=f"C{n:03d}USDT", features={"of": f"C{n:03d}USDT", "pad": "x" * 500}) for n in range(80)]
    first = iter(range(1, 80))

    def write() -> None:
        begin = next(first, 0)
        redis.server.set("phantom:completed", json.dumps(told[begin : begin + 20]))

    write()
    _Writing(monkeypatch, write, times)
    with suppress(lake.LakeError):
        import_from(lk, "phantoms-redis", redis.address)
    pairs = lk.frame("SELECT symbol, features ->> '$.of' FROM phantoms").rows()
    assert all(symbol == of for symbol, of in pairs)
    assert len(pairs) == (20 if asked > 1 << 20 else lands)


@pytest.mark.parametrize("moves", [False, True])
def test_of_a_long_list_that_moves_meanwhile_no_entry_is_passed_over(
    lk: lake.Lake, redis: Redis, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    monkeypatch.setattr(reading, "_LISTED", 10)
    redis.server.rpush("trade_history:executed", *(json.dumps(trade(number)) for number in range(25)))
    entries = RedisStore(redis.address).members("trade_history:executed")
    found = [json.loads(next(entries)) for _ in range(5)]
    if moves:
        redis.server.lpop("trade_history:executed", 3)
        with pytest.raises(lake.LakeError, match="trade_history:executed changes while it is read"):
            list(entries)
        return
    assert found + [json.loads(raw) for raw in entries] == [trade(number) for number in range(25)]


def test_active_phantoms_are_lists_or_one_of_each_symbol(lk: lake.Lake, redis: Redis) -> None:
    one = {name: value for name, value in phantom(3).items() if name != "symbol"}
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": [phantom(1), phantom(2)], "ETHUSDT": one, "X": []}))
    redis.server.hset("scalp_phantom:active", "ADAUSDT", json.dumps([phantom(1, "ADAUSDT")]))
    redis.server.set("mr_phantom:active:XRPUSDT", json.dumps([phantom(5, "XRPUSDT")]))
    report = imported(lk, "phantoms-redis", redis.address)
    assert report.totals["landed"] == 5
    assert rows(lk, "phantoms", "symbol", "strategy", "status") == [
        ("ADAUSDT", "scalp", "active"), ("ETHUSDT", None, "active"), ("SOLUSDT", None, "active"),
        ("SOLUSDT", None, "active"), ("XRPUSDT", "mr", "active"),
    ]  # fmt: skip


@pytest.mark.parametrize(("side", "levels"), [("long", (95.0, 100.1, 110.0)), ("short", (105.0, 99.9, 90.0))])
def test_a_phantom_whose_stop_trailed_past_the_entry_is_still_followed(
    lk: lake.Lake, redis: Redis, side: str, levels: tuple[float, ...]
) -> None:
    """The stop that it was given is lost, and the trailed one is none; without be_moved it is a mistake."""
    given, trailed, target = levels
    common = {"side": side, "entry_price": 100.0, "take_profit": target}
    told = [
        phantom(1, **common, stop_loss=given, be_moved=False),
        phantom(2, **common, stop_loss=trailed, be_moved=True),
        phantom(3, **common, stop_loss=trailed, be_moved=False),
    ]
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": told}))
    report = imported(lk, "phantoms-redis", redis.address)
    assert (report.totals["landed"], report.totals["refused"]) == (2, 1)
    columns = ("signal_time", "stop_loss", "be_moved", "status")
    assert [row[1:] for row in rows(lk, "phantoms", *columns)] == [(given, False, "active"), (None, True, "active")]


def test_a_phantom_that_ended_meanwhile_ends_here_and_stays_so(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": [phantom(1)]}))
    import_from(lk, "phantoms-redis", redis.address)
    redis.server.set("phantom:completed", json.dumps([ended(1, ml_score=71.5, was_executed=False)]))
    report = import_from(lk, "phantoms-redis", redis.address)
    assert (report.totals["changed"], report.totals["landed"]) == (1, 1)
    assert rows(lk, "phantoms", "status", "outcome", "realized_rr") == [("completed", "win", 2.5)]
    assert imported(lk, "phantoms-redis", redis.address).totals["landed"] == 0


def test_a_phantom_that_is_still_followed_has_not_ended_in_another_of_its_moment(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": [phantom(1, ml_score=60.0)]}))
    redis.server.set("phantom:completed", json.dumps([ended(1, ml_score=80.0)]))
    imported(lk, "phantoms-redis", redis.address)
    told = [(60.0, "active"), (80.0, "completed")]
    assert rows(lk, "phantoms", "ml_score", "status") == told
    assert imported(lk, "phantoms-redis", redis.address).totals["landed"] == 0
    redis.server.set("phantom:active", json.dumps({}))
    redis.server.set("phantom:completed", json.dumps([ended(1, ml_score=80.0), ended(1, "loss", ml_score=60.0)]))
    imported(lk, "phantoms-redis", redis.address)
    assert rows(lk, "phantoms", "ml_score", "outcome") == [(60.0, "loss"), (80.0, "win")]


def test_a_phantom_of_the_moment_of_one_that_ended_meanwhile_does_not_correct_it(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": [phantom(1, ml_score=80.0, strategy_name="trend")]}))
    imported(lk, "phantoms-redis", redis.address)
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": [phantom(1, ml_score=60.0, strategy_name="trend")]}))
    redis.server.set("phantom:completed", json.dumps([ended(1, ml_score=80.0)]))
    imported(lk, "phantoms-redis", redis.address)
    told = [(60.0, "active", None), (80.0, "completed", None)]
    assert rows(lk, "phantoms", "ml_score", "status", "changed_inputs") == told


def test_a_phantom_goes_on_where_another_of_its_moment_has_ended(lk: lake.Lake, redis: Redis) -> None:
    told = [phantom(1, ml_score=score, strategy_name="trend") for score in (60.0, 80.0)]
    for going_on in told:  # whichever of them has the id without a digest
        one, symbol = next(one for one in told if one is not going_on), f"C{told.index(going_on)}USDT"
        redis.server.set("phantom:active", json.dumps({symbol: [{**two, "symbol": symbol} for two in told]}))
        imported(lk, "phantoms-redis", redis.address)
        done = {"outcome": "win", "exit_time": "2025-04-01T01:55:30", "exit_price": 46.0, "symbol": symbol}
        redis.server.set("phantom:completed", json.dumps([{**one, **done}]))
        redis.server.set("phantom:active", json.dumps({symbol: [{**going_on, "symbol": symbol}]}))
        imported(lk, "phantoms-redis", redis.address)
        further = {**going_on, "symbol": symbol, "max_favorable": 48.0}
        redis.server.set("phantom:active", json.dumps({symbol: [further]}))
        imported(lk, "phantoms-redis", redis.address)
        there = rows(lk, "phantoms", "symbol", "ml_score", "status", "max_favorable")
        expected = [(symbol, one["ml_score"], "completed", 49.0), (symbol, going_on["ml_score"], "active", 48.0)]
        assert [row for row in there if row[0] == symbol] == sorted(expected)


def test_phantoms_of_one_moment_are_told_apart_by_their_ids_and_strategies(lk: lake.Lake, redis: Redis) -> None:
    one, other = ended(1, phantom_id="a"), ended(1, "loss", phantom_id="b", pnl_percent=-4.0)
    scalped = ended(1, phantom_id="c", strategy_name=None, pnl_percent=1.0)
    redis.server.set("phantom:completed", json.dumps([one, other, one]))
    redis.server.set("scalp_phantom:completed", json.dumps([ended(2, phantom_id="d", strategy_name=None), scalped]))
    redis.server.set("mr_phantom:completed", json.dumps([one]))  # kept twice: the same strategy
    report = imported(lk, "phantoms-redis", redis.address)
    assert (report.totals["landed"], report.totals["unchanged"], report.totals["refused"]) == (5, 1, 0)
    assert rows(lk, "phantoms", "pnl_percent", "strategy") == [
        (-4.0, "trend"), (1.0, "scalp"), (10.0, "scalp"), (10.0, "trend"),
    ]  # fmt: skip
    names = rows(lk, "phantoms", "phantom_id")
    assert sorted(base_of(name)[len("phantom-") + 24 :] for name in names) == ["", "", "", "-scalp"]
    assert len({base_of(name) for name in names}) == 3
    assert "1 row has the facts of another row" in notes(report)


@pytest.mark.parametrize("first", ["phantom", "mr_phantom"])
def test_a_phantom_stays_what_it_is_when_the_keys_that_had_another_of_its_facts_forget_that(
    lk: lake.Lake, redis: Redis, first: str
) -> None:
    told = {
        "phantom": ended(1, strategy_name="trend"),
        "mr_phantom": ended(1, "loss", strategy_name="mr", pnl_percent=-4.0),
    }
    redis.server.set(f"{first}:completed", json.dumps([told[first]]))
    imported(lk, "phantoms-redis", redis.address)
    for prefix, row in told.items():
        redis.server.set(f"{prefix}:completed", json.dumps([row]))
    imported(lk, "phantoms-redis", redis.address)
    before = rows(lk, "phantoms", "phantom_id", "strategy", "pnl_percent")
    assert sorted(row[1:] for row in before) == [("mr", -4.0), ("trend", 10.0)]
    redis.server.delete(f"{first}:completed")
    assert imported(lk, "phantoms-redis", redis.address).totals["landed"] == 0
    assert rows(lk, "phantoms", "phantom_id", "strategy", "pnl_percent") == before


def test_win_rates_and_blocked_counters_are_compared_told_and_kept(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("phantom:completed", json.dumps([ended(1), ended(2, "loss"), ended(3)]))
    redis.server.set("phantom:active", json.dumps({"SOLUSDT": [phantom(4)]}))
    redis.server.rpush("phantom:wr:trend", "1", "0", "1")
    redis.server.rpush("phantom:wr:scalp", "1")
    redis.server.rpush("phantom:wr:odd", "maybe")
    redis.server.set("phantom:blocked:20250401", 1)
    redis.server.set("phantom:blocked:20250402:trend", 7)
    redis.server.set("phantom:blocked:yesterday", 7)
    plan = import_from(lk, "phantoms-redis", redis.address, dry_run=True)
    assert "compared when the rows that it is about are there" in notes(plan)
    report = import_from(lk, "phantoms-redis", redis.address)
    assert report.balanced
    assert differences(report) == [("n", 0, 1), ("wins", 0, 1), ("win_rate", None, 100.0), ("blocked", 0, 7)]
    assert sorted(reason for _, reason, _ in quarantined(lk)) == ["no counter of a day", "no list of 1 and 0"]
    kept = [json.loads(text)["said"] for text in rows(lk, "data_quality", "details")]
    assert {"key": "phantom:wr:trend", "strategy": "trend", "n": 3, "wins": 2, "outcomes": "101"} in kept
    assert {"key": "phantom:blocked:20250402:trend", "day": "2025-04-02", "strategy": "trend", "blocked": 7} in kept
    assert len(kept) == 4
    assert import_from(lk, "phantoms-redis", redis.address).totals["landed"] == 0


def test_an_account_that_may_only_read_is_enough(lk: lake.Lake, redis: Redis) -> None:
    redis.server.set("phantom:completed", json.dumps([ended(1)]), ex=3600)
    redis.server.hset("phantom:active", "SOLUSDT", json.dumps([phantom(2)]))
    redis.server.rpush("phantom:wr:trend", "1")
    redis.server.rpush("trade_history:executed", json.dumps(trade(1)))
    user = f"reader{uuid4().hex[:8]}"
    redis.server.acl_setuser(user, enabled=True, nopass=True, keys="*", categories=["+@read", "+@connection"])
    try:
        address = redis.address.replace("redis://", f"redis://{user}:any@")
        assert import_from(lk, "trades-redis", address).totals["landed"] == 1
        assert import_from(lk, "phantoms-redis", address).totals["landed"] == 3
    finally:
        redis.server.acl_deluser(user)
    assert 3000 < redis.server.ttl("phantom:completed") <= 3600


def test_an_address_without_such_keys_or_a_server_is_told(lk: lake.Lake, redis: Redis) -> None:
    redis.server.xadd("trade_history:executed", {"a": 1})
    with pytest.raises(lake.LakeError, match="executed is a stream"):
        import_from(lk, "trades-redis", redis.address)
    redis.server.delete("trade_history:executed")
    for kind, what in (("trades-redis", "trade_history:executed"), ("phantoms-redis", "no keys phantom")):
        with pytest.raises(lake.LakeError, match=what):
            import_from(lk, kind, redis.address)
        with pytest.raises(lake.LakeError, match="Redis cannot be read"):
            import_from(lk, kind, "redis://:secret@127.0.0.1:1/0")
    with pytest.raises(lake.LakeError) as told:
        import_from(lk, "trades-redis", "redis://:secret@127.0.0.1:1/0")
    assert "secret" not in str(told.value)
    assert "Is the server running there" in str(told.value)
    with pytest.raises(lake.LakeError, match="not an address of Redis"):
        import_from(lk, "trades-redis", "no/such/path", Options())


def test_a_dump_is_told_as_what_a_server_reads(lk: lake.Lake, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(b"REDIS0011")
    with pytest.raises(lake.LakeError, match="A dump is read by a Redis server"):
        import_from(lk, "phantoms-redis", str(tmp_path / "dump.rdb"))
