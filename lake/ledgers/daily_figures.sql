-- One row for each day from $first to $last and each bot that had closed a trade by its end, in the columns of
-- performance_snapshots.
-- Up to the day $frozen (NULL for none) trades were retired. What is stored of these days stays as it is, and later days
-- go on from there: one result a day stands for the trades of each stored day that had any, which makes the same sums and Sharpe
-- ratio. The drawdown is at least the one that was stored.
WITH frozen AS (
    SELECT * FROM performance_snapshots WHERE date <= $frozen::DATE AND mode IS NOT NULL
), results AS (
    SELECT mode, bot_id, status, pnl, fees, closed_at
    FROM trades
    WHERE mode IN ('live', 'paper')
        AND (bot_id NOT IN (SELECT bot_id FROM frozen) OR day_of(closed_at) > $frozen::DATE)
    UNION ALL
    SELECT mode, bot_id, 'closed', daily_pnl, 0.0, (date + INTERVAL 12 HOUR) AT TIME ZONE time_zone()
    FROM frozen
    WHERE trades > 0
), closings AS MATERIALIZED (
    SELECT * FROM bot_days('results', 'bot_configs') WHERE trades > 0
), bots AS (
    SELECT bot_id, min(date) AS first_day, min(mode) AS mode  -- live, if it has any such trade
    FROM closings
    GROUP BY bot_id
), carried AS (  -- what was made before the first stored day, and the deepest fall so far
    SELECT bot_id, mode, arg_min(total_pnl - daily_pnl, date) AS earlier, max(max_drawdown) AS max_drawdown
    FROM frozen
    GROUP BY bot_id, mode
), days AS (
    SELECT
        bot_id, mode, unnest(generate_series(greatest(first_day, $first::DATE), $last::DATE, INTERVAL 1 DAY))::DATE AS date
    FROM bots
), figures AS (
    SELECT
        d.bot_id, d.date, d.mode,
        CASE WHEN c.date = d.date THEN c.daily_pnl ELSE 0 END AS daily_pnl,
        coalesce(c.total_pnl, 0) + coalesce(k.earlier, 0) AS total_pnl,
        CASE WHEN c.date = d.date THEN c.trades ELSE 0 END AS trades,
        CASE WHEN c.date = d.date THEN c.wins ELSE 0 END AS wins,
        CASE WHEN c.date = d.date THEN c.losses ELSE 0 END AS losses,
        CASE WHEN c.date = d.date THEN c.win_rate END AS win_rate,
        c.sharpe_ratio,
        CASE WHEN c.max_drawdown_percent >= 0 THEN greatest(c.max_drawdown_percent, k.max_drawdown) END AS max_drawdown
    FROM days AS d
    ASOF LEFT JOIN closings AS c ON d.bot_id = c.bot_id AND d.mode = c.mode AND d.date >= c.date
    LEFT JOIN carried AS k ON d.bot_id = k.bot_id AND d.mode = k.mode
)
SELECT *
FROM figures
WHERE bot_id NOT IN (SELECT bot_id FROM frozen) OR date > $frozen::DATE
UNION ALL BY NAME
SELECT bot_id, date, mode, daily_pnl, total_pnl, trades, wins, losses, win_rate, sharpe_ratio, max_drawdown
FROM frozen
WHERE date BETWEEN $first::DATE AND $last::DATE
ORDER BY date, bot_id
