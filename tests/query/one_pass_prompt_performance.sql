-- The figures of the view prompt_performance in one pass over all decisions: nothing is kept, and every trade is looked up.
WITH decision AS (
    SELECT
        d.prompt_version,
        d.model_version,
        NOT is_remembered(d.model_version, d.analyzed_at) AS counts,
        has_come(coalesce(d.outcome_recorded_at, d.analyzed_at)) AS is_known,
        former_outcome(d.outcome_history) AS former,
        counts AND d.recommendation = 'HOLD' AS is_hold,
        counts AND d.recommendation IN ('LONG', 'SHORT') AS is_directional,
        CASE WHEN is_known THEN d.outcome_correct ELSE struct_extract(former, 'outcome_correct') END AS was_correct,
        CASE WHEN is_known THEN d.ambiguous ELSE struct_extract(former, 'ambiguous') END AS is_ambiguous,
        CASE WHEN is_known THEN d.actual_pnl ELSE struct_extract(former, 'actual_pnl') END AS told_pnl,
        CASE WHEN is_hold THEN was_correct END AS hold_correct,
        CASE WHEN is_directional THEN was_correct END AS direction_correct,
        CASE WHEN is_directional THEN d.confidence END AS confidence,
        counts AND (d.traded IS TRUE OR d.trade_id IS NOT NULL OR m.is_linked IS TRUE) AS was_traded,
        CASE WHEN was_traded THEN
            coalesce(m.linked_pnl, CASE WHEN d.trade_id IS NULL OR m.is_own THEN coalesce(m.named_pnl, told_pnl) END)
        END AS pnl,
        CASE WHEN counts THEN d.cost_usd END AS cost_usd,
        CASE WHEN counts THEN d.latency_ms END AS latency_ms,
        CASE WHEN counts THEN d.input_tokens END AS input_tokens,
        CASE WHEN counts THEN d.output_tokens END AS output_tokens
    FROM decisions_as_decided AS d
    LEFT JOIN money_of_decisions('decisions_as_decided', 'trades') AS m ON d.decision_id = m.decision_id
    WHERE in_window(d.analyzed_at) AND has_come(d.analyzed_at)
), counted AS (
    SELECT
        prompt_version,
        model_version,
        count_of(counts) AS decisions,
        count_of(is_hold) AS holds,
        count(hold_correct) AS holds_resolved,
        count_of(hold_correct) AS holds_correct,
        count_of(is_directional) AS directional,
        count(direction_correct) AS resolved,
        directional - resolved AS unresolved,
        count_of(direction_correct IS NOT NULL AND is_ambiguous) AS ambiguous,
        count_of(direction_correct) AS correct,
        count_of(was_traded) AS traded,
        count(pnl) AS closed,
        count_of(pnl > 0) AS wins,
        count_of(pnl < 0) AS losses,
        closed - wins - losses AS breakevens,
        sum(pnl) AS total_pnl,
        avg(pnl) AS avg_pnl,
        coalesce(sum(cost_usd), 0) AS total_cost_usd,
        count(cost_usd) AS costed,
        avg(confidence) AS avg_confidence,
        avg(latency_ms) AS avg_latency_ms,
        quantile_cont(latency_ms, 0.95) AS p95_latency_ms,
        sum(input_tokens)::BIGINT AS input_tokens,
        sum(output_tokens)::BIGINT AS output_tokens,
        count_of(NOT counts) AS inside_training_period
    FROM decision
    GROUP BY prompt_version, model_version
)
SELECT
    c.*,
    100 * correct / nullif(resolved, 0) AS accuracy,
    100 * wilson_low(correct, resolved) AS accuracy_low,
    100 * wilson_high(correct, resolved) AS accuracy_high,
    100 * wins / nullif(closed, 0) AS win_rate,
    100 * wilson_low(wins, closed) AS win_rate_low,
    100 * wilson_high(wins, closed) AS win_rate_high,
    total_pnl - total_cost_usd AS net_pnl,
    p.name AS prompt_name,
    p.is_active
FROM counted AS c
LEFT JOIN prompt_versions AS p ON c.prompt_version = p.version
ORDER BY net_pnl DESC NULLS LAST, prompt_version, model_version
