"""Restart snapshots."""

from lake.spec.columns import BOT, EXTRA, document, flag, moment, number, percent, price, text, whole
from lake.spec.dataset import Dataset, Partition, Period

DATASET = Dataset(
    name="bot_states",
    meaning="one snapshot of a bot's state, to restart from",
    columns=(
        BOT,
        moment("snapshot_time", "when it was taken", required=True),
        document("state", "the bot's own state"),
        number("total_pnl", "result so far", "quote currency"),
        percent("win_rate", "share of winning trades"),
        whole("total_trades", "trades so far", minimum=0),
        whole("winning_trades", "winners so far", minimum=0),
        whole("losing_trades", "losers so far", minimum=0),
        text("position_side", "of the open position", choices=("LONG", "SHORT")),
        number("position_size", "of the open position", "base currency"),
        price("position_entry_price", "of the open position"),
        price("current_trailing_stop", "where the trailing stop stands"),
        number("peak_equity", "highest equity so far", "quote currency"),
        percent("current_drawdown_pct", "below the peak; 100 where that is 0 or less"),
        flag("trading_halted", "whether a guard stopped it"),
        text("halt_reason", "which guard, and why"),
        EXTRA,
    ),
    key=("bot_id", "snapshot_time"),
    event_time="snapshot_time",
    known_at="snapshot_time",
    partition=Partition("snapshot_time", Period.YEAR),
    newest_of="bot_id",
    defaults={"snapshot_time": "now"},
    row_group_rows=1_024,
    file_rows=32_768,
)
