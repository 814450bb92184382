-- How each bot stands: its configuration, last snapshot, last metric, positions and trades. One row per bot and mode of
-- its trades; a bot without trades has one row, with mode NULL. With the variable now, the last ones before it.
-- Columns: bot_id; mode; bot_name, symbol, strategy, timeframe, capital and position_size (quote currency),
--   risk_per_trade and max_position_size (% of capital), stop_loss_pct, take_profit_pct, trailing_stop_pct,
--   drawdown_guard_pct (%), is_active, is_running, started_at, stopped_at: of bot_configs.
-- snapshot_time, peak_equity (quote currency), current_drawdown_pct (% of that, 100 where it is 0 or less),
--   current_trailing_stop, trading_halted, halt_reason, position_side, position_size_held (base currency),
--   position_entry_price: of the last of bot_states.
-- metric_time, price, metric_unrealized_pnl, metric_realized_pnl (quote currency): of the last of bot_metrics;
--   one that is dated more than a minute ahead of the clock, which then was wrong, is the last only where all are.
-- open_positions, unrealized_pnl (quote currency): of positions still held, all modes: a position has none. These and the
--   configuration are as they stand, whatever the variable now says.
-- trades, wins, losses, total_pnl (quote currency, net of fees): closed trades with a known result, of the mode;
--   win_rate: % of trades. open_trades, pending_trades: of the mode. last_trade_at: its last entry or exit.
WITH states AS (
    SELECT bot_id, arg_max({
        'time': snapshot_time, 'peak': peak_equity, 'drawdown': current_drawdown_pct, 'stop': current_trailing_stop,
        'halted': trading_halted, 'reason': halt_reason, 'side': position_side, 'size': position_size,
        'entry': position_entry_price
    }, snapshot_time) AS last
    FROM bot_states
    WHERE is_past(snapshot_time)
    GROUP BY bot_id
), metrics AS (
    SELECT bot_id, coalesce(
        arg_max(figures, time) FILTER (time <= as_of_now() + INTERVAL 1 MINUTE), arg_max(figures, time)) AS last
    FROM (
        SELECT bot_id, time, {
            'time': time, 'price': price, 'unrealized': unrealized_pnl, 'realized': realized_pnl
        } AS figures
        FROM bot_metrics
        WHERE is_past(time)
    )
    GROUP BY bot_id
), held AS (
    SELECT bot_id, count(*) AS n, sum(unrealized_pnl) AS unrealized
    FROM positions
    WHERE status IN ('active', 'open')
    GROUP BY bot_id
), traded AS (
    SELECT
        bot_id,
        coalesce(mode, '') AS mode,
        count(*) FILTER (has_result(status, pnl, closed_at)) AS trades,
        count(*) FILTER (has_result(status, pnl, closed_at) AND pnl > 0) AS wins,
        count(*) FILTER (has_result(status, pnl, closed_at) AND pnl < 0) AS losses,
        coalesce(sum(pnl) FILTER (has_result(status, pnl, closed_at)), 0) AS total_pnl,
        count(*) FILTER (status_then(status, opened_at, closed_at, created_at) = 'open') AS open_trades,
        count(*) FILTER (status_then(status, opened_at, closed_at, created_at) = 'pending') AS pending_trades,
        max(greatest(
            CASE WHEN is_past(opened_at) THEN opened_at END, CASE WHEN is_past(closed_at) THEN closed_at END
        )) AS last_trade_at
    FROM trades
    WHERE is_past(least(created_at, opened_at, closed_at))
    GROUP BY ALL
), bots AS (
    SELECT bot_id FROM bot_configs UNION SELECT bot_id FROM states UNION SELECT bot_id FROM metrics
    UNION SELECT bot_id FROM held UNION SELECT bot_id FROM traded
)
SELECT
    bots.bot_id,
    traded.mode,
    c.bot_name, c.symbol, c.strategy, c.timeframe, c.capital, c.position_size, c.risk_per_trade, c.max_position_size,
    c.stop_loss_pct, c.take_profit_pct, c.trailing_stop_pct, c.drawdown_guard_pct,
    c.is_active, c.is_running, c.started_at, c.stopped_at,
    states.last.time AS snapshot_time,
    states.last.peak AS peak_equity,
    states.last.drawdown AS current_drawdown_pct,
    states.last.stop AS current_trailing_stop,
    states.last.halted AS trading_halted,
    states.last.reason AS halt_reason,
    states.last.side AS position_side,
    states.last.size AS position_size_held,
    states.last.entry AS position_entry_price,
    metrics.last.time AS metric_time,
    metrics.last.price AS price,
    metrics.last.unrealized AS metric_unrealized_pnl,
    metrics.last.realized AS metric_realized_pnl,
    coalesce(held.n, 0) AS open_positions,
    held.unrealized AS unrealized_pnl,
    coalesce(traded.trades, 0) AS trades,
    coalesce(traded.wins, 0) AS wins,
    coalesce(traded.losses, 0) AS losses,
    100.0 * traded.wins / nullif(traded.trades, 0) AS win_rate,
    coalesce(traded.total_pnl, 0) AS total_pnl,
    coalesce(traded.open_trades, 0) AS open_trades,
    coalesce(traded.pending_trades, 0) AS pending_trades,
    traded.last_trade_at
FROM bots
LEFT JOIN bot_configs AS c ON bots.bot_id = c.bot_id
LEFT JOIN states ON bots.bot_id = states.bot_id
LEFT JOIN metrics ON bots.bot_id = metrics.bot_id
LEFT JOIN held ON bots.bot_id = held.bot_id
LEFT JOIN traded ON bots.bot_id = traded.bot_id
ORDER BY bots.bot_id, traded.mode
