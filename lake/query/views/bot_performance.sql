-- Each bot's results day by day: one row per bot, mode and day of the zone time_zone, from its first to its last
-- closing, days without trades among them. The figures of performance_snapshots, always up to date.
-- Columns: bot_id; mode; date. Of the day: trades, wins, losses, breakevens (closed, with a known result); win_rate, %
--   of trades, with its 95 % Wilson interval win_rate_low, win_rate_high; daily_pnl (net of fees) and fees in
--   quote currency.
-- Up to and with the day: total_pnl; max_drawdown, the deepest fall of total_pnl below its peak, trade by trade (quote
--   currency); max_drawdown_percent, the same in % of capital plus that peak, NULL where no capital is configured;
--   sharpe_ratio of the daily results so far, a year having periods_per_year days, NULL for less than two days.
WITH walked AS (
    SELECT *, walk(results) AS walk
    FROM (
        SELECT
            coalesce(mode, '') AS mode, bot_id, day_of(closed_at) AS date,
            count(*) AS trades, count(*) FILTER (pnl > 0) AS wins, count(*) FILTER (pnl < 0) AS losses,
            sum(pnl) AS daily_pnl, sum(abs(pnl)) AS gross, sum(fees) AS fees,
            list(pnl ORDER BY closed_at, pnl) AS results
        FROM trades
        WHERE has_result(status, pnl, closed_at)
        GROUP BY ALL
        ORDER BY mode, bot_id, date
    )
), calendar AS (
    SELECT mode, bot_id, unnest(generate_series(min(date), max(date), INTERVAL 1 DAY))::DATE AS date
    FROM walked
    GROUP BY mode, bot_id
), days AS (
    SELECT
        calendar.*, coalesce(daily_pnl, 0) AS pnl,
        coalesce(trades, 0) AS trades, coalesce(wins, 0) AS wins, coalesce(losses, 0) AS losses,
        coalesce(fees, 0) AS fees, walk,
        sum(pnl) OVER so_far AS total_pnl,
        total_pnl - pnl AS before,
        1e-12 * sum(gross) OVER so_far AS grain,  -- less than this is rounding
        sqrt(periods_per_year()) * ratio(avg(pnl) OVER so_far, stddev_samp(pnl) OVER so_far) AS sharpe_ratio
    FROM calendar LEFT JOIN walked USING (mode, bot_id, date)
    WINDOW so_far AS (PARTITION BY mode, bot_id ORDER BY date ROWS UNBOUNDED PRECEDING)
), carried AS (
    SELECT *, coalesce(greatest(0, max(before + walk.high) OVER (PARTITION BY mode, bot_id ORDER BY date
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)), 0) AS peak_before
    FROM days
), fallen AS (  -- the deepest fall of the day: from a peak of its own, or from the one before it
    SELECT *, walk.fall > peak_before - before - walk.low AS own,
        CASE WHEN own THEN walk.fall ELSE peak_before - before - walk.low END AS depth,
        CASE WHEN own THEN before + walk.top ELSE peak_before END AS peak
    FROM carried
)
SELECT
    bot_id, mode, date, trades, wins, losses, trades - wins - losses AS breakevens,
    100.0 * wins / nullif(trades, 0) AS win_rate,
    100.0 * wilson_low(wins, trades) AS win_rate_low,
    100.0 * wilson_high(wins, trades) AS win_rate_high,
    pnl AS daily_pnl,
    fees,
    total_pnl,
    max(CASE WHEN depth > grain THEN depth ELSE 0 END) OVER so_far AS max_drawdown,
    100.0 * max_drawdown / (CASE WHEN capital > 0 THEN capital END + arg_max(peak, depth) OVER so_far)
        AS max_drawdown_percent,
    sharpe_ratio
FROM fallen LEFT JOIN (SELECT bot_id, capital FROM bot_configs) USING (bot_id)
WINDOW so_far AS (PARTITION BY mode, bot_id ORDER BY date ROWS UNBOUNDED PRECEDING)
ORDER BY bot_id, mode, date
