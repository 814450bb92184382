-- Decisions that were resolved before the variable now, with the outcome that was known then: of outcomes that were
-- corrected the newest recorded by then. What was decided later, or resolved later for the first time, is not there.
-- What was thought is as it was written when it was decided, whatever a bot wrote over it since.
-- Parameters: $paths, JSON pointers of the features that are compared; $symbol; $newest, how many rows at most, those of
-- the symbol first, then the newest; $bot_id, $venue, $prompt_version, $model_version, $recommendation, $traded: only
-- rows of that value, NULL for all.
-- inside: about a moment that its model may remember, by the variable knowledge_cutoffs; these come last.
-- features: the values at these paths in market_snapshot, as text; NULL where the snapshot has none.
WITH decided AS (
    SELECT
        *,
        list_filter(
            from_json(outcome_history, '[{"outcome_correct": "BOOLEAN", "actual_pnl": "DOUBLE",
                "actual_pnl_percent": "DOUBLE", "max_favorable": "DOUBLE", "max_adverse": "DOUBLE",
                "hold_duration_minutes": "DOUBLE", "traded": "BOOLEAN", "outcome_recorded_at": "BIGINT"}]'),
            lambda o: is_past(make_timestamptz(o.outcome_recorded_at))
        )[-1] AS former,
        coalesce(is_past(outcome_recorded_at), false) AS is_known
    FROM decisions_as_decided
    WHERE is_past(analyzed_at)
)
SELECT
    decision_id,
    bot_id,
    venue,
    symbol,
    timeframe,
    prompt_version,
    model_version,
    recommendation,
    confidence,
    reasoning,
    analyzed_at,
    CASE WHEN is_known THEN traded ELSE coalesce(former.traded, traded) END AS traded,
    skip_reason,
    CASE WHEN is_known THEN outcome_correct ELSE former.outcome_correct END AS outcome_correct,
    CASE WHEN is_known THEN actual_pnl ELSE former.actual_pnl END AS actual_pnl,
    CASE WHEN is_known THEN actual_pnl_percent ELSE former.actual_pnl_percent END AS actual_pnl_percent,
    CASE WHEN is_known THEN hold_duration_minutes ELSE former.hold_duration_minutes END AS hold_duration_minutes,
    CASE WHEN is_known THEN outcome_recorded_at ELSE make_timestamptz(former.outcome_recorded_at) END
        AS outcome_recorded_at,
    is_remembered(model_version, analyzed_at) AS inside,
    json_extract_string(market_snapshot, $paths::VARCHAR[]) AS features
FROM decided
WHERE (is_known OR former IS NOT NULL)
    AND ($bot_id IS NULL OR bot_id = $bot_id)
    AND ($venue IS NULL OR venue = $venue)
    AND ($prompt_version IS NULL OR prompt_version = $prompt_version)
    AND ($model_version IS NULL OR model_version = $model_version)
    AND ($recommendation IS NULL OR recommendation = $recommendation)
    AND ($traded IS NULL OR CASE WHEN is_known THEN traded ELSE coalesce(former.traded, traded) END = $traded)
ORDER BY inside, symbol = $symbol DESC, analyzed_at DESC, decision_id
LIMIT $newest
