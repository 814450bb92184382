-- Which symbols earn and which cost: trade_statistics for each symbol, mode and period.
-- pnl_rank is 1 for the best symbol of a mode and period, pnl_rank_from_worst for the worst.
-- The other columns are those of trade_statistics.
SELECT
    mode,
    name AS symbol,
    period,
    * EXCLUDE (mode, name, period),
    rank() OVER (PARTITION BY mode, period ORDER BY total_pnl DESC) AS pnl_rank,
    rank() OVER (PARTITION BY mode, period ORDER BY total_pnl) AS pnl_rank_from_worst
FROM trade_figures('trades', 'bot_configs', symbol)
ORDER BY mode, array_position(['all', '30d', '7d'], period), total_pnl DESC, symbol
