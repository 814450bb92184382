-- Result so far after each closed trade, of its bot and of all bots of its mode: one row per trade, in order of time.
-- Columns: mode; closed_at; trade_id; bot_id; symbol; in quote currency, net of fees: pnl; bot_equity, the sum of the
--   bot's results so far; equity, the sum of all results of the mode so far; peak, the highest equity so far, 0 before
--   the first trade; drawdown, peak - equity, never below 0.
-- Trades that closed at the same moment follow one another with the worst first. Without closed trades no row.
WITH results AS (
    SELECT coalesce(mode, '') AS mode, closed_at, trade_id, bot_id, symbol, pnl
    FROM trades
    WHERE has_result(status, pnl, closed_at) AND in_window(closed_at)
), running AS (
    SELECT
        *,
        sum(pnl) OVER (PARTITION BY mode, bot_id ORDER BY closed_at, pnl, trade_id ROWS UNBOUNDED PRECEDING)
            AS bot_equity,
        sum(pnl) OVER (PARTITION BY mode ORDER BY closed_at, pnl, trade_id ROWS UNBOUNDED PRECEDING) AS equity
    FROM results
)
SELECT
    *,
    greatest(0, max(equity) OVER (PARTITION BY mode ORDER BY closed_at, pnl, trade_id ROWS UNBOUNDED PRECEDING))
        AS peak,
    peak - equity AS drawdown
FROM running
ORDER BY mode, closed_at, pnl, trade_id
