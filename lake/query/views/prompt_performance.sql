-- How each prompt did with each model: one row per prompt_version and model_version, the best net result first. The
-- variable now looks back, to ends known by then, also those that were corrected since; days keeps decisions that young.
-- A NULL version is that of decisions without one.
-- prompt_name, is_active: of the prompt, where it is registered.
-- decisions: all that count. holds: those that say HOLD, of which holds_correct and holds_resolved; they are in the costs
--   but in no rate. directional: LONG and SHORT; what is none of the three (an answer that could not be read) is
--   neither.
-- resolved, unresolved: directional decisions whose outcome is known (outcome_correct), and not known yet. The
--   unresolved are in no rate: they are never losses. ambiguous: resolved ones whose outcome from candles is an
--   assumption, the worse of two, since nothing tells which level was reached first.
-- correct, accuracy, accuracy_low, accuracy_high (%): resolved ones whose direction was right, traded or not, their
--   share and its Wilson interval at 95 %.
-- traded: decisions that were traded. closed: those of them whose result in money is known: the sum of their closed
--   trades (by their decision_id, else by decisions.trade_id; live and paper, no backtests), or actual_pnl where the
--   lake has none. A trade counts once: for the decision that it names by its decision_id, else of those that name it
--   for the latest one up to its opening (opened_at, else created_at), or the first one if all came after.
-- wins, losses, breakevens, win_rate, win_rate_low, win_rate_high (%): closed ones above, below and at 0; wins /
--   closed.
-- total_pnl, avg_pnl (quote currency, after fees): result of the closed ones, and per closed one.
-- total_cost_usd (USD): price of all calls, holds and skipped ones too. costed: calls whose price is known.
-- net_pnl: total_pnl - total_cost_usd, a quote currency taken to be worth a dollar; NULL while nothing is closed.
-- avg_confidence (0-1): stated by directional decisions. avg_latency_ms, p95_latency_ms (ms): until the answer.
-- input_tokens, output_tokens: in all.
-- inside_training_period: decisions about a moment that their model may remember (settings, [knowledge_cutoffs]; the
--   variable knowledge_cutoffs); they are in no other figure, not in decisions either.
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
