-- Decisions of language models as examples: one row each, decided when the model answered, with what it said then. What
-- was done about it (traded, skip_reason, trade_id) and what came of it is filled in later and no input.
-- A HOLD has no outcome that could be right or wrong. A decision wins when its direction was right. It was over when
-- its level was reached or it was given up (as `lk.label` finds it), or when the last of its trades closed; of an outcome
-- that was given, when that was recorded, since nothing says of an earlier time that it was over then. It was known when
-- it was recorded. It is ambiguous where two of stop, target and timeout lay so near that nothing tells which came first.
-- note.*: what the manifest tells of the row.
SELECT
    decision_id AS id,
    'decision' AS kind,
    bot_id, venue, symbol, timeframe, model_version,
    NULL::VARCHAR AS strategy,
    recommendation AS side,
    analyzed_at AS decision_time,
    confidence AS "recorded.confidence",
    market_snapshot,
    entry_price, stop_loss, take_profit AS tp1, NULL::DOUBLE AS tp2, NULL::DOUBLE AS tp3, NULL::TIMESTAMPTZ AS timeout_at,
    CASE WHEN outcome_correct THEN 'win' WHEN NOT outcome_correct THEN 'loss' END AS label_outcome,
    actual_pnl_percent AS label_pnl_percent,
    NULL::DOUBLE AS label_rr,
    greatest(
        decision_over(outcome_source, analyzed_at, hold_duration_minutes, trades_closed_at, outcome_recorded_at),
        analyzed_at
    ) AS label_time,
    greatest(outcome_recorded_at, analyzed_at) AS label_known_at,
    changed_inputs IS NOT NULL AS "note.inputs_changed_later",
    CASE
        WHEN recommendation IS NULL OR recommendation = 'HOLD' THEN 'hold'
        WHEN outcome_correct IS NULL THEN 'unresolved'
        WHEN outcome_recorded_at IS NULL THEN 'end_unknown'
        WHEN ambiguous THEN 'ambiguous'
    END AS reason
FROM decisions_and_closings('decisions_as_decided', 'trades')
