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
    sum(resolved)::BIGINT AS n,
    sum(sums.ambiguous)::BIGINT AS ambiguous,
    sum(sums.n)::BIGINT - sum(resolved)::BIGINT AS unresolved,
    sum(sums.resolved_confidence) / nullif(sum(resolved), 0) AS confidence,
    sum(correct) / nullif(sum(resolved), 0) AS observed,
    wilson_low(sum(correct), sum(resolved)) AS observed_low,
    wilson_high(sum(correct), sum(resolved)) AS observed_high,
    observed - confidence AS gap,
    sum(inside)::BIGINT AS inside_training_period
FROM confidence_sums('decisions_as_decided') AS sums
GROUP BY prompt_version, model_version, symbol, bucket
HAVING sum(resolved) > 0 OR sum(inside) > 0
ORDER BY prompt_version, model_version, symbol, bucket
