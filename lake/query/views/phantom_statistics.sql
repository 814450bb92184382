-- What became of the phantoms, executed or not: one row for all of them and one per strategy, none without phantoms.
-- The variable now looks back, to ends known by then; days keeps those whose signal is that young.
-- Scores and levels are as they were at the signal, whoever wrote over them later.
-- scope: 'all', or 'strategy' for the rows of one strategy each; a NULL strategy there is that of phantoms without one.
-- total = active + completed; completed = wins + losses + breakevens + timeouts + unknown. active has no end yet;
-- unknown has ended, but how is not known (a gap in the candles), and is in no figure but the counts.
-- executed, rejected: traded and not traded; phantoms that do not say are neither.
-- ambiguous: ended ones whose stop and target lay in one candle that nothing finer resolves.
-- n, win_rate (%): decided phantoms, which are wins, losses and breakevens, and the share of wins among them, as with
--   trades. Timeouts are not decided. The _low and _high (%) of every rate are its Wilson interval at 95 %; without
--   trials all three are NULL.
-- r_n, mean_r, median_r, total_r (R): realized R of every known end, breakevens and timeouts among them.
-- pnl_n, mean_pnl_percent, total_pnl_percent (%): the same of the result without leverage.
-- mean_mfe_percent, mean_mae_percent (% of the entry price), mean_mfe_r, mean_mae_r (R): how far the best price was
--   ahead and the worst behind, in the direction of the position; what is behind is negative.
-- tp1_hit_rate, tp2_hit_rate, tp3_hit_rate (%): share that reached the target, among the known ends that had one and
--   say so: tp1_n, tp2_n, tp3_n.
-- be_moved_rate, one_r_hit_rate, two_r_hit_rate (%): share whose stop went to the entry, that were once ahead by 1 R,
--   by 2 R, among the known ends that say so: be_moved_n, one_r_n, two_r_n.
-- mean_sec_to_tp1, mean_sec_to_exit (s): from the signal to tp1, where it was hit, and to the end.
-- ml_n, ml_accuracy (%): wins and losses with a score, and the share that the model had right when a score of 70 or
--   more approves: ml_approved_wins and ml_rejected_losses are right, ml_approved_losses and ml_rejected_wins wrong.
WITH followed AS (
    SELECT
        *,
        is_past(coalesce(exit_time, signal_time)) AS ended,
        ended AND outcome IN ('win', 'loss', 'breakeven', 'timeout') AS resolved,
        CASE side WHEN 'LONG' THEN 1 WHEN 'SHORT' THEN -1 END AS direction,
        direction * (max_favorable - entry_price) AS ahead,
        direction * (max_adverse - entry_price) AS behind,
        nullif(abs(entry_price - stop_loss), 0) AS risk
    FROM phantoms_as_decided
    WHERE in_window(signal_time) AND is_past(signal_time)
), phantom AS (
    SELECT
        strategy,
        CASE WHEN ended THEN outcome END AS outcome,
        NOT ended OR (outcome IS NULL AND status IS DISTINCT FROM 'completed') AS is_active,
        was_executed,
        resolved AND ambiguous AS is_ambiguous,
        CASE WHEN resolved THEN realized_rr END AS r,
        CASE WHEN resolved THEN pnl_percent END AS pnl,
        CASE WHEN resolved THEN 100 * ahead / nullif(entry_price, 0) END AS mfe_percent,
        CASE WHEN resolved THEN 100 * behind / nullif(entry_price, 0) END AS mae_percent,
        CASE WHEN resolved THEN ahead / risk END AS mfe_r,
        CASE WHEN resolved THEN behind / risk END AS mae_r,
        CASE WHEN resolved AND tp1 IS NOT NULL THEN tp1_hit END AS tp1_hit,
        CASE WHEN resolved AND tp2 IS NOT NULL THEN tp2_hit END AS tp2_hit,
        CASE WHEN resolved AND tp3 IS NOT NULL THEN tp3_hit END AS tp3_hit,
        CASE WHEN resolved THEN be_moved END AS be_moved,
        CASE WHEN resolved THEN one_r_hit END AS one_r_hit,
        CASE WHEN resolved THEN two_r_hit END AS two_r_hit,
        CASE WHEN resolved AND tp1_hit THEN time_to_tp1_sec END AS sec_to_tp1,
        CASE WHEN resolved THEN time_to_exit_sec END AS sec_to_exit,
        ml_score >= 70 AS approved
    FROM followed
), counted AS (
    SELECT
        CASE WHEN grouping(strategy) = 1 THEN 'all' ELSE 'strategy' END AS scope,
        strategy,
        count(*) AS total,
        count_of(is_active) AS active,
        total - active AS completed,
        count_of(was_executed) AS executed,
        count_of(NOT was_executed) AS rejected,
        count_of(outcome = 'win') AS wins,
        count_of(outcome = 'loss') AS losses,
        count_of(outcome = 'breakeven') AS breakevens,
        count_of(outcome = 'timeout') AS timeouts,
        completed - wins - losses - breakevens - timeouts AS unknown,
        count_of(is_ambiguous) AS ambiguous,
        wins + losses + breakevens AS n,
        count(r) AS r_n,
        avg(r) AS mean_r,
        median(r) AS median_r,
        sum(r) AS total_r,
        count(pnl) AS pnl_n,
        avg(pnl) AS mean_pnl_percent,
        sum(pnl) AS total_pnl_percent,
        avg(mfe_percent) AS mean_mfe_percent,
        avg(mae_percent) AS mean_mae_percent,
        avg(mfe_r) AS mean_mfe_r,
        avg(mae_r) AS mean_mae_r,
        count(tp1_hit) AS tp1_n,
        count_of(tp1_hit) AS tp1_hits,
        count(tp2_hit) AS tp2_n,
        count_of(tp2_hit) AS tp2_hits,
        count(tp3_hit) AS tp3_n,
        count_of(tp3_hit) AS tp3_hits,
        count(be_moved) AS be_moved_n,
        count_of(be_moved) AS be_moves,
        count(one_r_hit) AS one_r_n,
        count_of(one_r_hit) AS one_r_hits,
        count(two_r_hit) AS two_r_n,
        count_of(two_r_hit) AS two_r_hits,
        avg(sec_to_tp1) AS mean_sec_to_tp1,
        avg(sec_to_exit) AS mean_sec_to_exit,
        count_of(approved AND outcome = 'win') AS ml_approved_wins,
        count_of(approved AND outcome = 'loss') AS ml_approved_losses,
        count_of(NOT approved AND outcome = 'win') AS ml_rejected_wins,
        count_of(NOT approved AND outcome = 'loss') AS ml_rejected_losses,
        ml_approved_wins + ml_approved_losses + ml_rejected_wins + ml_rejected_losses AS ml_n
    FROM phantom
    GROUP BY GROUPING SETS ((), (strategy))
    HAVING count(*) > 0
)
SELECT
    * EXCLUDE (tp1_hits, tp2_hits, tp3_hits, be_moves, one_r_hits, two_r_hits),
    100 * wins / nullif(n, 0) AS win_rate,
    100 * wilson_low(wins, n) AS win_rate_low,
    100 * wilson_high(wins, n) AS win_rate_high,
    100 * tp1_hits / nullif(tp1_n, 0) AS tp1_hit_rate,
    100 * wilson_low(tp1_hits, tp1_n) AS tp1_hit_rate_low,
    100 * wilson_high(tp1_hits, tp1_n) AS tp1_hit_rate_high,
    100 * tp2_hits / nullif(tp2_n, 0) AS tp2_hit_rate,
    100 * wilson_low(tp2_hits, tp2_n) AS tp2_hit_rate_low,
    100 * wilson_high(tp2_hits, tp2_n) AS tp2_hit_rate_high,
    100 * tp3_hits / nullif(tp3_n, 0) AS tp3_hit_rate,
    100 * wilson_low(tp3_hits, tp3_n) AS tp3_hit_rate_low,
    100 * wilson_high(tp3_hits, tp3_n) AS tp3_hit_rate_high,
    100 * be_moves / nullif(be_moved_n, 0) AS be_moved_rate,
    100 * wilson_low(be_moves, be_moved_n) AS be_moved_rate_low,
    100 * wilson_high(be_moves, be_moved_n) AS be_moved_rate_high,
    100 * one_r_hits / nullif(one_r_n, 0) AS one_r_hit_rate,
    100 * wilson_low(one_r_hits, one_r_n) AS one_r_hit_rate_low,
    100 * wilson_high(one_r_hits, one_r_n) AS one_r_hit_rate_high,
    100 * two_r_hits / nullif(two_r_n, 0) AS two_r_hit_rate,
    100 * wilson_low(two_r_hits, two_r_n) AS two_r_hit_rate_low,
    100 * wilson_high(two_r_hits, two_r_n) AS two_r_hit_rate_high,
    100 * (ml_approved_wins + ml_rejected_losses) / nullif(ml_n, 0) AS ml_accuracy,
    100 * wilson_low(ml_approved_wins + ml_rejected_losses, ml_n) AS ml_accuracy_low,
    100 * wilson_high(ml_approved_wins + ml_rejected_losses, ml_n) AS ml_accuracy_high
FROM counted
ORDER BY scope, strategy NULLS LAST
