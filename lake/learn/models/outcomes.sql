-- What is resolved, and what was said of it before: one row for each phantom, decision, prediction and closed trade.
-- source: which of these. score (0-1): the probability or confidence that was recorded with it; the ml_score of phantoms
-- is 0-100. model_version: who gave it, where the row says so. hit: won or not. is_neutral: breakevens and timeouts of
-- phantoms (a trade at 0 is not won). is_ambiguous: stop and target lay in one candle. resolved_at: when it was over.
-- known_at: when its outcome was recorded, where that may be later.
SELECT
    'phantoms' AS source, phantom_id AS id, symbol, regime, ml_score / 100 AS score, model_version,
    signal_time AS decided_at, exit_time AS resolved_at, exit_time AS known_at, outcome = 'win' AS hit,
    outcome IN ('breakeven', 'timeout') AS is_neutral, coalesce(ambiguous, false) AS is_ambiguous
FROM phantoms_as_decided
WHERE status = 'completed' AND outcome IN ('win', 'loss', 'breakeven', 'timeout') AND exit_time IS NOT NULL
UNION ALL
SELECT
    'decisions', decision_id, symbol, NULL, confidence, model_version,
    analyzed_at,
    coalesce(
        decision_over(outcome_source, analyzed_at, hold_duration_minutes, trades_closed_at, outcome_recorded_at),
        analyzed_at
    ),
    coalesce(outcome_recorded_at, analyzed_at), outcome_correct, false,
    coalesce(ambiguous, false)
FROM decisions_and_closings('decisions_as_decided', 'trades')
WHERE outcome_correct IS NOT NULL
UNION ALL
SELECT
    'predictions', prediction_id, symbol, NULL, coalesce(probability, confidence), model_version,
    predicted_at, coalesce(due_at, resolved_at), coalesce(resolved_at, due_at), correct, false, false
FROM predictions_as_decided
WHERE correct IS NOT NULL
UNION ALL
SELECT
    'trades', trade_id, symbol, NULL, NULL, NULL,
    coalesce(opened_at, created_at), closed_at, closed_at, pnl > 0, false, false
FROM trades
WHERE status = 'closed' AND pnl IS NOT NULL AND closed_at IS NOT NULL
