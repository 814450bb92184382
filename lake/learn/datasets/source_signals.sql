-- Signals as examples: one row each, with the outcome of the phantom that follows it; else of the trade that came of
-- it. What was done about the signal (action, rejection_reason, trade_id) came after it and is no input.
-- Of several phantoms it is the one that was recorded with the signal: the one nearest to its time, then with its entry
-- price and stop, then the first by its id; of several trades the one that was opened first. How they ended is never
-- asked. note.several_phantoms and note.several_trades tell that there were others.
WITH followed AS (
    SELECT
        s.signal_id, p.timeout_at, p.outcome, p.pnl_percent, p.realized_rr, p.exit_time, p.ambiguous,
        count(*) OVER (PARTITION BY s.signal_id) > 1 AS are_several,
        row_number() OVER (
            PARTITION BY s.signal_id
            ORDER BY
                abs(epoch_us(p.signal_time) - epoch_us(s.signal_time)),
                p.entry_price IS DISTINCT FROM s.entry_price,
                p.stop_loss IS DISTINCT FROM s.stop_loss,
                p.phantom_id
        ) AS place
    FROM phantoms_as_decided AS p
    INNER JOIN signals_as_decided AS s ON p.signal_id = s.signal_id
), traded AS (
    SELECT
        signal_id,
        CASE WHEN status = 'closed' THEN
            CASE sign(coalesce(pnl, pnl_percent)) WHEN 1 THEN 'win' WHEN -1 THEN 'loss' WHEN 0 THEN 'breakeven' END
        END AS outcome,
        pnl_percent,
        closed_at,
        count(*) OVER (PARTITION BY signal_id) > 1 AS are_several,
        row_number() OVER (PARTITION BY signal_id ORDER BY coalesce(opened_at, created_at), trade_id) AS place
    FROM trades
    WHERE signal_id IS NOT NULL AND status IN ('open', 'closed')
), told AS (
    SELECT
        s.*,
        p.timeout_at,
        p.signal_id IS NOT NULL AS is_followed,
        CASE WHEN is_followed THEN p.outcome ELSE t.outcome END AS outcome,
        CASE WHEN is_followed THEN p.pnl_percent ELSE t.pnl_percent END AS pnl_percent,
        p.realized_rr,
        CASE WHEN is_followed THEN p.exit_time ELSE t.closed_at END AS ended,
        p.ambiguous,
        coalesce(p.are_several, false) AS several_phantoms,
        NOT is_followed AND coalesce(t.are_several, false) AS several_trades
    FROM signals_as_decided AS s
    LEFT JOIN followed AS p ON s.signal_id = p.signal_id AND p.place = 1
    LEFT JOIN traded AS t ON s.signal_id = t.signal_id AND t.place = 1
)
SELECT
    signal_id AS id,
    'signal' AS kind,
    bot_id, venue, symbol, timeframe, strategy,
    direction AS side,
    signal_time AS decision_time,
    strength AS "recorded.strength",
    confidence AS "recorded.confidence",
    indicators,
    entry_price, stop_loss, tp1, tp2, tp3, timeout_at,
    CASE WHEN outcome <> 'unknown' THEN outcome END AS label_outcome,
    pnl_percent AS label_pnl_percent,
    realized_rr AS label_rr,
    greatest(ended, signal_time) AS label_time,
    greatest(ended, signal_time) AS label_known_at,
    changed_inputs IS NOT NULL AS "note.inputs_changed_later",
    several_phantoms AS "note.several_phantoms",
    several_trades AS "note.several_trades",
    CASE
        WHEN signal_type = 'HOLD' OR direction IS NULL THEN 'hold'
        WHEN outcome IS NULL THEN 'unresolved'
        WHEN outcome = 'unknown' THEN 'unknown'
        WHEN ended IS NULL THEN 'end_unknown'
        WHEN ambiguous THEN 'ambiguous'
    END AS reason
FROM told
