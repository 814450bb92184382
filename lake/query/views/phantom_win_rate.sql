-- How the last 200 decided phantoms of each strategy ended: the rolling window that guards a strategy. Decided are
-- wins, losses and breakevens, executed or not; timeouts, unknown and active ones are not and take no place in the
-- window. Its order is that of their ends (of their signals, where the end has no time).
-- strategy: NULL for phantoms without one.
-- n, wins, losses, breakevens: phantoms in the window, at most 200.
-- win_rate, win_rate_low, win_rate_high (%): wins / n and its Wilson interval at 95 %.
-- first_decided, last_decided: ends of the oldest and the newest in the window.
-- The variable now looks back, to ends known by then; days keeps those decided within that many days of now: 200 of
-- them at most.
SELECT
    strategy,
    count(*) AS n,
    count(*) FILTER (outcome = 'win') AS wins,
    count(*) FILTER (outcome = 'loss') AS losses,
    n - wins - losses AS breakevens,
    100 * wins / n AS win_rate,
    100 * wilson_low(wins, n) AS win_rate_low,
    100 * wilson_high(wins, n) AS win_rate_high,
    min(decided_at) AS first_decided,
    max(decided_at) AS last_decided
FROM (
    SELECT strategy, outcome, coalesce(exit_time, signal_time) AS decided_at
    FROM phantoms
    WHERE outcome IN ('win', 'loss', 'breakeven') AND is_past(coalesce(exit_time, signal_time))
        AND in_window(coalesce(exit_time, signal_time))
    QUALIFY row_number() OVER (PARTITION BY strategy ORDER BY decided_at DESC, phantom_id DESC) <= 200
)
GROUP BY strategy
ORDER BY strategy NULLS LAST
