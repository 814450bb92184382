-- What rejected signals would have made, by reason, against what executed ones made over the same days: the first row
-- is the filter that costs you most. First one row per reason, then one per reason and strategy, each kind ordered by
-- rejected_total_pnl_percent (then by rejected_total_r), largest first. A large total that is below 0 was well avoided.
-- The variable now looks back, to ends known by then; days keeps phantoms whose signal is that young; days are cut in
-- the zone of the variable time_zone.
-- scope: 'reason', or 'strategy' for the rows of one reason and strategy.
-- reason: of the phantom, else of its signal; NULL where none is given. strategy: NULL in rows of scope 'reason', and
--   for phantoms without one.
-- first_day, last_day: first and last day on which the filter rejected something whose end is known. Executed phantoms
--   count when their signal fell on these days or between them; in rows of scope 'strategy', those of that strategy.
-- rejected: phantoms rejected for the reason; rejected_unresolved: those of them that are active or whose end is
--   unknown, which are in no figure below.
-- rejected_n, rejected_win_rate, _low, _high (%): wins, losses and breakevens, share of wins, its Wilson interval at 95
--   %.
-- rejected_r_n, rejected_mean_r, rejected_total_r (R): realized R of all known ends, breakevens and timeouts among
--   them.
-- rejected_pnl_n, rejected_mean_pnl_percent, rejected_total_pnl_percent (%): the same of the result without leverage;
--   missed_profit_percent and avoided_loss_percent are its positive and its negative part.
-- executed_...: the same of executed phantoms; NULL where nothing was executed.
-- win_rate_difference (percentage points), mean_r_difference (R), mean_pnl_percent_difference (%): rejected - executed.
WITH phantom AS (
    SELECT
        p.*,
        coalesce(p.reject_reason, s.rejection_reason) AS reason,
        coalesce(p.outcome, '') IN ('win', 'loss', 'breakeven', 'timeout')
            AND is_past(coalesce(p.exit_time, p.signal_time)) AS resolved,
        day_of(p.signal_time) AS day
    FROM phantoms AS p
    LEFT JOIN (SELECT signal_id, rejection_reason FROM signals WHERE rejection_reason IS NOT NULL) AS s
        ON NOT p.was_executed AND p.reject_reason IS NULL AND p.signal_id = s.signal_id
    WHERE in_window(p.signal_time) AND is_past(p.signal_time)
), rejected AS (
    SELECT
        CASE WHEN grouping(strategy) = 1 THEN 'reason' ELSE 'strategy' END AS scope,
        reason,
        strategy,
        min(day) FILTER (resolved) AS first_day,
        max(day) FILTER (resolved) AS last_day,
        count(*) AS rejected,
        count(*) FILTER (NOT resolved) AS rejected_unresolved,
        count(*) FILTER (resolved AND outcome <> 'timeout') AS rejected_n,
        count(*) FILTER (resolved AND outcome = 'win') AS rejected_wins,
        count(realized_rr) FILTER (resolved) AS rejected_r_n,
        sum(realized_rr) FILTER (resolved) AS rejected_total_r,
        count(pnl_percent) FILTER (resolved) AS rejected_pnl_n,
        sum(pnl_percent) FILTER (resolved) AS rejected_total_pnl_percent,
        sum(greatest(pnl_percent, 0)) FILTER (resolved AND pnl_percent IS NOT NULL) AS missed_profit_percent,
        sum(least(pnl_percent, 0)) FILTER (resolved AND pnl_percent IS NOT NULL) AS avoided_loss_percent
    FROM phantom
    WHERE NOT was_executed
    GROUP BY GROUPING SETS ((reason), (reason, strategy))
), executed AS (
    SELECT
        day,
        strategy,
        count(*) FILTER (outcome <> 'timeout') AS n,
        count(*) FILTER (outcome = 'win') AS wins,
        count(realized_rr) AS r_n,
        sum(realized_rr) AS total_r,
        count(pnl_percent) AS pnl_n,
        sum(pnl_percent) AS total_pnl_percent
    FROM phantom
    WHERE was_executed AND resolved
    GROUP BY day, strategy
), compared AS (
    SELECT
        r.*,
        coalesce(sum(e.n), 0)::BIGINT AS executed_n,
        coalesce(sum(e.wins), 0)::BIGINT AS executed_wins,
        coalesce(sum(e.r_n), 0)::BIGINT AS executed_r_n,
        sum(e.total_r) AS executed_total_r,
        coalesce(sum(e.pnl_n), 0)::BIGINT AS executed_pnl_n,
        sum(e.total_pnl_percent) AS executed_total_pnl_percent
    FROM rejected AS r
    LEFT JOIN executed AS e
        ON e.day BETWEEN r.first_day AND r.last_day
        AND (r.scope = 'reason' OR e.strategy IS NOT DISTINCT FROM r.strategy)
    GROUP BY ALL
)
SELECT
    scope,
    reason,
    strategy,
    first_day,
    last_day,
    rejected,
    rejected_unresolved,
    rejected_n,
    100 * rejected_wins / nullif(rejected_n, 0) AS rejected_win_rate,
    100 * wilson_low(rejected_wins, rejected_n) AS rejected_win_rate_low,
    100 * wilson_high(rejected_wins, rejected_n) AS rejected_win_rate_high,
    rejected_r_n,
    rejected_total_r / nullif(rejected_r_n, 0) AS rejected_mean_r,
    rejected_total_r,
    rejected_pnl_n,
    rejected_total_pnl_percent / nullif(rejected_pnl_n, 0) AS rejected_mean_pnl_percent,
    rejected_total_pnl_percent,
    missed_profit_percent,
    avoided_loss_percent,
    executed_n,
    100 * executed_wins / nullif(executed_n, 0) AS executed_win_rate,
    100 * wilson_low(executed_wins, executed_n) AS executed_win_rate_low,
    100 * wilson_high(executed_wins, executed_n) AS executed_win_rate_high,
    executed_r_n,
    executed_total_r / nullif(executed_r_n, 0) AS executed_mean_r,
    executed_total_r,
    executed_pnl_n,
    executed_total_pnl_percent / nullif(executed_pnl_n, 0) AS executed_mean_pnl_percent,
    executed_total_pnl_percent,
    rejected_win_rate - executed_win_rate AS win_rate_difference,
    rejected_mean_r - executed_mean_r AS mean_r_difference,
    rejected_mean_pnl_percent - executed_mean_pnl_percent AS mean_pnl_percent_difference
FROM compared
ORDER BY scope, rejected_total_pnl_percent DESC NULLS LAST, rejected_total_r DESC NULLS LAST, reason, strategy
