-- Each bot's results day by day: one row per bot, mode and day of the zone time_zone, from its first to its last
-- closing, days without trades among them. The figures of performance_snapshots, always up to date.
-- Columns: bot_id; mode; date. Of the day: trades, wins, losses, breakevens (closed, with a known result); win_rate, %
--   of trades, with its 95 % Wilson interval win_rate_low, win_rate_high; daily_pnl (net of fees) and fees in
--   quote currency.
-- Up to and with the day: total_pnl; max_drawdown, the deepest fall of total_pnl below its peak, trade by trade (quote
--   currency); max_drawdown_percent, the same in % of capital plus that peak, NULL where no capital is configured;
--   sharpe_ratio of the daily results from the first to the last closing so far, as trade_statistics_by_bot showed it
--   then, a year having periods_per_year days, NULL for less than two days.
SELECT *
FROM bot_days('trades', 'bot_configs')
ORDER BY bot_id, mode, date
