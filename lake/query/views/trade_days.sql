-- What the trades of each day came to: counts, sums and extremes, by mode, bot, symbol, strategy, day and state. All of
-- trade_statistics is made from these rows: one pass over the trades, whatever is asked.
-- Columns: mode, bot_id, symbol, strategy; day, of the zone time_zone, on which they closed, or for those without a
--   result were created (at their opening or closing at the latest); state 'closed' (with a known result), 'unresolved' (closed, result unknown), 'open',
--   'pending', 'cancelled', 'error', or 'outside' what the variable days keeps; periods, in how many of the periods
--   'all', '30d', '7d' they are: the day through which the edge of one goes has two rows.
-- n: trades. first_at, last_at: the first and last moment of closing, or of creation.
-- Of trades with a result: wins, losses; total, profit, loss, best, worst, fees in quote currency; squares, the sum of
--   pnl squared; percents and percent_n, sum and number of known pnl_percent; r, r_squares, r_n of known R multiples;
--   held and held_n, sum in µs and number of known times from opening to closing.
SELECT *
FROM days_of_trades('trades')
ORDER BY mode, bot_id, symbol, strategy, day, state, periods
