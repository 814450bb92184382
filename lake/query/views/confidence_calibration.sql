-- Is a confidence of 0.8 right eight times in ten? One row per prompt, model, symbol and tenth of confidence. Only
-- resolved decisions for LONG or SHORT that state a confidence count, traded or not (to look at traded ones alone would
-- hide what was skipped). HOLDs have no direction to be right about. The variable now looks back, to ends known by
-- then, also those that were corrected since; days keeps decisions that young.
-- What was said is as it was then, whoever wrote over it later.
-- prompt_version, model_version: NULL for decisions without one. symbol: bots and venues are taken together.
-- bucket_low, bucket_high (0-1): confidence from bucket_low to below bucket_high; the last one includes 1. Confidences
--   are rounded to 6 decimals first, so that 0.7 kept in 32 bits stays in its bucket.
-- n: resolved decisions in the bucket. ambiguous: those of them whose outcome from candles is an assumption, the worse
--   of two, since nothing tells which level was reached first: where they are many, observed is too low. unresolved: those that wait for their outcome, in no other figure.
-- confidence (0-1): mean of what was stated. observed, observed_low, observed_high (0-1): share that was right, and its
--   Wilson interval at 95 %.
-- gap: observed - confidence; below 0 the model is too sure.
-- inside_training_period: decisions about a moment that their model may remember (settings, [knowledge_cutoffs]; the
--   variable knowledge_cutoffs); they are in no other figure. Buckets in which nothing is resolved, and nothing inside,
--   have no row.
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
