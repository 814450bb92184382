-- How the trades of each mode came out, over all time and the last 30 and 7 days: one row per mode and period.
-- A mode that has a trade has all three rows, with zero counts where none closed; an empty lake has no row.
-- Columns: mode; period 'all', '30d', '7d': trades closed within so many days before now (variable now).
-- The variable days leaves out what closed earlier from all of them.
-- Counts: trades = wins + losses + breakevens; only closed trades with a known result are in any figure.
--   open_trades, pending_trades as they stand, or stood at the variable now; cancelled_trades, error_trades and
--   unresolved_trades (closed, result unknown) created within the period.
-- In %: win_rate with its 95 % Wilson interval win_rate_low, win_rate_high; avg_pnl_percent on own money;
--   max_drawdown_percent of capital plus peak, NULL unless every bot's capital is configured.
-- In quote currency, net of fees: total_pnl, gross_profit, gross_loss (not above 0), expectancy per trade, avg_win,
--   avg_loss, largest_win, largest_loss, max_drawdown (not below 0, of equity at the ends of days; drawdowns has it
--   trade by trade); fees.
-- Ratios: profit_factor, payoff_ratio, sharpe_ratio, sortino_ratio, calmar_ratio (of daily results, a year has
--   periods_per_year days), sqn; expectancy_r and sqn_r over the r_trades whose stop is known. NULL where undefined.
-- Others: max_drawdown_days, days (first to last closing) in days of the zone time_zone; avg_hold_minutes;
--   first_closed_at, last_closed_at. Streaks and exposure are in trade_sequences.
-- docs/metrics.md defines every figure.
SELECT
    mode,
    period,
    * EXCLUDE (mode, name, period)
FROM trade_figures('trades', 'bot_configs', '')
ORDER BY mode, array_position(['all', '30d', '7d'], period)
