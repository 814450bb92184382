-- How often each model's predictions came true: one row per model_version, symbol and horizon. The variable now looks
-- back, to ends known by then; days keeps predictions that young. Bots and venues are taken together.
-- model_version, horizon_minutes (min): NULL for predictions without one.
-- predictions: all. n: those of which it is known whether they came true. undirected: resolved ones that said no
--   direction, which have a return but cannot come true. unresolved: the others; overdue: those of them whose due time
--   is past (the variable now, else the clock). None of these three is in another figure.
-- correct, accuracy, accuracy_low, accuracy_high (%): resolved ones that came true, their share, its Wilson interval at
--   95 %.
-- brier_n, brier: Brier score of resolved ones with a probability: mean of (probability - 1 or 0)^2. 0 is perfect, 0.25
--   is what a probability of 0.5 always gets (Brier 1950, for the predicted direction).
-- avg_probability (0-1): stated by the resolved ones: near accuracy / 100 in a calibrated model.
-- mean_return_right, mean_return_wrong, mean_return (%): mean price change in the predicted direction when right, when
--   wrong, and of all; a prediction of FLAT has no direction and is not in it.
WITH prediction AS (
    SELECT
        *,
        CASE WHEN is_past(coalesce(resolved_at, predicted_at)) THEN correct::INTEGER END AS hit,
        hit IS NULL AND predicted_direction IS NULL AND resolved_at IS NOT NULL AND is_past(resolved_at) AS is_undirected,
        CASE
            WHEN predicted_direction IN ('UP', 'LONG') THEN 100 * actual_return
            WHEN predicted_direction IN ('DOWN', 'SHORT') THEN -100 * actual_return
        END AS gain
    FROM predictions_as_decided
    WHERE in_window(predicted_at) AND is_past(predicted_at)
)
SELECT
    model_version,
    symbol,
    horizon_minutes,
    count(*) AS predictions,
    count(hit) AS n,
    count_of(is_undirected) AS undirected,
    count(*) - count(hit) - undirected AS unresolved,
    count(*) FILTER (hit IS NULL AND NOT is_undirected AND due_at <= as_of_now()) AS overdue,
    coalesce(sum(hit), 0)::BIGINT AS correct,
    100 * avg(hit) AS accuracy,
    100 * wilson_low(sum(hit), count(hit)) AS accuracy_low,
    100 * wilson_high(sum(hit), count(hit)) AS accuracy_high,
    count(probability) FILTER (hit IS NOT NULL) AS brier_n,
    avg((probability - hit) ** 2) AS brier,
    avg(probability) FILTER (hit IS NOT NULL) AS avg_probability,
    avg(gain) FILTER (hit = 1) AS mean_return_right,
    avg(gain) FILTER (hit = 0) AS mean_return_wrong,
    avg(gain) FILTER (hit IS NOT NULL) AS mean_return
FROM prediction
GROUP BY model_version, symbol, horizon_minutes
ORDER BY model_version, symbol, horizon_minutes
