-- Runs that files of a signal bot's backtests told of, and those of which only totals told.
-- Parameters: symbols: of the runs; bot: whose they are.
-- Columns: run_id, symbol, timeframe; created_at (us); is_dated: whether the file itself told the time; is_total:
--   whether nothing but totals told of it; own: the id that it has by itself, which is another where it took that of
--   totals; trades, win_rate, total_pnl_percent.
SELECT
    run_id,
    symbol,
    timeframe,
    epoch_us(created_at) AS created_at,
    end_time IS NOT NULL OR len(list_filter(
        json_extract_string(extra, '$.imported.*.timestamp')
        || json_extract_string(extra, '$.imported.*.run_at')
        || json_extract_string(extra, '$.imported.*.created_at'),
        lambda told: told IS NOT NULL
    )) > 0 AS is_dated,
    json_keys(extra, '$.imported') = ['backtests:totals'] AS is_total,
    coalesce(extra ->> '$.known_as_backtests', run_id) AS own,
    coalesce(trades, wins + losses) AS trades,
    win_rate,
    total_pnl_percent
FROM backtests
WHERE
    list_contains($symbols, symbol)
    AND coalesce(extra ->> '$.bot_id', '') = $bot
    AND len(list_filter(json_keys(extra, '$.imported'), lambda label: starts_with(label, 'backtests:'))) > 0
