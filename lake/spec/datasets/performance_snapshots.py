"""Daily performance."""

from lake.spec.columns import BOT, EXTRA, number, percent, text, whole
from lake.spec.dataset import Column, Dataset, Partition, Period, Type

DATASET = Dataset(
    name="performance_snapshots",
    meaning="one bot's figures for one day",
    columns=(
        BOT,
        Column("date", Type.DATE, "the day", required=True),
        number("daily_pnl", "result of the day", "quote currency"),
        number("total_pnl", "result up to its end", "quote currency"),
        whole("trades", "trades closed that day", minimum=0),
        whole("wins", "winners among them", minimum=0),
        whole("losses", "losers among them", minimum=0),
        percent("win_rate", "share of winners"),
        number("sharpe_ratio", "annualised, of daily returns up to that day"),
        percent("max_drawdown", "deepest fall from a peak up to that day, trade by trade, of capital plus that peak"),
        text(
            "mode",
            "the mode whose trades these are, on all days of a bot: live if it ever closed one, else paper",
            choices=("live", "paper"),
        ),
        EXTRA,
    ),
    key=("bot_id", "date"),
    event_time="date",
    known_at="(date + 1)::TIMESTAMP AT TIME ZONE 'UTC'",
    partition=Partition("date", Period.YEAR),
)
