-- How each bot does: trade_statistics for each bot, mode and period. Two bots on one symbol stay two rows.
-- The other columns are those of trade_statistics.
SELECT
    mode,
    name AS bot_id,
    period,
    * EXCLUDE (mode, name, period)
FROM trade_figures('trades', 'bot_configs', bot_id)
ORDER BY mode, array_position(['all', '30d', '7d'], period), total_pnl DESC, bot_id
