-- What the lake holds: one row per dataset, empty ones included.
-- rows counts all rows, those in hot too; first_event and last_event are the earliest and the latest event time (of a
-- candle its open); symbols is the number of distinct symbols, NULL for a dataset that has none; rows_last_day counts
-- the events of the 24 hours up to now, so that what has stopped coming in is seen at a glance.
SELECT
    'backtests' AS dataset,
    count(*) AS rows,
    min(created_at) AS first_event,
    max(created_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (created_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM backtests
UNION ALL
SELECT
    'bot_configs' AS dataset,
    count(*) AS rows,
    min(updated_at) AS first_event,
    max(updated_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (updated_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM bot_configs
UNION ALL
SELECT
    'bot_metrics' AS dataset,
    count(*) AS rows,
    min(time) AS first_event,
    max(time) AS last_event,
    NULL AS symbols,
    count(*) FILTER (time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM bot_metrics
UNION ALL
SELECT
    'bot_states' AS dataset,
    count(*) AS rows,
    min(snapshot_time) AS first_event,
    max(snapshot_time) AS last_event,
    NULL AS symbols,
    count(*) FILTER (snapshot_time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM bot_states
UNION ALL
SELECT
    'candles' AS dataset,
    count(*) AS rows,
    min(open_time) AS first_event,
    max(open_time) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (open_time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM candles
UNION ALL
SELECT
    'checkpoint_alerts' AS dataset,
    count(*) AS rows,
    min(alerted_at) AS first_event,
    max(alerted_at) AS last_event,
    NULL AS symbols,
    count(*) FILTER (alerted_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM checkpoint_alerts
UNION ALL
SELECT
    'data_quality' AS dataset,
    count(*) AS rows,
    min(time) AS first_event,
    max(time) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM data_quality
UNION ALL
SELECT
    'decisions' AS dataset,
    count(*) AS rows,
    min(analyzed_at) AS first_event,
    max(analyzed_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (analyzed_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM decisions
UNION ALL
SELECT
    'fills' AS dataset,
    count(*) AS rows,
    min(executed_at) AS first_event,
    max(executed_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (executed_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM fills
UNION ALL
SELECT
    'market_metrics' AS dataset,
    count(*) AS rows,
    min(time) AS first_event,
    max(time) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM market_metrics
UNION ALL
SELECT
    'model_versions' AS dataset,
    count(*) AS rows,
    min(created_at) AS first_event,
    max(created_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (created_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM model_versions
UNION ALL
SELECT
    'performance_snapshots' AS dataset,
    count(*) AS rows,
    min((date::TIMESTAMP AT TIME ZONE 'UTC')) AS first_event,
    max((date::TIMESTAMP AT TIME ZONE 'UTC')) AS last_event,
    NULL AS symbols,
    count(*) FILTER ((date::TIMESTAMP AT TIME ZONE 'UTC') BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM performance_snapshots
UNION ALL
SELECT
    'phantoms' AS dataset,
    count(*) AS rows,
    min(signal_time) AS first_event,
    max(signal_time) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (signal_time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM phantoms
UNION ALL
SELECT
    'positions' AS dataset,
    count(*) AS rows,
    min(opened_at) AS first_event,
    max(opened_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (opened_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM positions
UNION ALL
SELECT
    'predictions' AS dataset,
    count(*) AS rows,
    min(predicted_at) AS first_event,
    max(predicted_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (predicted_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM predictions
UNION ALL
SELECT
    'prompt_versions' AS dataset,
    count(*) AS rows,
    min(created_at) AS first_event,
    max(created_at) AS last_event,
    NULL AS symbols,
    count(*) FILTER (created_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM prompt_versions
UNION ALL
SELECT
    'signals' AS dataset,
    count(*) AS rows,
    min(signal_time) AS first_event,
    max(signal_time) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (signal_time BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM signals
UNION ALL
SELECT
    'trades' AS dataset,
    count(*) AS rows,
    min(created_at) AS first_event,
    max(created_at) AS last_event,
    count(DISTINCT symbol) AS symbols,
    count(*) FILTER (created_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM trades
UNION ALL
SELECT
    'training_runs' AS dataset,
    count(*) AS rows,
    min(started_at) AS first_event,
    max(started_at) AS last_event,
    NULL AS symbols,
    count(*) FILTER (started_at BETWEEN as_of_now() - INTERVAL 24 HOURS AND as_of_now()) AS rows_last_day
FROM training_runs
ORDER BY dataset
