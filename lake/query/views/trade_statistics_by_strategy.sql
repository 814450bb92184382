-- How each strategy does: trade_statistics for each strategy, mode and period. Trades that name none have an empty one.
-- The other columns are those of trade_statistics.
SELECT
    mode,
    name AS strategy,
    period,
    * EXCLUDE (mode, name, period)
FROM trade_figures('trades', 'bot_configs', strategy)
ORDER BY mode, array_position(['all', '30d', '7d'], period), total_pnl DESC, strategy
