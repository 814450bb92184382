"""``lake demo``: the whole main job on a made-up or a real market, told step by step."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import polars as pl

import lake
from lake.cli.app import Context, command
from lake.cli.progress import ingest_with_progress
from lake.clock import MICROS_PER_DAY
from lake.errors import UsageError
from lake.kernels import market
from lake.sources.base import Options
from lake.spec.times import from_micros

_START = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
_MINUTE = 60_000_000
_MARKET = {
    "BTCUSDT": 93_000.0,
    "ETHUSDT": 3_200.0,
    "SOLUSDT": 140.0,
    "XRPUSDT": 2.1,
    "DOGEUSDT": 0.16,
    "PEPEUSDT": 0.0000112,
}
_MARK = "_lake/demo"


@command(
    click.option(
        "--candles",
        "path",
        type=click.Path(path_type=Path, exists=True),
        help="Real files instead of a made-up market.",
    ),
    click.option(
        "--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="Length of the made-up market."
    ),
    click.option("--seed", type=int, default=7, show_default=True, help="Of the made-up market."),
    lake_default="demo-lake",
)
def demo(ctx: Context, path: Path | None, days: int, seed: int) -> None:
    """Make a lake, ingest a market, write live while draining, resample, and look at it."""
    began = time.perf_counter()
    facts: dict[str, Any] = {}
    say = _teller(ctx)
    with _fresh_lake(ctx.uri) as lk:
        with tempfile.TemporaryDirectory() as folder:
            if path is None:
                written = _dumps(Path(folder), days, seed)
                say(f"made a market: {len(_MARKET)} symbols, {days} days of 1m candles, {written:,} rows with defects")
            report = ingest_with_progress(lk, [path or Path(folder)], Options(), ctx.output.interactive)
        facts["ingest"] = report.totals
        say("ingested " + report.text().splitlines()[0])
        source = _commonest_timeframe(lk)
        facts["live"] = _live(lk, days, seed)
        _tell_live(facts["live"], say)
        facts["trades"] = _trades(lk, _START + (days + 1) * MICROS_PER_DAY, say)
        facts["resampled"] = _resample(lk, source, say)
        facts["compacted"] = _compact(lk, say)
        facts["verified"] = lk.verify().ok
        say("verified: " + ("all files, keys and logs" if facts["verified"] else "something is WRONG, see lake verify"))
        facts["stats"] = lk.candles.stats()
        _tell_stats(lk, facts["stats"], say)
    facts["seconds"] = round(time.perf_counter() - began, 1)
    say(f'done in {facts["seconds"]} s; ask it: lake sql --lake {ctx.uri} "SELECT * FROM candle_gaps LIMIT 5"')
    if ctx.output.as_json:
        ctx.output.result(facts)


def _teller(ctx: Context) -> Any:
    return (lambda _: None) if ctx.output.as_json else click.echo


@contextmanager
def _fresh_lake(uri: str) -> Iterator[lake.Lake]:
    """A new lake; one that an earlier demo made is replaced, any other is refused."""
    folder = Path(uri)
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARK).exists():
            raise UsageError("this lake was not made by a demo", where=uri, todo="Give --lake another, empty folder.")
        shutil.rmtree(folder)
    with lake.open(uri, bot_id="demo-bot") as lk:
        lk.location.write(_MARK, b"")
        yield lk


def _dumps(folder: Path, days: int, seed: int) -> int:
    """The made-up market as files such as an exchange publishes, with what is wrong in real ones."""
    rows = 0
    for number, (symbol, price) in enumerate(_MARKET.items()):
        frame = market.candles(symbol, _START, days * 1440, price=price, seed=seed + number)
        frame = _spoiled(frame, number)
        rows += frame.height
        _dump(frame).write_csv(folder / f"{symbol}-1m-2026-01.csv", include_header=number % 2 == 0)
    return rows


def _spoiled(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    """A hole, a row twice, rows out of order, and a high below its low."""
    at = 1000 + 137 * number
    holed = pl.concat([frame[:at], frame[at + 17 :]])
    twice = pl.concat([holed[:500], holed[499:500], holed[500:]])
    swapped = pl.concat([twice[:700], twice[701:702], twice[700:701], twice[702:]])
    wrong = pl.int_range(pl.len()) == 900
    return swapped.with_columns(high=pl.when(wrong).then(pl.col("low") * 0.9).otherwise(pl.col("high")))


def _dump(frame: pl.DataFrame) -> pl.DataFrame:
    micros = pl.col("open_time").dt.timestamp("us")
    return frame.select(
        micros.alias("open_time"),
        "open", "high", "low", "close", "volume",
        (micros + _MINUTE - 1).alias("close_time"),
        "quote_volume",
        pl.col("trade_count").alias("count"),
        "taker_buy_volume", "taker_buy_quote_volume",
        pl.lit(0).alias("ignore"),
    )  # fmt: skip


def _live(lk: lake.Lake, days: int, seed: int) -> dict[str, Any]:
    """A bot's two hours: each minute one candle of each symbol, and now and then a signal with its trade."""
    start, minutes = _START + days * MICROS_PER_DAY, 120
    frames = {
        s: market.candles(s, start, minutes, price=p, seed=seed + 99 + i) for i, (s, p) in enumerate(_MARKET.items())
    }
    stop, drains, took = threading.Event(), [0], []

    def settle() -> None:
        while not stop.is_set():
            lk.drain()
            drains[0] += 1
            stop.wait(0.2)

    drainer = threading.Thread(target=settle)
    drainer.start()
    began, records = time.perf_counter(), 0
    for minute in range(minutes):
        now = time.perf_counter()
        lk.candles.write_frames({s: f[minute : minute + 1] for s, f in frames.items()}, "1m", venue="demo")
        took.append(time.perf_counter() - now)
        if minute % 6 == 0:
            records += _trade(lk, start + minute * _MINUTE, float(frames["BTCUSDT"]["close"][minute]))
    stop.set()
    drainer.join()
    lk.drain()
    seen = lk.frame("SELECT count(*) AS n FROM candles WHERE open_time >= ?", [from_micros(start)])["n"][0]
    return {
        "candles": minutes * len(frames), "records": records, "seconds": time.perf_counter() - began,
        "drains": drains[0], "p50_ms": sorted(took)[len(took) // 2] * 1000, "seen": seen,
    }  # fmt: skip


def _trade(lk: lake.Lake, moment: int, price: float) -> int:
    """The last trade is closed; a signal and the trade that comes of it land together or not at all."""
    when, closed = from_micros(moment), 0
    for trade in lk.trades.active():
        lk.trades.close(trade["trade_id"], price, exit_reason="timeout", fees=0.0005 * 0.01 * price, closed_at=when)
        closed += 1
    about: dict[str, Any] = {"venue": "demo", "symbol": "BTCUSDT", "timeframe": "1m", "strategy": "demo"}
    about |= {"entry_price": price, "stop_loss": price * 0.99}
    with lk.transaction():
        signal = lk.signals.record(**about, tp1=price * 1.01, direction="LONG", action="EXECUTED", signal_time=when)
        size = {"side": "LONG", "quantity": 0.01, "mode": "paper", "created_at": when, "opened_at": when}
        lk.trades.open({**about, **size}, signal_id=signal.id)
    return 2 + closed


def _tell_live(live: dict[str, Any], say: Any) -> None:
    say(f"wrote live: {live['candles']:,} candles, {live['records']} records in {live['seconds']:.1f} s")
    say(f"  {live['drains']} drains ran meanwhile; {len(_MARKET)} candles durable in {live['p50_ms']:.2f} ms (median)")
    say(f"  acknowledged candles that SQL sees: {live['seen']:,}")


def _trades(lk: lake.Lake, now: int, say: Any) -> dict[str, Any]:
    found = lk.trades.statistics(mode="paper", now=now).row(0, named=True)
    rate = f"{found['win_rate']:.0f} % ({found['win_rate_low']:.0f} to {found['win_rate_high']:.0f} % at 95 %)"
    say(f"trades: {found['trades']} closed, {found['wins']} won, win rate {rate}, pnl {found['total_pnl']:+.2f}")
    return {name: found[name] for name in ("trades", "wins", "losses", "win_rate", "total_pnl")}


def _commonest_timeframe(lk: lake.Lake) -> str:
    found = lk.frame("SELECT timeframe FROM candles GROUP BY timeframe ORDER BY count(*) DESC LIMIT 1")
    return found["timeframe"][0] if found.height else "1m"


def _resample(lk: lake.Lake, source: str, say: Any) -> dict[str, Any]:
    target = "1h" if source.endswith("m") else "1d" if source.endswith("h") else "1w"
    bars = lk.candles.resample(None, target, source=source)
    gaps = lk.candles.gaps(None, source)
    found = {
        "source": source,
        "target": target,
        "bars": bars.height,
        "partial": int(bars["partial"].sum()),
        "gaps": gaps.height,
        "missing": int(gaps["missing"].sum()),
    }
    say(f"resampled {source} to {target}: {bars.height:,} bars, {found['partial']} of them partial")
    say(f"  {found['gaps']:,} gaps, {found['missing']:,} bars missing")
    return found


def _compact(lk: lake.Lake, say: Any) -> dict[str, int]:
    done = lk.compact()
    say(
        f"compacted {done.files_before} files, {done.bytes_before:,} B, into {done.files_after}, {done.bytes_after:,} B"
    )
    return {
        "files_before": done.files_before,
        "files_after": done.files_after,
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
    }


def _tell_stats(lk: lake.Lake, stats: dict[str, Any], say: Any) -> None:
    say(f"candles: {stats['candles']:,} of {stats['symbols']} symbols, timeframes {', '.join(stats['timeframes'])}")
    if stats["first"] is not None:
        say(f"  from {from_micros(stats['first']):%Y-%m-%d %H:%M} to {from_micros(stats['last']):%Y-%m-%d %H:%M} UTC")
    say(f"  {stats['bytes']:,} bytes in {stats['files']} files, {stats['bytes_per_candle']} bytes per candle")
    closing = lk.frame(
        "SELECT trim(symbol || ' ' || venue), count(*) AS candles, min(low), max(high), arg_max(close, open_time) "
        "FROM candles GROUP BY symbol, venue ORDER BY candles DESC, symbol, venue LIMIT 6"
    )
    for symbol, count, low, high, close in closing.iter_rows():
        say(f"  {symbol:<18}{count:>9,} candles  low {low:<12.8g} high {high:<12.8g} close {close:.8g}")
