-- Decisions of language models as examples: one row each, decided when the model answered. What was done about it
-- (traded, skip_reason, trade_id) and what came of it is filled in later and no input.
-- A HOLD has no outcome that could be right or wrong. A decision wins when its direction was right; it is over when its
-- outcome was recorded, since nothing says of an earlier time that it was known then.
SELECT
    decision_id AS id,
    'decision' AS kind,
    bot_id, venue, symbol, timeframe,
    NULL::VARCHAR AS strategy,
    recommendation AS side,
    analyzed_at AS decision_time,
    confidence AS "recorded.confidence",
    market_snapshot,
    entry_price, stop_loss, take_profit AS tp1, NULL::DOUBLE AS tp2, NULL::DOUBLE AS tp3, NULL::TIMESTAMPTZ AS timeout_at,
    CASE WHEN outcome_correct THEN 'win' WHEN NOT outcome_correct THEN 'loss' END AS label_outcome,
    actual_pnl_percent AS label_pnl_percent,
    NULL::DOUBLE AS label_rr,
    greatest(outcome_recorded_at, analyzed_at) AS label_time,
    greatest(outcome_recorded_at, analyzed_at) AS label_known_at,
    CASE
        WHEN recommendation IS NULL OR recommendation = 'HOLD' THEN 'hold'
        WHEN outcome_correct IS NULL THEN 'unresolved'
        WHEN outcome_recorded_at IS NULL THEN 'end_unknown'
    END AS reason
FROM decisions
