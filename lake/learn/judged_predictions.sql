-- Predictions with what is known of their outcome: one row each, in the columns of judged_decisions.sql. The variable now
-- looks back: predictions made later are not there, and outcomes resolved later are not known; days keeps predictions
-- that young.
-- What was predicted is as it was then, whoever wrote over it later.
-- id: prediction_id. confidence (0-1): the probability of the predicted direction, else the confidence that is stated.
-- made_at: predicted_at. hit: whether it came true. recorded_at: resolved_at. hold_minutes (min): the horizon.
-- traded, pnl, cost_usd, prompt_version: a prediction has none.
SELECT
    prediction_id AS id,
    bot_id,
    venue,
    symbol,
    timeframe,
    predicted_direction AS recommendation,
    coalesce(probability, confidence) AS confidence,
    NULL::VARCHAR AS prompt_version,
    model_version,
    predicted_at AS made_at,
    CASE WHEN coalesce(is_past(resolved_at), getvariable('now') IS NULL) THEN correct END AS hit,
    CASE WHEN is_past(resolved_at) THEN resolved_at END AS recorded_at,
    false AS traded,
    NULL::DOUBLE AS pnl,
    NULL::DOUBLE AS cost_usd,
    horizon_minutes::DOUBLE AS hold_minutes
FROM predictions_as_decided
WHERE in_window(predicted_at) AND is_past(predicted_at)
ORDER BY made_at, id
