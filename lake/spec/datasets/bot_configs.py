"""Bot configurations."""

from lake.spec.columns import BOT, EXTRA, STRATEGY, TIMEFRAME, document, flag, moment, number, percent, text
from lake.spec.dataset import Dataset, Partition

DATASET = Dataset(
    name="bot_configs",
    meaning="one bot's configuration as it is now",
    columns=(
        BOT,
        text("bot_name", "name for people"),
        text("symbol", "canonical symbol it trades"),
        STRATEGY,
        document("strategy_params", "parameters of the strategy"),
        TIMEFRAME,
        number("capital", "money it may use", "quote currency", minimum=0),
        number("position_size", "usual size of a position", "quote currency", minimum=0),
        percent("risk_per_trade", "most that one trade may lose, of the capital", minimum=0),
        percent("max_position_size", "most that one position may be, of the capital", minimum=0),
        percent("stop_loss_pct", "distance of the stop"),
        percent("take_profit_pct", "distance of the target"),
        percent("trailing_stop_pct", "distance of the trailing stop"),
        percent("drawdown_guard_pct", "drawdown at which it halts; 0 is none", minimum=0, maximum=100),
        flag("is_active", "whether it may run"),
        flag("is_running", "whether it runs"),
        moment("started_at", "when it was last started"),
        moment("stopped_at", "when it was last stopped"),
        moment("updated_at", "when the configuration was changed", required=True),
        document("history", "former configurations, oldest first, each with its updated_at"),
        EXTRA,
    ),
    key=("bot_id",),
    event_time="updated_at",
    known_at="updated_at",
    partition=Partition(),
    newest_of="bot_id",
    defaults={"updated_at": "now"},
)
