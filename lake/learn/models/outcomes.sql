-- What is resolved, and what was said of it before: one row for each phantom, decision, prediction and closed trade.
-- source: which of these. score (0-1): the probability or confidence that was recorded with it; the ml_score of phantoms
-- is 0-100. model_version: who gave it; phantoms do not tell. hit: won or lost; rows that did neither are left out.
-- resolved_at: when it was over.
SELECT
    'phantoms' AS source, phantom_id AS id, symbol, regime, ml_score / 100 AS score, NULL::VARCHAR AS model_version,
    signal_time AS decided_at, exit_time AS resolved_at, outcome = 'win' AS hit
FROM phantoms
WHERE status = 'completed' AND outcome IN ('win', 'loss') AND exit_time IS NOT NULL
UNION ALL
SELECT
    'decisions', decision_id, symbol, NULL, confidence, model_version,
    analyzed_at, coalesce(outcome_recorded_at, analyzed_at), outcome_correct
FROM decisions
WHERE outcome_correct IS NOT NULL
UNION ALL
SELECT
    'predictions', prediction_id, symbol, NULL, coalesce(probability, confidence), model_version,
    predicted_at, coalesce(due_at, resolved_at), correct
FROM predictions
WHERE correct IS NOT NULL
UNION ALL
SELECT
    'trades', trade_id, symbol, NULL, NULL, NULL,
    coalesce(opened_at, created_at), closed_at, pnl > 0
FROM trades
WHERE status = 'closed' AND pnl IS NOT NULL AND closed_at IS NOT NULL
