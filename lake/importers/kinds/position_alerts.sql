-- Alerts that were imported, of a span of time, each with what tells its position from others; and whether the position
-- can be its own: one that began after the alert cannot.
SELECT a.alert_id, a.position_id, a.level, a.price, a.alerted_at, a.extra, p.bot_id, p.symbol, p.side,
       p.extra ->> '$.database' AS "database",
       date_trunc('second', p.opened_at) AS opened_at,
       coalesce(date_trunc('second', p.opened_at) <= a.alerted_at, true) AS may_be
FROM checkpoint_alerts AS a LEFT JOIN positions AS p USING (position_id)
WHERE a.alerted_at BETWEEN $first AND $last AND contains(a.extra, $label)
ORDER BY a.alert_id
