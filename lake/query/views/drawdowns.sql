-- Every time that the result so far was below its peak: one row per spell, of each bot and of all bots of a mode.
-- Columns: mode; bot_id, NULL for all bots together; started_at, when the peak was reached, or the first trade closed
--   if the account began with a loss; trough_at, when it was lowest; recovered_at, when the peak was reached again,
--   NULL while it is under water.
-- depth: peak - lowest, in quote currency. depth_percent: % of capital plus peak, NULL unless the capital of every bot
--   is configured. days: days of the zone time_zone from started_at to recovered_at, or to the last closing so far.
-- trades: trades that closed below the peak.
-- Trade by trade: max_drawdown of trade_statistics, at the ends of days, is no deeper. Deepest first.
WITH results AS (
    SELECT coalesce(mode, '') AS mode, bot_id, trade_id, closed_at, pnl
    FROM trades
    WHERE has_result(status, pnl, closed_at) AND in_window(closed_at)
), accounts AS (
    SELECT mode, bot_id AS account, bot_id, trade_id, closed_at, pnl FROM results
    UNION ALL
    SELECT mode, NULL, bot_id, trade_id, closed_at, pnl FROM results
), capitals AS (
    SELECT mode, account, CASE WHEN bool_and(coalesce(capital > 0, false)) THEN sum(capital) END AS capital
    FROM (SELECT DISTINCT mode, account, bot_id FROM accounts) LEFT JOIN bot_configs USING (bot_id)
    GROUP BY mode, account
), running AS (
    SELECT
        *,
        sum(pnl) OVER (PARTITION BY mode, account ORDER BY closed_at, pnl, trade_id ROWS UNBOUNDED PRECEDING) AS equity,
        1e-12 * sum(abs(pnl)) OVER (PARTITION BY mode, account) AS grain,  -- less than this is rounding
        max(closed_at) OVER (PARTITION BY mode, account) AS last_at
    FROM accounts
), peaks AS (
    SELECT *, greatest(0, max(equity) OVER so_far) AS peak
    FROM running
    WINDOW so_far AS (PARTITION BY mode, account ORDER BY closed_at, pnl, trade_id ROWS UNBOUNDED PRECEDING)
), spells AS (  -- a new one begins with each trade that stands at the peak
    SELECT *, sum(CASE WHEN equity >= peak - grain THEN 1 ELSE 0 END) OVER so_far AS spell
    FROM peaks
    WINDOW so_far AS (PARTITION BY mode, account ORDER BY closed_at, pnl, trade_id ROWS UNBOUNDED PRECEDING)
), found AS (
    SELECT
        mode,
        account,
        min(closed_at) AS started_at,
        arg_min(closed_at, equity) AS trough_at,
        lead(min(closed_at)) OVER (PARTITION BY mode, account ORDER BY spell) AS recovered_at,
        max(peak) - min(equity) AS depth,
        max(peak) AS peak,
        max(grain) AS grain,
        max(last_at) AS last_at,
        count(*) FILTER (equity < peak - grain) AS trades
    FROM spells
    GROUP BY mode, account, spell
)
SELECT
    found.mode,
    found.account AS bot_id,
    started_at,
    trough_at,
    recovered_at,
    depth,
    100.0 * depth / (capital + peak) AS depth_percent,
    day_of(coalesce(recovered_at, last_at)) - day_of(started_at) AS days,
    trades
FROM found
JOIN capitals ON found.mode = capitals.mode AND found.account IS NOT DISTINCT FROM capitals.account
WHERE depth > grain
ORDER BY found.mode, found.account NULLS FIRST, depth DESC, started_at
