-- The figures of the view confidence_calibration in one pass over all decisions: nothing is kept.
SELECT
    prompt_version,
    model_version,
    symbol,
    bucket / 10 AS bucket_low,
    (bucket + 1) / 10 AS bucket_high,
    count(hit) AS n,
    count_of(hit IS NOT NULL AND is_ambiguous) AS ambiguous,
    count_of(NOT is_inside) - count(hit) AS unresolved,
    avg(stated) AS confidence,
    avg(hit) AS observed,
    wilson_low(sum(hit), count(hit)) AS observed_low,
    wilson_high(sum(hit), count(hit)) AS observed_high,
    avg(hit) - avg(stated) AS gap,
    count_of(is_inside) AS inside_training_period
FROM (
    SELECT
        prompt_version,
        model_version,
        symbol,
        least(floor(round(confidence, 6) * 10), 9)::INTEGER AS bucket,
        is_inside,
        has_come(coalesce(outcome_recorded_at, analyzed_at)) AS is_known,
        CASE WHEN is_inside THEN NULL WHEN is_known THEN outcome_correct
            ELSE struct_extract(former, 'outcome_correct') END::INTEGER AS hit,
        CASE WHEN is_known THEN ambiguous ELSE struct_extract(former, 'ambiguous') END AS is_ambiguous,
        CASE WHEN hit IS NOT NULL THEN confidence END AS stated
    FROM (
        SELECT
            *,
            is_remembered(model_version, analyzed_at) AS is_inside,
            former_outcome(outcome_history) AS former
        FROM decisions_as_decided
        WHERE recommendation IN ('LONG', 'SHORT') AND confidence IS NOT NULL
            AND in_window(analyzed_at) AND has_come(analyzed_at)
    )
)
GROUP BY prompt_version, model_version, symbol, bucket
HAVING count(hit) > 0 OR count_of(is_inside) > 0
ORDER BY prompt_version, model_version, symbol, bucket
