-- Decisions with what is known of their outcome: one row each. The variable now looks back: decisions made later are not
-- there, and of outcomes that were corrected the newest one counts that was recorded by then; days keeps decisions that
-- young. An outcome of which nobody said when it was recorded does not count in a look back. A patch or a whole new row
-- says nothing of when it was known, and is seen as it is now.
-- What was said (recommendation, confidence) is as it was then, whoever wrote over it later.
-- id: decision_id. confidence (0-1): as stated. made_at: analyzed_at.
-- hit: whether the direction of a LONG or SHORT was right; NULL without a known outcome, and for HOLDs.
-- recorded_at: when that outcome was recorded; NULL where nobody said when.
-- traded, pnl (quote currency, after fees), cost_usd: as in the view prompt_performance: a trade counts once, for the
--   decision that it names, else of those that name it for the latest one up to its opening, or the first one if all
--   came after. pnl is NULL where the decision was not traded, its trade is not over, or counts for another one.
-- hold_minutes (min): from entry to end, where it is known.
WITH decided AS (
    SELECT
        *,
        list_filter(
            from_json(outcome_history, '[{"outcome_correct": "BOOLEAN", "actual_pnl": "DOUBLE",
                "hold_duration_minutes": "DOUBLE", "outcome_recorded_at": "BIGINT"}]'),
            lambda o: is_past(make_timestamptz(o.outcome_recorded_at))
        )[-1] AS former,
        coalesce(is_past(outcome_recorded_at), getvariable('now') IS NULL) AS is_known
    FROM decisions_as_decided
    WHERE in_window(analyzed_at) AND is_past(analyzed_at)
)
SELECT
    d.decision_id AS id,
    d.bot_id,
    d.venue,
    d.symbol,
    d.timeframe,
    d.recommendation,
    d.confidence,
    d.prompt_version,
    d.model_version,
    d.analyzed_at AS made_at,
    CASE WHEN d.recommendation IN ('LONG', 'SHORT') THEN
        CASE WHEN d.is_known THEN d.outcome_correct ELSE d.former.outcome_correct END END AS hit,
    CASE WHEN d.is_known THEN d.outcome_recorded_at ELSE make_timestamptz(d.former.outcome_recorded_at) END
        AS recorded_at,
    d.traded IS TRUE OR d.trade_id IS NOT NULL OR m.is_linked IS TRUE AS traded,
    CASE WHEN d.traded IS TRUE OR d.trade_id IS NOT NULL OR m.is_linked IS TRUE THEN
        coalesce(m.linked_pnl, CASE WHEN d.trade_id IS NULL OR m.is_own THEN
            coalesce(m.named_pnl, CASE WHEN d.is_known THEN d.actual_pnl ELSE d.former.actual_pnl END) END) END AS pnl,
    d.cost_usd,
    CASE WHEN d.is_known THEN d.hold_duration_minutes ELSE d.former.hold_duration_minutes END AS hold_minutes
FROM decided AS d
LEFT JOIN money_of_decisions('decisions_as_decided', 'trades') AS m ON d.decision_id = m.decision_id
ORDER BY made_at, id
