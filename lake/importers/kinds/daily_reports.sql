-- What the lake holds of each day, over all modes but backtests, as a bot's own daily reports count it.
-- Parameters: the mode to count alone, or "" (twice).
-- Columns: day; signals_seen; trades_closed, trades_active; wins, losses, breakevens, win_rate (%): by pnl, and by
--   pnl_percent of those trades whose pnl is not known; total_pnl; total_percent: sum of pnl_percent.
WITH percentages AS (
    SELECT
        day_of(closed_at) AS day,
        count(*) FILTER (pnl IS NULL AND pnl_percent > 0) AS wins,
        count(*) FILTER (pnl IS NULL AND pnl_percent < 0) AS losses,
        count(*) FILTER (pnl IS NULL AND pnl_percent = 0) AS breakevens,
        sum(pnl_percent) AS total
    FROM trades
    WHERE status = 'closed' AND closed_at IS NOT NULL AND mode IS DISTINCT FROM 'backtest' AND ? IN ('', mode)
    GROUP BY ALL
), days AS (
    SELECT
        day,
        max(signals_seen) AS signals_seen,
        sum(trades_closed) AS trades_closed,
        sum(trades_active) AS trades_active,
        sum(wins) AS wins,
        sum(losses) AS losses,
        sum(breakevens) AS breakevens,
        sum(total_pnl) AS total_pnl
    FROM daily_report
    WHERE mode <> 'backtest' AND ? IN ('', mode)
    GROUP BY ALL
)
SELECT
    day,
    signals_seen::DOUBLE AS signals_seen,
    trades_closed::DOUBLE AS trades_closed,
    trades_active::DOUBLE AS trades_active,
    (days.wins + coalesce(p.wins, 0))::DOUBLE AS wins,
    (days.losses + coalesce(p.losses, 0))::DOUBLE AS losses,
    (days.breakevens + coalesce(p.breakevens, 0))::DOUBLE AS breakevens,
    coalesce(
        100.0 * (days.wins + coalesce(p.wins, 0)) / nullif(
            days.wins + days.losses + days.breakevens
            + coalesce(p.wins, 0) + coalesce(p.losses, 0) + coalesce(p.breakevens, 0), 0
        ),
        0
    ) AS win_rate,
    total_pnl::DOUBLE AS total_pnl,
    coalesce(p.total, 0)::DOUBLE AS total_percent
FROM days
LEFT JOIN percentages AS p USING (day)
