"""Trades folded into candles: frames in, frames out, no I/O."""

from __future__ import annotations

import polars as pl

from lake.spec import timeframes

MARKET = ("venue", "symbol")


def opening(timeframe: str) -> pl.Expr:
    """The open time of the candle that a ``time`` falls into."""
    since = pl.col("time").dt.epoch("us") - timeframes.offset(timeframe)
    return (pl.col("time") - pl.duration(microseconds=since % timeframes.micros(timeframe))).alias("open_time")


def unrepeated(trades: pl.DataFrame) -> pl.DataFrame:
    """Every trade once, by venue, symbol and ``trade_id``.

    Trades without an id are all kept, equal or not, unless a column ``file`` says where they stand: then there are as
    many equal ones as in the file that has most of them, since files that overlap hold the same trades.

    >>> unrepeated(pl.DataFrame({"venue": "", "symbol": "B", "trade_id": ["7", "7", None, None]})).height
    3
    """
    known = pl.col("trade_id").is_not_null()
    first = pl.struct(*MARKET, "trade_id").is_first_distinct()
    if "file" not in trades.columns or not trades["trade_id"].null_count():
        return trades.filter(~known | first)
    what = [*MARKET, "trade_id", "time", "price", "quantity", "taker_buys"]
    counted = trades.with_columns(_nth=pl.int_range(pl.len()).over(*what, "file"))
    return counted.filter(pl.when(known).then(first).otherwise(pl.struct(*what, "_nth").is_first_distinct())).drop(
        "_nth"
    )


def fold(trades: pl.DataFrame, timeframe: str) -> pl.DataFrame:
    """Candles from trades, ordered by time, then by numeric id, then as given.

    Args:
        trades: venue, symbol, time (UTC µs), trade_id (text or null), price, quantity, quote_quantity (null or
            NaN for price x quantity), taker_buys (true where the buyer took, null unknown), trades (how many a row
            stands for).
        timeframe: of the candles.

    Returns:
        One row per venue, symbol and candle that has trades, by venue, symbol and open time, in the lake's candle
        columns, and ``rows``: how many of ``trades`` it is made of. Taker columns are null where a side is unknown.
    """
    product, given = pl.col("price") * pl.col("quantity"), pl.col("quote_quantity").fill_nan(None)
    # A given value that is the product but for its last digits would make equal trades of two files unequal.
    quote = pl.when((given - product).abs() > 1e-6 * product.abs()).then(given).otherwise(product)
    ordered = (
        trades.with_row_index("_n")
        .with_columns(opening(timeframe), _quote=quote, _id=pl.col("trade_id").cast(pl.Int64, strict=False))
        .sort(*MARKET, "time", "_id", "_n", nulls_last=True)
    )
    buys = pl.col("taker_buys").fill_null(False)
    sided = pl.col("taker_buys").is_not_null().all()
    candles = ordered.group_by(*MARKET, "open_time", maintain_order=True).agg(
        open=pl.col("price").first(),
        high=pl.col("price").max(),
        low=pl.col("price").min(),
        close=pl.col("price").last(),
        volume=pl.col("quantity").sum(),
        quote_volume=pl.col("_quote").sum(),
        trade_count=pl.col("trades").sum(),
        taker_buy_volume=pl.when(sided).then(pl.col("quantity").filter(buys).sum()),
        taker_buy_quote_volume=pl.when(sided).then(pl.col("_quote").filter(buys).sum()),
        rows=pl.len().cast(pl.Int64),
    )
    return candles.select(*MARKET, pl.lit(timeframe).alias("timeframe"), pl.all().exclude(*MARKET))
