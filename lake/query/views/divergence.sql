-- How far real trading parts from a backtest: one row for each run, bot and mode (live, paper) that traded the run's
-- strategy and symbol within the run's period. A run without such trades has no row.
-- Only closed trades with a known result that were opened within start_time and end_time of the run count.
-- run_id, run_name, strategy, symbol (of the run; NULL where it has several), bot_id, mode.
-- Counts: backtest_n, real_n; matched: real trades that have a trade of the backtest with the same symbol and side,
--   opened at most tolerance_minutes apart: one candle of the run's timeframe, 5 minutes where it names none.
--   backtest_only, real_only: trades of the one without a match in the other. elsewhere: real trades on a venue that the
--   backtest did not trade on; they count and match all the same. Others match trades of their own venue, or where one of
--   the two is not known.
-- stated_trades, stated_win_rate (%): the totals that the run was recorded with. Where they are not those of its trades
--   here, it was given others, or has trades outside its period.
-- backtest_venue: of the run, '' where unknown.
-- In %: backtest_win_rate, real_win_rate; backtest_mean_pnl_percent, real_mean_pnl_percent, of own money.
-- In quote currency: backtest_expectancy, real_expectancy, per trade. matched_pnl_percent_difference (%): mean of
--   real - backtest over real trades with a match; entry_slippage_percent: mean of how much worse they were entered.
-- win_rate_difference (percentage points), mean_pnl_percent_difference (%), expectancy_difference: real - backtest.
WITH run AS (
    SELECT
        run_id, name AS run_name, strategy, symbol, venue, start_time, end_time, trades AS stated_trades,
        win_rate AS stated_win_rate,
        CASE right(timeframe, 1) WHEN 'm' THEN 1 WHEN 'h' THEN 60 WHEN 'd' THEN 1440 WHEN 'w' THEN 10080 END
            * try_cast(left(timeframe, -1) AS INTEGER)::BIGINT AS candle_minutes,
        coalesce(candle_minutes, 5) AS tolerance_minutes
    FROM backtests
), known AS (
    SELECT *, coalesce(opened_at, created_at) AS began
    FROM trades
    WHERE has_result(status, pnl, closed_at)
), simulated AS (
    SELECT
        r.run_id, r.tolerance_minutes, k.trade_id, k.symbol, k.side, k.began, k.entry_price, k.pnl, k.pnl_percent,
        coalesce(nullif(k.venue, ''), r.venue) AS venue
    FROM run AS r
    JOIN known AS k ON k.run_id = r.run_id AND k.mode = 'backtest' AND k.began BETWEEN r.start_time AND r.end_time
), symbols AS (
    SELECT DISTINCT run_id, symbol FROM simulated
    UNION
    SELECT run_id, symbol FROM run WHERE symbol IS NOT NULL
), venues AS (
    SELECT run_id, list(venue) AS venues
    FROM (SELECT run_id, venue FROM simulated UNION SELECT run_id, venue FROM run)
    WHERE venue <> ''
    GROUP BY ALL
), actual AS (
    SELECT
        r.run_id, k.bot_id, k.mode, k.trade_id, k.symbol, k.side, k.began, k.entry_price, k.pnl, k.pnl_percent, k.venue,
        k.venue <> '' AND v.venues IS NOT NULL AND NOT list_contains(v.venues, k.venue) AS is_elsewhere
    FROM run AS r
    LEFT JOIN venues AS v USING (run_id)
    JOIN symbols AS s USING (run_id)
    JOIN known AS k
        ON k.symbol = s.symbol AND k.strategy IS NOT DISTINCT FROM r.strategy AND k.mode IN ('live', 'paper')
        AND k.began BETWEEN r.start_time AND r.end_time
), pairs AS (  -- of each real trade the nearest one of the backtest
    SELECT
        a.run_id, a.bot_id, a.mode, a.trade_id, s.trade_id AS backtest_trade_id,
        a.pnl_percent - s.pnl_percent AS difference,
        CASE WHEN a.side = 'LONG' THEN 100 ELSE -100 END * (a.entry_price / s.entry_price - 1) AS slippage
    FROM actual AS a
    JOIN simulated AS s
        ON a.run_id = s.run_id AND a.symbol = s.symbol AND a.side = s.side
        AND abs(epoch_us(a.began) - epoch_us(s.began)) / 60000000 <= s.tolerance_minutes
        AND (a.is_elsewhere OR a.venue = s.venue OR '' IN (a.venue, s.venue))
    QUALIFY row_number() OVER (
        PARTITION BY a.run_id, a.trade_id ORDER BY abs(epoch_us(a.began) - epoch_us(s.began)), s.trade_id) = 1
), matches AS (
    SELECT
        run_id, bot_id, mode, count(*) AS matched, count(DISTINCT backtest_trade_id) AS backtest_matched,
        avg(difference) AS difference, avg(slippage) AS slippage
    FROM pairs
    GROUP BY ALL
), backtested AS (
    SELECT run_id, count(*) AS n, count(*) FILTER (pnl > 0) AS wins, avg(pnl_percent) AS percent, avg(pnl) AS expectancy
    FROM simulated
    GROUP BY ALL
), traded AS (
    SELECT
        run_id, bot_id, mode, count(*) AS n, count(*) FILTER (pnl > 0) AS wins,
        avg(pnl_percent) AS percent, avg(pnl) AS expectancy, count(*) FILTER (is_elsewhere) AS elsewhere
    FROM actual
    GROUP BY ALL
)
SELECT
    r.run_id,
    r.run_name,
    r.strategy,
    r.symbol,
    t.bot_id,
    t.mode,
    coalesce(b.n, 0) AS backtest_n,
    t.n AS real_n,
    coalesce(m.matched, 0) AS matched,
    coalesce(b.n, 0) - coalesce(m.backtest_matched, 0) AS backtest_only,
    t.n - coalesce(m.matched, 0) AS real_only,
    t.elsewhere,
    r.stated_trades,
    r.stated_win_rate,
    r.venue AS backtest_venue,
    r.tolerance_minutes,
    100.0 * b.wins / b.n AS backtest_win_rate,
    100.0 * t.wins / t.n AS real_win_rate,
    b.percent AS backtest_mean_pnl_percent,
    t.percent AS real_mean_pnl_percent,
    b.expectancy AS backtest_expectancy,
    t.expectancy AS real_expectancy,
    m.difference AS matched_pnl_percent_difference,
    m.slippage AS entry_slippage_percent,
    real_win_rate - backtest_win_rate AS win_rate_difference,
    real_mean_pnl_percent - backtest_mean_pnl_percent AS mean_pnl_percent_difference,
    real_expectancy - backtest_expectancy AS expectancy_difference
FROM traded AS t
JOIN run AS r USING (run_id)
LEFT JOIN backtested AS b USING (run_id)
LEFT JOIN matches AS m USING (run_id, bot_id, mode)
ORDER BY r.run_id, t.mode, t.bot_id
