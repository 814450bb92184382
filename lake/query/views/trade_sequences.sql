-- What hangs on the order of trades: streaks, and the time with an open position. One row per mode and for all its
-- trades together, each symbol, each strategy and each bot. Every trade is looked at for each of these kinds: among
-- millions of trades ask for one, as WHERE kind = 'symbol'.
-- Columns: mode; kind 'all', 'symbol', 'strategy' or 'bot'; name of the symbol, strategy or bot, '' for 'all'.
-- longest_win_streak, longest_loss_streak: most wins, or losses, in a row; a breakeven ends both. current_streak: the
--   one that lasts, above 0 of wins, below 0 of losses, 0 after a breakeven. In trades, in order of closing.
-- exposure: % of the time from the first opening to the last closing in which a position was open; overlaps count once.
--   Trades without opened_at are left out; one that closed before it by a skewed clock lasted no time. NULL where none
--   passed.
-- The variables days and now choose the trades, as in trade_statistics.
WITH results AS (
    SELECT coalesce(mode, '') AS mode, symbol, strategy, bot_id, pnl, opened_at, closed_at
    FROM trades
    WHERE has_result(status, pnl, closed_at) AND in_window(closed_at)
), accounts AS (
    SELECT *, 'all' AS kind, '' AS name FROM results
    UNION ALL SELECT *, 'symbol', coalesce(symbol, '') FROM results
    UNION ALL SELECT *, 'strategy', coalesce(strategy, '') FROM results
    UNION ALL SELECT *, 'bot', coalesce(bot_id, '') FROM results
), runs AS (  -- a letter for each trade, put in order day by day: that is faster than a sort of all
    SELECT mode, kind, name, string_agg(letters, '' ORDER BY day) AS letters
    FROM (
        SELECT
            mode, kind, name, epoch_us(closed_at) // 86400000000 AS day,
            string_agg(CASE WHEN pnl > 0 THEN 'W' WHEN pnl < 0 THEN 'L' ELSE 'B' END, '' ORDER BY closed_at, pnl)
                AS letters
        FROM accounts
        GROUP BY ALL
    )
    GROUP BY ALL
), spans AS (  -- covered_until: the latest closing of the positions opened before
    SELECT
        mode, kind, name, epoch_us(opened_at) AS opened, epoch_us(greatest(closed_at, opened_at)) AS closed,
        max(epoch_us(greatest(closed_at, opened_at))) OVER (PARTITION BY mode, kind, name ORDER BY opened_at, closed_at
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_until
    FROM accounts
    WHERE opened_at IS NOT NULL
), covered AS (
    SELECT
        mode, kind, name, 100.0 * sum(greatest(0, closed - greatest(opened, covered_until)))
            / nullif(max(closed) - min(opened), 0) AS exposure
    FROM spans
    GROUP BY ALL
)
SELECT
    mode,
    kind,
    name,
    longest_run(letters, 'L', 'B') AS longest_win_streak,
    longest_run(letters, 'W', 'B') AS longest_loss_streak,
    length(rtrim(letters, 'L')) - length(rtrim(letters, 'W')) AS current_streak,
    exposure
FROM runs
LEFT JOIN covered USING (mode, kind, name)
ORDER BY mode, array_position(['all', 'symbol', 'strategy', 'bot'], kind), name
