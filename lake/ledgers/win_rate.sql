-- The share of wins among the last decided phantoms of a strategy ($1; NULL: of those without one), $2 of them, with
-- its Wilson interval at 95 %; all in percent.
SELECT 100 * wins / nullif(n, 0), n, 100 * wilson_low(wins, n), 100 * wilson_high(wins, n)
FROM (
    SELECT count(*) AS n, count(*) FILTER (outcome = 'win') AS wins
    FROM (
        SELECT outcome FROM phantoms
        WHERE outcome IN ('win', 'loss', 'breakeven') AND strategy IS NOT DISTINCT FROM $1
        ORDER BY coalesce(exit_time, signal_time) DESC, phantom_id DESC
        LIMIT $2
    )
)
