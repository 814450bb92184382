-- Signals as examples: one row each, with the outcome of the phantom that follows it; else of the closed trade that
-- came of it. What was done about the signal (action, rejection_reason, trade_id) came after it and is no input.
WITH followed AS (
    SELECT
        signal_id, tp1, tp2, tp3, stop_loss, timeout_at, outcome, pnl_percent, realized_rr, exit_time,
        row_number() OVER (
            PARTITION BY signal_id ORDER BY (outcome IS NULL), (outcome = 'unknown'), exit_time, phantom_id
        ) AS place
    FROM phantoms
    WHERE signal_id IS NOT NULL
), traded AS (
    SELECT
        signal_id,
        CASE sign(coalesce(pnl, pnl_percent)) WHEN 1 THEN 'win' WHEN -1 THEN 'loss' WHEN 0 THEN 'breakeven' END
            AS outcome,
        pnl_percent,
        closed_at,
        row_number() OVER (PARTITION BY signal_id ORDER BY closed_at, trade_id) AS place
    FROM trades
    WHERE signal_id IS NOT NULL AND status = 'closed' AND coalesce(pnl, pnl_percent) IS NOT NULL
), told AS (
    SELECT
        s.*,
        p.timeout_at,
        p.signal_id IS NOT NULL AS is_followed,
        CASE WHEN p.signal_id IS NOT NULL THEN p.outcome ELSE t.outcome END AS outcome,
        CASE WHEN p.signal_id IS NOT NULL THEN p.pnl_percent ELSE t.pnl_percent END AS pnl_percent,
        p.realized_rr,
        CASE WHEN p.signal_id IS NOT NULL THEN p.exit_time ELSE t.closed_at END AS ended
    FROM signals AS s
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
    CASE
        WHEN signal_type = 'HOLD' OR direction IS NULL THEN 'hold'
        WHEN outcome IS NULL THEN 'unresolved'
        WHEN outcome = 'unknown' THEN 'unknown'
        WHEN ended IS NULL THEN 'end_unknown'
    END AS reason
FROM told
