-- Why signals were not traded: their number per day, reason, symbol and strategy. A signal is blocked when its action
-- is REJECTED or IGNORED, or when it has no action but a rejection reason. Where it has neither, or is not in the lake
-- at all, its phantoms tell: it is blocked when one was not executed and none was. A signal and its phantoms
-- (phantoms.signal_id) count once; phantoms that name no signal count each for itself.
-- day: of the signal, in the zone of the variable time_zone (UTC).
-- reason: as the signal says, else as its first phantom with a reason says; NULL when none does.
-- symbol, strategy: of the signal. Venues and bots are taken together.
-- blocked: number of signals. The variable now leaves out what is later; days keeps those that young.
WITH reasons AS (
    SELECT signal_id, arg_min(reject_reason, signal_time) AS reason
    FROM phantoms
    SEMI JOIN (SELECT signal_id FROM signals WHERE action IN ('REJECTED', 'IGNORED') AND rejection_reason IS NULL)
        USING (signal_id)
    WHERE reject_reason IS NOT NULL AND is_past(signal_time)
    GROUP BY signal_id
), blocked AS (
    SELECT s.signal_time AS blocked_at, coalesce(s.rejection_reason, r.reason) AS reason, s.symbol, s.strategy
    FROM signals AS s
    LEFT JOIN reasons AS r ON s.signal_id = r.signal_id
    WHERE s.action IN ('REJECTED', 'IGNORED') OR (s.action IS NULL AND s.rejection_reason IS NOT NULL)
    UNION ALL
    SELECT
        min(signal_time),
        arg_min(reject_reason, signal_time),
        arg_min(symbol, signal_time),
        arg_min(strategy, signal_time)
    FROM phantoms
    ANTI JOIN (SELECT signal_id FROM signals WHERE action IS NOT NULL OR rejection_reason IS NOT NULL) USING (signal_id)
    WHERE is_past(signal_time)
    GROUP BY signal_id, CASE WHEN signal_id IS NULL THEN phantom_id END
    HAVING bool_or(NOT was_executed) AND NOT bool_or(was_executed)
)
SELECT
    day_of(blocked_at) AS day,
    reason,
    symbol,
    strategy,
    count(*) AS blocked
FROM blocked
WHERE in_window(blocked_at) AND is_past(blocked_at)
GROUP BY ALL
ORDER BY day DESC, blocked DESC, reason, symbol, strategy
