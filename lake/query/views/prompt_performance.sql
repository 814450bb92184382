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
WITH said AS (  -- figures that no trade changes
    SELECT
        prompt_version,
        model_version,
        sum(n)::BIGINT AS decisions,
        coalesce(sum(n) FILTER (recommendation = 'HOLD'), 0)::BIGINT AS holds,
        coalesce(sum(sums.resolved) FILTER (recommendation = 'HOLD'), 0)::BIGINT AS holds_resolved,
        coalesce(sum(sums.correct) FILTER (recommendation = 'HOLD'), 0)::BIGINT AS holds_correct,
        coalesce(sum(n) FILTER (is_directional), 0)::BIGINT AS directional,
        coalesce(sum(sums.resolved) FILTER (is_directional), 0)::BIGINT AS resolved,
        coalesce(sum(sums.ambiguous) FILTER (is_directional), 0)::BIGINT AS ambiguous,
        coalesce(sum(sums.correct) FILTER (is_directional), 0)::BIGINT AS correct,
        coalesce(sum(cost_usd), 0) AS total_cost_usd,
        sum(sums.costed)::BIGINT AS costed,
        sum(confidence) FILTER (is_directional) / nullif(sum(confident) FILTER (is_directional), 0) AS avg_confidence,
        sum(latency_ms) / nullif(sum(timed), 0) AS avg_latency_ms,
        sum(sums.input_tokens)::BIGINT AS input_tokens,
        sum(sums.output_tokens)::BIGINT AS output_tokens,
        sum(inside)::BIGINT AS inside_training_period
    FROM (
        SELECT *, coalesce(recommendation IN ('LONG', 'SHORT'), false) AS is_directional
        FROM prompt_sums('decisions_as_decided')
    ) AS sums
    GROUP BY prompt_version, model_version
), decision AS (
    SELECT
        prompt_version,
        model_version,
        counts AND (d.traded IS TRUE OR trade_id IS NOT NULL OR is_linked IS TRUE) AS was_traded,
        CASE WHEN was_traded THEN
            coalesce(linked_pnl, CASE WHEN trade_id IS NULL OR is_own THEN coalesce(named_pnl, told_pnl) END)
        END AS pnl,
        CASE WHEN counts THEN d.latency_ms END AS latency_ms
    FROM (
        SELECT
            *, NOT is_remembered(model_version, analyzed_at) AS counts,
            CASE WHEN has_come(coalesce(outcome_recorded_at, analyzed_at)) THEN actual_pnl
                ELSE struct_extract(former_outcome(outcome_history), 'actual_pnl') END AS told_pnl
        FROM decisions_and_money('decisions_as_decided', 'trades')
        WHERE in_window(analyzed_at) AND has_come(analyzed_at)
    ) AS d
), done AS (  -- money, and what is no sum
    SELECT
        prompt_version,
        model_version,
        count_of(was_traded) AS traded,
        count(pnl) AS closed,
        count_of(pnl > 0) AS wins,
        count_of(pnl < 0) AS losses,
        closed - wins - losses AS breakevens,
        sum(pnl) AS total_pnl,
        avg(pnl) AS avg_pnl,
        quantile_cont(latency_ms, 0.95) AS p95_latency_ms
    FROM decision
    GROUP BY prompt_version, model_version
)
SELECT
    said.prompt_version, said.model_version, decisions, holds, holds_resolved, holds_correct, directional, resolved,
    directional - resolved AS unresolved, ambiguous, correct, traded, closed, wins, losses, breakevens,
    total_pnl, avg_pnl, total_cost_usd, costed, avg_confidence, avg_latency_ms, p95_latency_ms,
    input_tokens, output_tokens, inside_training_period,
    100 * correct / nullif(resolved, 0) AS accuracy,
    100 * wilson_low(correct, resolved) AS accuracy_low,
    100 * wilson_high(correct, resolved) AS accuracy_high,
    100 * wins / nullif(closed, 0) AS win_rate,
    100 * wilson_low(wins, closed) AS win_rate_low,
    100 * wilson_high(wins, closed) AS win_rate_high,
    total_pnl - total_cost_usd AS net_pnl,
    p.name AS prompt_name,
    p.is_active
FROM said
JOIN done ON said.prompt_version IS NOT DISTINCT FROM done.prompt_version
    AND said.model_version IS NOT DISTINCT FROM done.model_version
LEFT JOIN prompt_versions AS p ON said.prompt_version = p.version
ORDER BY net_pnl DESC NULLS LAST, prompt_version, model_version
