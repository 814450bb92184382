-- The signals of the last day, newest first, with what was done about each, why, and what became of it.
-- The variable days sets another number of days before now. With the variable now, a trade is as it was then: one that
-- ended later is open, or pending where it was not opened yet, and one that was made later is not there.
-- Columns: signal_time, signal_id, bot_id, venue, symbol, timeframe, strategy, signal_type, direction,
--   strength (0-100), confidence (0-1), entry_price, stop_loss, tp1, tp2, tp3 (quote currency), action,
--   rejection_reason: of the signal.
-- trade_id: the trade that the signal names, else the newest trade that names the signal. Its mode, trade_status,
--   opened_at, closed_at, exit_reason, pnl (quote currency, net of fees), pnl_percent (% on own money).
-- outcome: win, loss or breakeven of a closed trade, unknown without its result, else its status; NULL without a trade.
WITH recent AS (
    SELECT *
    FROM signals
    WHERE is_past(signal_time)
        AND signal_time > as_of_now() - to_days(coalesce(getvariable('days')::INTEGER, 1))
), trade AS NOT MATERIALIZED (
    SELECT
        trade_id, signal_id, mode, created_at,
        coalesce(is_past(closed_at), true) AS has_ended,
        status_then(status, opened_at, closed_at, created_at) AS status,
        CASE WHEN is_past(opened_at) THEN opened_at END AS opened_at,
        CASE WHEN has_ended THEN closed_at END AS closed_at,
        CASE WHEN has_ended THEN exit_reason END AS exit_reason,
        CASE WHEN has_ended THEN pnl END AS pnl,
        CASE WHEN has_ended THEN pnl_percent END AS pnl_percent
    FROM trades
    WHERE is_past(least(created_at, opened_at, closed_at))
), named AS (
    SELECT signal_id, arg_max(trade_id, (created_at, trade_id)) AS trade_id
    FROM trade
    WHERE signal_id IN (SELECT signal_id FROM recent)
    GROUP BY signal_id
)
SELECT
    s.signal_time,
    s.signal_id,
    s.bot_id,
    s.venue,
    s.symbol,
    s.timeframe,
    s.strategy,
    s.signal_type,
    s.direction,
    s.strength,
    s.confidence,
    s.entry_price,
    s.stop_loss,
    s.tp1,
    s.tp2,
    s.tp3,
    s.action,
    s.rejection_reason,
    coalesce(s.trade_id, named.trade_id) AS trade_id,
    t.mode,
    t.status AS trade_status,
    t.opened_at,
    t.closed_at,
    t.exit_reason,
    t.pnl,
    t.pnl_percent,
    CASE
        WHEN t.status <> 'closed' THEN t.status
        WHEN t.pnl > 0 THEN 'win'
        WHEN t.pnl < 0 THEN 'loss'
        WHEN t.pnl = 0 THEN 'breakeven'
        WHEN t.status = 'closed' THEN 'unknown'
    END AS outcome
FROM recent AS s
LEFT JOIN named ON s.signal_id = named.signal_id
LEFT JOIN trade AS t ON coalesce(s.trade_id, named.trade_id) = t.trade_id
ORDER BY s.signal_time DESC, s.signal_id DESC
