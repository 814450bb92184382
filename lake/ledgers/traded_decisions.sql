-- The trades that decide the outcome of decisions whose trades have all ended, one row each, behind for_decision: of
-- LONGs and SHORTs without an outcome, and of those whose outcome was taken from trades that now say something else, or
-- from candles before the trades ended. An outcome that was given is left alone. The trades of those, too, whose outcome
-- was taken from trades of which none is closed any more, or of which one goes on after all; not of those whose trades
-- were removed since, nor of those that were traded again only after they had their outcome.
-- A decision's trades are those that name it, else the one that it names. Backtests are none.
-- Parameters: $bot, whose decisions are looked at, every bot's where it is empty; $ids, the decisions that are looked at,
-- all where it is NULL.
WITH asked AS (
    SELECT decision_id, bot_id, trade_id, recommendation, outcome_correct, outcome_source, outcome_recorded_at, actual_pnl,
        actual_pnl_percent, max_favorable, max_adverse, hold_duration_minutes
    FROM decisions
    WHERE $ids IS NULL
    UNION ALL
    SELECT decision_id, bot_id, trade_id, recommendation, outcome_correct, outcome_source, outcome_recorded_at, actual_pnl,
        actual_pnl_percent, max_favorable, max_adverse, hold_duration_minutes
    FROM decisions
    SEMI JOIN (SELECT unnest($ids::VARCHAR[]) AS decision_id) USING (decision_id)
), real AS (
    SELECT * FROM trades WHERE mode IS DISTINCT FROM 'backtest'
), linked AS (
    SELECT decision_id AS for_decision, * FROM real SEMI JOIN asked USING (decision_id)
), named AS (
    SELECT * FROM linked
    UNION ALL
    SELECT d.decision_id, r.*
    FROM asked AS d
    INNER JOIN real AS r USING (trade_id)
    ANTI JOIN linked ON linked.for_decision = d.decision_id
    WHERE d.trade_id IS NOT NULL
), ended AS (
    SELECT
        r.for_decision,
        count(*) FILTER (r.status = 'closed') AS trades_closed,
        CASE WHEN count(r.pnl) FILTER (r.status = 'closed') = trades_closed THEN sum(r.pnl) FILTER (r.status = 'closed') END AS pnl,
        CASE
            WHEN trades_closed = 1 THEN max(r.pnl_percent) FILTER (r.status = 'closed')
            WHEN count(r.pnl * r.entry_price * r.quantity) FILTER (r.status = 'closed') = trades_closed
            THEN 100 * sum(r.pnl) FILTER (r.status = 'closed')
                / nullif(sum(r.entry_price * r.quantity / coalesce(r.leverage, 1)) FILTER (r.status = 'closed'), 0)
        END AS pnl_percent,
        arg_min(r.side, r.trade_id) FILTER (r.status = 'closed') AS side,
        max(r.max_favorable) FILTER (r.status = 'closed') AS highest_best,
        min(r.max_favorable) FILTER (r.status = 'closed') AS lowest_best,
        max(r.max_adverse) FILTER (r.status = 'closed') AS highest_worst,
        min(r.max_adverse) FILTER (r.status = 'closed') AS lowest_worst,
        min(coalesce(r.opened_at, r.created_at)) FILTER (r.status = 'closed') AS opened_at,
        max(r.closed_at) FILTER (r.status = 'closed') AS closed_at
    FROM named AS r
    GROUP BY r.for_decision
    HAVING count(*) FILTER (r.status = 'closed') > 0 AND count(*) FILTER (r.status IN ('pending', 'open')) = 0
), wanted AS (
    SELECT e.for_decision
    FROM ended AS e
    INNER JOIN asked AS d ON d.decision_id = e.for_decision
    WHERE ($bot = '' OR d.bot_id = $bot) AND (
        (d.outcome_recorded_at IS NULL AND d.recommendation IN ('LONG', 'SHORT'))
        OR (d.outcome_recorded_at IS NOT NULL AND d.outcome_source = 'candles')
        OR (d.outcome_recorded_at IS NOT NULL AND d.outcome_source = 'trade' AND (
            e.pnl IS DISTINCT FROM d.actual_pnl
            OR e.pnl_percent IS DISTINCT FROM d.actual_pnl_percent
            OR if(e.side = 'SHORT', e.lowest_best, e.highest_best) IS DISTINCT FROM d.max_favorable
            OR if(e.side = 'SHORT', e.highest_worst, e.lowest_worst) IS DISTINCT FROM d.max_adverse
            OR greatest(0, (epoch_us(e.closed_at) - epoch_us(e.opened_at)) / 6e7)
                IS DISTINCT FROM d.hold_duration_minutes
            OR if(e.side = d.recommendation, e.pnl > 0, e.pnl < 0)
                IS DISTINCT FROM if(d.recommendation IN ('LONG', 'SHORT'), d.outcome_correct, NULL)
        ))
    )
    UNION ALL
    SELECT r.for_decision
    FROM named AS r
    INNER JOIN asked AS d ON d.decision_id = r.for_decision
    WHERE ($bot = '' OR d.bot_id = $bot) AND d.outcome_recorded_at IS NOT NULL AND d.outcome_source = 'trade'
    GROUP BY r.for_decision
    HAVING (count(*) FILTER (r.status = 'closed') = 0 AND bool_or(
        r.trade_id = d.trade_id
        OR (d.trade_id IS NULL AND r.created_at <= d.outcome_recorded_at -- it had ended by then, and goes on or ended anew
            AND (r.status IN ('pending', 'open') OR r.closed_at > d.outcome_recorded_at))
    )) OR (count(*) FILTER (r.status = 'closed') > 0
        AND bool_or(r.status IN ('pending', 'open') AND r.created_at <= d.outcome_recorded_at)) -- as above
)
SELECT r.*
FROM named AS r
SEMI JOIN wanted USING (for_decision)
ORDER BY r.for_decision, r.trade_id
