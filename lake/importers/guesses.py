"""What columns are often called elsewhere, and which of them tell what a table holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_TIMES = (
    "timestamp",
    "time",
    "datetime",
    "date",
    "ts",
    "unix",
    "created_at",
    "created",
    "key",
    "date_utc",
    "time_utc",
    "datetime_utc",
    "timestamp_utc",
    "create_time",
    "time_created",
)

SPELLINGS: Mapping[str, tuple[str, ...]] = {
    "symbol": ("pair", "market", "ticker", "instrument", "trading_pair", "product_id", "coin", "asset", "security",
               "product", "contract", "contracts", "instrument_id", "instid", "symbol_name"),
    "venue": ("exchange", "broker"),
    "bot_id": ("bot", "bot_name"),
    "timeframe": ("interval", "tf", "time_frame", "resolution"),
    "strategy": ("strategy_name", "strategy_id", "algo"),
    "side": ("direction", "position_side", "trade_side", "position_type", "type", "trade_type", "kind", "way"),
    "direction": ("side",),
    "quantity": ("qty", "filled", "executed", "executed_qty", "filled_qty", "base_amount", "amount", "size", "volume",
                 "contracts", "units", "position_size", "lots", "vol", "position_amt", "bought_volume"),
    "leverage": ("lev",),
    "entry_price": ("entry", "open_rate", "open_price", "price_open", "buy_price", "avg_entry_price", "entryprice",
                    "average_entry_price", "bought_average_price", "average_buy_price", "entry_rate"),
    "exit_price": ("exit", "close_rate", "close_price", "price_close", "sell_price", "avg_exit_price", "exitprice",
                   "average_exit_price", "sold_average_price", "average_sell_price", "exit_rate"),
    "stop_loss": ("sl", "sl_price", "stop", "stoploss", "stop_price", "stop_loss_price"),
    "take_profit": ("tp", "tp_price", "target", "takeprofit", "take_profit_price", "tp1"),
    "tp1": ("tp1_price", "take_profit_1", "target_1", "take_profit", "tp"),
    "tp2": ("tp2_price", "take_profit_2", "target_2"),
    "tp3": ("tp3_price", "take_profit_3", "target_3"),
    "fees": ("fee", "commission", "total_fees", "fee_paid"),
    "commission": ("fee", "fees", "fee_cost"),
    "commission_asset": ("fee_currency", "fee_asset", "fee_coin", "commission_currency"),
    "pnl": ("pnl_usd", "profit", "profit_abs", "net_pnl", "realized_pnl", "profit_loss", "net_profit", "realised_pnl",
            "close_profit_abs", "pnl_abs", "realized_profit", "realised_profit", "closed_pnl", "closed_pl"),
    "pnl_percent": ("pnl_pct", "profit_pct", "profit_ratio", "profit_percent", "return_pct", "roi", "return_ratio",
                    "pnl_ratio", "close_profit", "profit_fraction", "ret", "return", "returns", "profit_percentage"),
    "exit_reason": ("sell_reason", "close_reason", "reason", "exit_type"),
    "order_id": ("orderid", "client_order_id", "order"),
    "external_order_id": ("exchange_order_id", "order_id"),
    "opened_at": ("entry_time", "open_time", "open_date", "entry_date", "opened", "time_open", "entry_timestamp",
                  "open_timestamp", "start_time", "entry_at"),
    "closed_at": ("exit_time", "close_time", "close_date", "exit_date", "closed", "time_close", "exit_timestamp",
                  "close_timestamp", "end_time", "exit_at"),
    "created_at": _TIMES,
    "executed_at": ("fill_time", "filled_at", "order_filled_date", "trade_time", "transact_time", *_TIMES),
    "signal_time": ("signal_at", *_TIMES),
    "predicted_at": ("prediction_time", *_TIMES),
    "analyzed_at": ("decided_at", "decision_time", *_TIMES),
    "synced_at": ("last_checked_at", "updated_at", "last_update", "update_time"),
    "time": (*_TIMES, "funding_time", "fundingtime"),
    "open_time": ("opentime", "start", "start_time", *_TIMES, "t", "epoch"),
    "open": ("o", "1. open", "open_price"),
    "high": ("h", "2. high", "high_price"),
    "low": ("l", "3. low", "low_price"),
    "close": ("c", "4. close", "close_price"),
    "volume": ("v", "vol", "base_volume", "5. volume", "volume_btc"),
    "quote_volume": ("quote_asset_volume", "turnover", "volume_usdt", "volume_usd"),
    "trade_count": ("count", "trades", "number_of_trades", "tradecount", "num_trades"),
    "taker_buy_volume": ("taker_buy_base_asset_volume", "taker_buy_base_volume"),
    "taker_buy_quote_volume": ("taker_buy_quote_asset_volume",),
    "price": ("rate", "fill_price", "avg_price", "executed_price", "average", "price_at_prediction", "entry_price"),
    "confidence": ("conf", "certainty", "ml_confidence"),
    "strength": ("score", "signal_strength"),
    "probability": ("prob", "proba", "p_win", "confidence", "score"),
    "predicted_direction": ("prediction", "direction", "predicted", "pred", "predicted_label"),
    "model_version": ("model", "model_name", "llm", "model_id"),
    "horizon_minutes": ("horizon",),
    "correct": ("is_correct", "was_correct", "hit"),
    "actual_price": ("price_after", "price_after_1h", "future_price"),
    "actual_return": ("future_return", "realized_return"),
    "recommendation": ("decision", "action", "signal", "verdict", "side"),
    "reasoning": ("reason", "rationale", "explanation", "analysis", "thoughts"),
    "raw_response": ("response", "llm_response", "completion"),
    "market_snapshot": ("snapshot", "market_data", "context", "prompt"),
    "input_tokens": ("prompt_tokens", "tokens_in"),
    "output_tokens": ("completion_tokens", "tokens_out"),
    "cost_usd": ("cost",),
    "signal_type": ("signal", "type", "action", "side"),
    "indicators": ("features", "indicator_values"),
    "unrealized_pnl": ("upnl", "unrealised_pnl", "floating_pnl", "unrealized_profit", "unrealised_profit"),
    "current_price": ("mark_price", "last_price"),
    "metric": ("name", "indicator", "metric_name"),
    "value": ("val", "rate", "funding_rate"),
    "daily_pnl": ("pnl", "day_pnl", "profit"),
    "ml_score": ("score", "model_score"),
}  # fmt: skip


@dataclass(frozen=True)
class Clue:
    """What a table has that holds rows of a dataset.

    Attributes:
        dataset: its name.
        needed: groups of our columns; of each group the table has one.
        weight: which is believed when several datasets fit.
        also: our column -> others of ours that may fill it, too.
        spellings: what columns are called in such tables alone; they come first.
        never: columns that such a table does not tell.
    """

    dataset: str
    needed: tuple[tuple[str, ...], ...]
    weight: int
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    spellings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    never: tuple[str, ...] = ()


CLUES: tuple[Clue, ...] = (
    Clue("candles", (("open_time",), ("open",), ("high",), ("low",), ("close",)), 90),
    Clue("phantoms", (("entry_price",), ("ml_score", "features"), ("outcome",), ("signal_time",)), 80),
    Clue("predictions", (("predicted_direction",), ("probability",), ("predicted_at",)), 60),
    Clue("decisions", (("recommendation",), ("reasoning", "raw_response"), ("analyzed_at",)), 70),
    Clue("positions", (("entry_price",), ("unrealized_pnl", "current_price"), ("quantity",)), 65,
         also={"opened_at": ("synced_at",)}, spellings={"opened_at": _TIMES}),
    Clue("trades", (("entry_price",), ("exit_price", "pnl", "closed_at"), ("opened_at", "closed_at", "created_at")), 75,
         also={"created_at": ("opened_at", "closed_at"), "opened_at": ("created_at",)},
         spellings={"created_at": ("entry_time", "opened_at", *SPELLINGS["opened_at"])}),
    Clue("signals", (("signal_type", "direction"), ("confidence", "strength", "indicators"), ("signal_time",)), 50,
         also={"direction": ("signal_type",)}),
    Clue("fills", (("side",), ("price",), ("quantity",), ("executed_at",)), 55, never=("is_entry",),
         spellings={"side": (*SPELLINGS["side"], "action")}),
    Clue("market_metrics", (("metric",), ("value",), ("time",)), 40),
    Clue("performance_snapshots", (("date",), ("daily_pnl",)), 10),
)  # fmt: skip
