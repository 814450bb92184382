-- Positions of a bot that were imported and had begun by a time, each with the number or signal under which its store
-- has it, which database that is, its span of prices and, where it has ended, when.
SELECT position_id, extra, extra ->> '$.database' AS "database", date_trunc('second', opened_at) AS opened_at,
       CASE WHEN status = 'closed' THEN synced_at END AS ended_at,
       least(entry_price, stop_loss, tp1, tp2, tp3) AS low, greatest(entry_price, stop_loss, tp1, tp2, tp3) AS high
FROM positions
WHERE bot_id = $bot AND date_trunc('second', opened_at) <= $last AND contains(extra, $label)
ORDER BY position_id
