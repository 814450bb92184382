-- What the models were shown with their newest decisions, the newest first: made_at and market_snapshot.
-- Parameters: $before, only decisions made before that time, all where it is NULL; $newest, how many, all where it is NULL.
SELECT analyzed_at AS made_at, market_snapshot
FROM decisions_as_decided
WHERE market_snapshot IS NOT NULL AND ($before IS NULL OR analyzed_at < $before)
ORDER BY analyzed_at DESC, decision_id DESC
LIMIT $newest
