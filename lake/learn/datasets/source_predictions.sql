-- Predictions of models as examples: one row each. It is over when it was due, and known when it was resolved.
-- side: LONG for up, SHORT for down, FLAT. label_pnl_percent: what following it would have made, before fees; NULL of
-- FLAT. note.*: what the manifest tells of the row.
WITH directed AS (
    SELECT
        *,
        CASE WHEN predicted_direction IN ('UP', 'LONG') THEN 'LONG' WHEN predicted_direction IN ('DOWN', 'SHORT')
            THEN 'SHORT' ELSE predicted_direction END AS side,
        coalesce(due_at, predicted_at + to_minutes(horizon_minutes::BIGINT)) AS due
    FROM predictions_as_decided
)
SELECT
    prediction_id AS id,
    'prediction' AS kind,
    bot_id, venue, symbol, timeframe, model_version,
    NULL::VARCHAR AS strategy,
    side,
    predicted_at AS decision_time,
    probability AS "recorded.probability",
    confidence AS "recorded.confidence",
    horizon_minutes::DOUBLE AS "recorded.horizon_minutes",
    price AS entry_price, NULL::DOUBLE AS stop_loss, NULL::DOUBLE AS tp1, NULL::DOUBLE AS tp2, NULL::DOUBLE AS tp3,
    due AS timeout_at,
    CASE WHEN correct THEN 'win' WHEN NOT correct THEN 'loss' END AS label_outcome,
    CASE side WHEN 'LONG' THEN 100 * actual_return WHEN 'SHORT' THEN -100 * actual_return END AS label_pnl_percent,
    NULL::DOUBLE AS label_rr,
    greatest(coalesce(least(due, resolved_at), resolved_at), predicted_at) AS label_time,
    greatest(resolved_at, predicted_at) AS label_known_at,
    changed_inputs IS NOT NULL AS "note.inputs_changed_later",
    CASE WHEN correct IS NULL THEN 'unresolved' WHEN resolved_at IS NULL THEN 'end_unknown' END AS reason
FROM directed
