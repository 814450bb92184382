-- Holes in the candles: one row per run of missing bars of a symbol and timeframe.
-- gap_start and gap_end are the open times of the first and last missing bar, missing their number.
-- With the variable days, only candles of so many days before now are looked at.
-- A market that was not traded yet, or no longer, is not a gap: only holes between two candles count.
SELECT
    venue,
    symbol,
    timeframe,
    previous + length AS gap_start,
    open_time - length AS gap_end,
    (epoch_us(open_time) - epoch_us(previous)) // epoch_us(length) - 1 AS missing
FROM (
    SELECT
        venue,
        symbol,
        timeframe,
        open_time,
        lag(open_time) OVER (PARTITION BY venue, symbol, timeframe ORDER BY open_time) AS previous,
        CASE right(timeframe, 1)
            WHEN 'm' THEN to_minutes(left(timeframe, -1)::INTEGER)
            WHEN 'h' THEN to_hours(left(timeframe, -1)::INTEGER)
            WHEN 'd' THEN to_days(left(timeframe, -1)::INTEGER)
            WHEN 'w' THEN to_days(7 * left(timeframe, -1)::INTEGER)
        END AS length
    FROM candles
    WHERE in_window(open_time)
)
WHERE open_time > previous + length
ORDER BY venue, symbol, timeframe, gap_start
