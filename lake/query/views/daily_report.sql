-- What happened on each day of the zone time_zone, in each mode: one row per day and mode, from the first day with a
-- signal or trade to the last, days without any among them. Made of signals and trades alone, never of the clock: the
-- row of a past day comes out the same whenever it is asked for, until what happened is told otherwise: a correction, or
-- what comes late.
-- A mode has rows from the day of its first trade on; days before any trade have one row, of live.
-- Columns: day; mode. signals_seen, signals_executed, signals_rejected, signals_ignored: of all modes, since a signal
--   has none; the rows of one day repeat them.
-- trades_opened, trades_closed: on that day; trades_active: open when the day ended. A trade was opened at opened_at, else
--   created_at, and at its closing at the latest; one that was opened and then cancelled, or ended in error, was opened
--   and active until then as well, but is not among the closed ones.
-- wins, losses, breakevens: of the trades closed; unresolved: closed without a known result, in no figure.
-- win_rate, win_rate_low, win_rate_high: % of wins, losses and breakevens, with the 95 % Wilson interval; NULL without.
-- total_pnl, gross_profit, gross_loss (not above 0), fees: of those with a known result, in quote currency; pnl is net
--   of fees. Summed in order of size, so that not even the last digit hangs on the files that the trades lie in.
-- best_trade_id, best_trade_symbol, best_trade_pnl; worst_...: highest and lowest pnl of the day.
WITH signal_days AS (
    SELECT
        day_of(signal_time) AS day,
        count(*) AS seen,
        count(*) FILTER (action = 'EXECUTED') AS executed,
        count(*) FILTER (action = 'REJECTED') AS rejected,
        count(*) FILTER (action = 'IGNORED') AS ignored
    FROM signals
    GROUP BY ALL
), held AS (
    SELECT
        coalesce(mode, '') AS mode, status,
        day_of(least(coalesce(opened_at, created_at), CASE WHEN status <> 'open' THEN closed_at END)) AS opened,
        CASE WHEN status <> 'open' THEN day_of(closed_at) END AS ended,
        trade_id, symbol, pnl, fees, coalesce(isfinite(pnl), false) AS known
    FROM trades
    WHERE status = 'open' OR (closed_at IS NOT NULL
        AND (status = 'closed' OR (status IN ('cancelled', 'error') AND opened_at IS NOT NULL)))
), opened_days AS (
    SELECT mode, opened AS day, count(*) AS opened FROM held GROUP BY ALL
), ended_days AS (
    SELECT mode, ended AS day, count(*) AS ended FROM held WHERE ended IS NOT NULL GROUP BY ALL
), closed_days AS (
    SELECT
        mode,
        ended AS day,
        count(*) AS closed,
        count(*) FILTER (known AND pnl > 0) AS wins,
        count(*) FILTER (known AND pnl < 0) AS losses,
        count(*) FILTER (known AND pnl = 0) AS breakevens,
        sum(pnl ORDER BY pnl) FILTER (known AND pnl > 0) AS gross_profit,
        sum(pnl ORDER BY pnl) FILTER (known AND pnl < 0) AS gross_loss,
        sum(fees ORDER BY fees) FILTER (known) AS fees,
        arg_max({'id': trade_id, 'symbol': symbol, 'pnl': pnl}, (pnl, trade_id)) FILTER (known) AS best,
        arg_min({'id': trade_id, 'symbol': symbol, 'pnl': pnl}, (pnl, trade_id)) FILTER (known) AS worst
    FROM held
    WHERE status = 'closed'
    GROUP BY ALL
), events AS (
    SELECT day FROM signal_days UNION ALL SELECT day FROM opened_days UNION ALL SELECT day FROM ended_days
), modes AS (
    SELECT mode, min(day) AS begun
    FROM (SELECT mode, day FROM opened_days UNION ALL SELECT mode, day FROM ended_days)
    GROUP BY mode
), days AS (
    SELECT unnest(generate_series(min(day), max(day), INTERVAL 1 DAY))::DATE AS day FROM events
), rows AS (
    SELECT day, coalesce(mode, 'live') AS mode FROM days LEFT JOIN modes ON day >= begun
)
SELECT
    day,
    mode,
    coalesce(seen, 0) AS signals_seen,
    coalesce(executed, 0) AS signals_executed,
    coalesce(rejected, 0) AS signals_rejected,
    coalesce(ignored, 0) AS signals_ignored,
    coalesce(opened, 0) AS trades_opened,
    coalesce(closed, 0) AS trades_closed,
    (sum(coalesce(opened, 0) - coalesce(ended, 0)) OVER (PARTITION BY mode ORDER BY day))::BIGINT AS trades_active,
    coalesce(wins, 0) AS wins,
    coalesce(losses, 0) AS losses,
    coalesce(breakevens, 0) AS breakevens,
    coalesce(closed - closed_days.wins - closed_days.losses - closed_days.breakevens, 0) AS unresolved,
    100.0 * closed_days.wins / nullif(closed - unresolved, 0) AS win_rate,
    100.0 * wilson_low(closed_days.wins, closed - unresolved) AS win_rate_low,
    100.0 * wilson_high(closed_days.wins, closed - unresolved) AS win_rate_high,
    coalesce(closed_days.gross_profit, 0) + coalesce(closed_days.gross_loss, 0) AS total_pnl,
    coalesce(gross_profit, 0) AS gross_profit,
    coalesce(gross_loss, 0) AS gross_loss,
    coalesce(fees, 0) AS fees,
    best.id AS best_trade_id,
    best.symbol AS best_trade_symbol,
    best.pnl AS best_trade_pnl,
    worst.id AS worst_trade_id,
    worst.symbol AS worst_trade_symbol,
    worst.pnl AS worst_trade_pnl
FROM rows
LEFT JOIN signal_days USING (day)
LEFT JOIN opened_days USING (day, mode)
LEFT JOIN ended_days USING (day, mode)
LEFT JOIN closed_days USING (day, mode)
ORDER BY day, mode
