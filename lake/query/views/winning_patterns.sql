-- Under which conditions trades win: one row per mode, condition and value of it, surest winners first, that is by the
-- lower end of the win rate's interval. With many rows some look good by luck: mind trades and the interval.
-- Columns: mode; condition: symbol, timeframe, strategy, side, hour (0-23) or weekday (Monday ...) of the entry in the
--   zone time_zone, or 'symbol, timeframe, strategy, side' together; value: what it was.
-- trades, wins, losses: closed trades with a known result; breakevens are the rest. win_rate, win_rate_low,
--   win_rate_high: % of trades, with the 95 % Wilson interval. expectancy: mean pnl of a trade, net of fees, and
--   total_pnl, in quote currency; avg_pnl_percent: % on own money, of the trades that know it. profit_factor: gross
--   profit over gross loss, NULL without a loss.
-- Trades that lack a condition are not in its rows. The variable days leaves out what closed earlier.
WITH results AS (
    SELECT
        coalesce(mode, '') AS mode,
        symbol,
        nullif(timeframe, '') AS timeframe,
        nullif(strategy, '') AS strategy,
        side,
        hour(opened_at AT TIME ZONE time_zone()) AS hour,
        dayname(opened_at AT TIME ZONE time_zone()) AS weekday,
        pnl,
        pnl_percent
    FROM trades
    WHERE has_result(status, pnl, closed_at) AND in_window(closed_at)
), groups AS (
    SELECT
        mode,
        CASE grouping(symbol, timeframe, strategy, side, hour, weekday)
            WHEN 31 THEN 'symbol' WHEN 47 THEN 'timeframe' WHEN 55 THEN 'strategy' WHEN 59 THEN 'side'
            WHEN 61 THEN 'hour' WHEN 62 THEN 'weekday' ELSE 'symbol, timeframe, strategy, side' END AS condition,
        CASE condition WHEN 'symbol, timeframe, strategy, side'
            THEN symbol || ', ' || timeframe || ', ' || strategy || ', ' || side
            ELSE coalesce(symbol, timeframe, strategy, side, hour::VARCHAR, weekday) END AS value,
        count(*) AS trades,
        count(*) FILTER (pnl > 0) AS wins,
        count(*) FILTER (pnl < 0) AS losses,
        avg(pnl) AS expectancy,
        sum(pnl) AS total_pnl,
        avg(pnl_percent) AS avg_pnl_percent,
        coalesce(sum(pnl) FILTER (pnl > 0), 0) / -sum(pnl) FILTER (pnl < 0) AS profit_factor
    FROM results
    GROUP BY GROUPING SETS (
        (mode, symbol), (mode, timeframe), (mode, strategy), (mode, side), (mode, hour), (mode, weekday),
        (mode, symbol, timeframe, strategy, side)
    )
)
SELECT
    mode,
    condition,
    value,
    trades,
    wins,
    losses,
    100.0 * wins / trades AS win_rate,
    100.0 * wilson_low(wins, trades) AS win_rate_low,
    100.0 * wilson_high(wins, trades) AS win_rate_high,
    expectancy,
    avg_pnl_percent,
    total_pnl,
    profit_factor
FROM groups
WHERE value IS NOT NULL
ORDER BY win_rate_low DESC, trades DESC, mode, condition, value
