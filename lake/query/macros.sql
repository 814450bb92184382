-- What the views share: their parameters, and formulas that are written down once. See docs/metrics.md.

-- Periods in a year, by which figures of one period are annualised: crypto trades every day. Set with the variable
-- periods_per_year.
CREATE OR REPLACE MACRO periods_per_year() AS coalesce(getvariable('periods_per_year')::DOUBLE, 365.0);

-- Zone in which a day begins and ends. Set with the variable time_zone, to a name such as Europe/Berlin.
CREATE OR REPLACE MACRO time_zone() AS coalesce(getvariable('time_zone')::VARCHAR, 'UTC');

-- The moment that counts as now, for windows such as the last 7 days. Set with the variable now.
CREATE OR REPLACE MACRO as_of_now() AS coalesce(getvariable('now')::TIMESTAMPTZ, now());

-- Whether a moment lies in the window that the variable days sets, up to as_of_now(); always, where it is not set.
CREATE OR REPLACE MACRO in_window(moment) AS getvariable('days') IS NULL
    OR (moment > as_of_now() - to_days(getvariable('days')::INTEGER) AND moment <= as_of_now());

-- The day of a moment, in the zone above. UTC needs no calendar, which takes a while for many moments.
CREATE OR REPLACE MACRO day_of(moment) AS CASE time_zone()
    WHEN 'UTC' THEN make_timestamp(epoch_us(moment))::DATE ELSE (moment AT TIME ZONE time_zone())::DATE END;

-- Wilson score interval of a rate at 95 %: k of n (Wilson 1927; z = 1.959964). NULL without trials.
CREATE OR REPLACE MACRO wilson_low(k, n) AS CASE WHEN n > 0 THEN greatest(0.0,
    (k + 1.9207294103470618 - 1.959963984540054 * sqrt(k * (1.0 - k / n) + 0.9603647051735309))
    / (n + 3.8414588206941236)) END;

CREATE OR REPLACE MACRO wilson_high(k, n) AS CASE WHEN n > 0 THEN least(1.0,
    (k + 1.9207294103470618 + 1.959963984540054 * sqrt(k * (1.0 - k / n) + 0.9603647051735309))
    / (n + 3.8414588206941236)) END;

-- Mean over spread; NULL where there is no spread but rounding.
CREATE OR REPLACE MACRO ratio(mean, spread) AS CASE WHEN spread > 1e-6 * abs(mean) THEN mean / spread END;

-- How many of some rows a condition holds for; 0 of none, and where it is known of none, of which DuckDB's count_if says
-- NULL.
CREATE OR REPLACE MACRO count_of(condition) AS coalesce(count_if(condition), 0)::BIGINT;

-- Sample standard deviation of n values, from their sum and the sum of their squares; NULL for fewer than two.
CREATE OR REPLACE MACRO deviation(n, total, squares) AS
    CASE WHEN n > 1 THEN sqrt(greatest(0, squares - total * total / n) / (n - 1)) END;

-- Whether a moment is in the past. Set the variable now to look back; without it nothing counts as future, however far
-- a bot's clock is ahead.
CREATE OR REPLACE MACRO is_past(moment) AS moment <= coalesce(getvariable('now')::TIMESTAMPTZ, 'infinity');

-- The same of a moment that every row has: without the variable DuckDB leaves the question out of the plan, and does not
-- read the moment.
CREATE OR REPLACE MACRO has_come(moment) AS CASE WHEN getvariable('now') IS NULL THEN true ELSE is_past(moment) END;

-- What is told of knowledge cutoffs, as JSON; a published catalogue tells those of the settings where the variable is
-- not set.
CREATE OR REPLACE MACRO told_cutoffs() AS getvariable('knowledge_cutoffs')::VARCHAR;

-- The first moment after the training period of a model, by the variable knowledge_cutoffs: of its whole name, else of
-- the longest name that ends in * and that it begins with; NULL where it is not known.
CREATE OR REPLACE MACRO knowledge_cutoffs() AS from_json(
    coalesce(told_cutoffs(), '[]'), '[{"model": "VARCHAR", "until": "TIMESTAMPTZ"}]');
CREATE OR REPLACE MACRO knowledge_until(model_version) AS coalesce(
    list_filter(knowledge_cutoffs(), lambda c: c.model = model_version)[1].until,
    list_filter(knowledge_cutoffs(), lambda c: c.model[-1] = '*' AND starts_with(model_version, c.model[:-2]))[1].until
);

-- Whether a model was asked about a moment inside its training period, where that is known. Without the variable DuckDB
-- leaves the question out of the plan.
CREATE OR REPLACE MACRO is_remembered(model_version, moment) AS CASE WHEN told_cutoffs() IS NULL
    THEN false ELSE coalesce(moment < knowledge_until(model_version), false) END;

-- Whether a trade counts: it is closed and its result is known. What has no result is never taken for a loss.
CREATE OR REPLACE MACRO has_result(status, pnl, closed_at) AS
    coalesce(status = 'closed' AND isfinite(pnl) AND is_past(closed_at), false);

-- Of the outcomes of a decision that were corrected since, the newest one that was recorded by the variable now; NULL
-- without that variable, where the outcome it has now is the one that counts.
CREATE OR REPLACE MACRO former_outcome(outcome_history) AS CASE WHEN getvariable('now') IS NOT NULL THEN
    list_filter(
        from_json(outcome_history, '[{"outcome_correct": "BOOLEAN", "ambiguous": "BOOLEAN", "actual_pnl": "DOUBLE",
            "actual_pnl_percent": "DOUBLE", "hold_duration_minutes": "DOUBLE", "outcome_source": "VARCHAR",
            "outcome_recorded_at": "BIGINT"}]'),
        lambda o: is_past(make_timestamptz(o.outcome_recorded_at))
    )[-1] END;

-- When a decision was over whose outcome is known: where it is from candles, when its level was reached or it was given
-- up, hold_minutes after it was made; where it is from its trades, when the last of them closed; else, and at the
-- latest, when the outcome was recorded.
CREATE OR REPLACE MACRO decision_over(source, analyzed_at, hold_minutes, closed_at, recorded_at) AS least(CASE source
    WHEN 'candles' THEN analyzed_at + to_microseconds(round(hold_minutes * 60e6)::BIGINT)
    WHEN 'trade' THEN closed_at END, recorded_at);

-- Decisions with trades_closed_at: when the last of their trades closed, those that name the decision, else the one that
-- it names; backtests are none.
CREATE OR REPLACE MACRO decisions_and_closings(decisions_table, trades_table) AS TABLE
WITH closing AS (
    SELECT trade_id, decision_id, closed_at
    FROM query_table(trades_table)
    WHERE status = 'closed' AND mode IS DISTINCT FROM 'backtest' AND closed_at IS NOT NULL
)
SELECT d.*, coalesce(linked.closed_at, named.closed_at) AS trades_closed_at
FROM query_table(decisions_table) AS d
LEFT JOIN (
    SELECT decision_id, max(closed_at) AS closed_at FROM closing WHERE decision_id IS NOT NULL GROUP BY decision_id
) AS linked ON d.decision_id = linked.decision_id
LEFT JOIN closing AS named ON d.trade_id = named.trade_id;

-- The money of decisions, of closed trades that are no backtests: linked_pnl of those that name the decision (is_linked:
-- one was filled, over or not), named_pnl of the one that it names. A trade counts once: where it names no decision, several may name it, and it is that one's
-- (is_own) which was the latest up to its opening (opened_at, else created_at), or the first one if all came after.
CREATE OR REPLACE MACRO money_of_decisions(decisions_table, trades_table) AS TABLE
WITH trade AS (
    SELECT trade_id, decision_id, coalesce(opened_at, created_at) AS opening,
        status = 'closed' AND is_past(coalesce(closed_at, created_at)) AS is_closed, CASE WHEN is_closed THEN pnl END AS pnl,
        is_closed OR (status IN ('open', 'closed') AND has_come(least(opening, closed_at))) AS is_filled
    FROM query_table(trades_table)
    WHERE mode IS DISTINCT FROM 'backtest' AND is_past(least(created_at, opened_at, closed_at))
), linked AS (
    SELECT decision_id, true AS is_linked, sum(pnl) AS linked_pnl
    FROM trade
    WHERE decision_id IS NOT NULL AND is_filled
    GROUP BY decision_id
), named AS (
    SELECT d.decision_id, t.pnl AS named_pnl,
        t.decision_id IS NULL AND row_number() OVER (PARTITION BY d.trade_id ORDER BY
            coalesce(d.analyzed_at > t.opening, false), abs(epoch_us(d.analyzed_at) - epoch_us(t.opening)),
            d.analyzed_at DESC, d.decision_id DESC) = 1 AS is_own
    FROM query_table(decisions_table) AS d
    LEFT JOIN trade AS t ON d.trade_id = t.trade_id
    WHERE d.trade_id IS NOT NULL AND has_come(d.analyzed_at)
)
SELECT * FROM linked FULL JOIN named USING (decision_id);

-- Decisions with the money of their trades, as told above.
CREATE OR REPLACE MACRO decisions_and_money(decisions_table, trades_table) AS TABLE
SELECT d.*, m.is_linked, m.linked_pnl, m.named_pnl, m.is_own
FROM query_table(decisions_table) AS d
LEFT JOIN money_of_decisions(decisions_table, trades_table) AS m ON d.decision_id = m.decision_id;

-- The same where no trade names a decision and no decision a trade. A reader that knows so by statistics
-- (lake/query/decision_sums.py) puts it in that one's place: nothing is looked up, and no id is read.
CREATE OR REPLACE MACRO decisions_without_money(decisions_table) AS TABLE
SELECT *, NULL::BOOLEAN AS is_linked, NULL::DOUBLE AS linked_pnl, NULL::DOUBLE AS named_pnl, NULL::BOOLEAN AS is_own
FROM query_table(decisions_table);

-- Decisions as far as they count: what they cost, said and came to, by the variable now where that is set. counts: not
-- those about a moment that their model may remember, which have no other figure. part: what part_of tells, a column or ''.
CREATE OR REPLACE MACRO told_decisions(decisions_table, part_of) AS TABLE
SELECT
    part, prompt_version, model_version, symbol, recommendation, confidence AS stated, counts,
    CASE WHEN counts THEN
        CASE WHEN is_known THEN outcome_correct ELSE struct_extract(former, 'outcome_correct') END
    END AS was_correct,
    CASE WHEN is_known THEN ambiguous ELSE struct_extract(former, 'ambiguous') END AS is_ambiguous,
    CASE WHEN counts THEN d.confidence END AS confidence,
    CASE WHEN counts THEN d.cost_usd END AS cost_usd,
    CASE WHEN counts THEN d.latency_ms END AS latency_ms,
    CASE WHEN counts THEN d.input_tokens END AS input_tokens,
    CASE WHEN counts THEN d.output_tokens END AS output_tokens
FROM (
    SELECT
        *, part_of AS part, NOT is_remembered(model_version, analyzed_at) AS counts,
        has_come(coalesce(outcome_recorded_at, analyzed_at)) AS is_known, former_outcome(outcome_history) AS former
    FROM query_table(decisions_table)
    WHERE in_window(analyzed_at) AND has_come(analyzed_at)
) AS d;

-- Their sums by prompt, model and recommendation: what prompt_performance tells of them that no trade changes. n: all
-- that count. inside: those that do not. resolved, correct, ambiguous: those whose outcome is known, was right, is an
-- assumption. confident, costed, timed: those that have such a value.
CREATE OR REPLACE MACRO sums_by_prompt(decisions_table, part_of) AS TABLE
SELECT
    part, prompt_version, model_version, recommendation,
    count(CASE WHEN counts THEN 1 END) AS n,
    count(CASE WHEN NOT counts THEN 1 END) AS inside,
    count(was_correct) AS resolved,
    count_of(was_correct) AS correct,
    count_of(was_correct IS NOT NULL AND is_ambiguous) AS ambiguous,
    sum(confidence) AS confidence, count(confidence) AS confident,
    sum(cost_usd) AS cost_usd, count(cost_usd) AS costed,
    sum(latency_ms) AS latency_ms, count(latency_ms) AS timed,
    sum(input_tokens)::BIGINT AS input_tokens, sum(output_tokens)::BIGINT AS output_tokens
FROM told_decisions(decisions_table, part_of)
GROUP BY part, prompt_version, model_version, recommendation;

-- Their sums by prompt, model, symbol and tenth of confidence (bucket): of those for LONG or SHORT that state one.
-- resolved_confidence: what the resolved ones stated, in all.
CREATE OR REPLACE MACRO sums_by_confidence(decisions_table, part_of) AS TABLE
SELECT
    part, prompt_version, model_version, symbol, least(floor(round(stated, 6) * 10), 9)::INTEGER AS bucket,
    count(CASE WHEN counts THEN 1 END) AS n,
    count(CASE WHEN NOT counts THEN 1 END) AS inside,
    count(was_correct) AS resolved,
    count_of(was_correct) AS correct,
    count_of(was_correct IS NOT NULL AND is_ambiguous) AS ambiguous,
    sum(CASE WHEN was_correct IS NOT NULL THEN stated END) AS resolved_confidence
FROM told_decisions(decisions_table, part_of)
WHERE recommendation IN ('LONG', 'SHORT') AND stated IS NOT NULL
GROUP BY part, prompt_version, model_version, symbol, bucket;

-- The same two, of which those of some files may be kept. A reader that does so (lake/query/decision_sums.py) puts these
-- and the sums of all other decisions in their place.
CREATE OR REPLACE MACRO prompt_sums(decisions_table) AS TABLE SELECT * FROM sums_by_prompt(decisions_table, '');
CREATE OR REPLACE MACRO confidence_sums(decisions_table) AS TABLE SELECT * FROM sums_by_confidence(decisions_table, '');

-- Result of a trade in units of its initial risk, the money between entry and stop. NULL without a stop.
CREATE OR REPLACE MACRO r_multiple(pnl, entry_price, stop_loss, quantity) AS
    pnl / nullif(abs(entry_price - stop_loss) * quantity, 0);

-- In how many of the periods 'all', '30d', '7d' a moment lies: the first one, two, or all three.
CREATE OR REPLACE MACRO periods_of(moment) AS CASE
    WHEN moment > as_of_now() - INTERVAL 7 DAY THEN 3
    WHEN moment > as_of_now() - INTERVAL 30 DAY THEN 2 ELSE 1 END;

-- The running sum of results: where it ends, its highest, its lowest, its deepest fall, and the high that fell from.
CREATE OR REPLACE MACRO walk(results) AS list_reduce(
    list_transform(results, lambda x: {'sum': x, 'high': x, 'low': x, 'fall': 0.0::DOUBLE, 'top': x}),
    lambda s, x: {
        'sum': s.sum + x.sum,
        'high': greatest(s.high, s.sum + x.sum),
        'low': least(s.low, s.sum + x.sum),
        'fall': greatest(s.fall, s.high - s.sum - x.sum),
        'top': CASE WHEN s.high - s.sum - x.sum > s.fall THEN s.high ELSE s.top END
    });

-- The same of several stretches of results, one after the other: a fall may begin in one and end in a later one.
CREATE OR REPLACE MACRO walk_on(walks) AS list_reduce(
    walks,
    lambda s, x: {
        'sum': s.sum + x.sum,
        'high': greatest(s.high, s.sum + x.high),
        'low': least(s.low, s.sum + x.low),
        'fall': greatest(s.fall, x.fall, s.high - s.sum - x.low),
        'top': CASE
            WHEN greatest(x.fall, s.high - s.sum - x.low) <= s.fall THEN s.top
            WHEN x.fall > s.high - s.sum - x.low THEN s.sum + x.top ELSE s.high END
    });

-- Longest run of letters between those of two other kinds.
CREATE OR REPLACE MACRO longest_run(text, other, third) AS
    list_max(list_transform(string_split(replace(text, other, third), third), lambda run: length(run)));

-- State of a trade and the periods it is in, as one number: see trade_days. One that is not over is in every period.
CREATE OR REPLACE MACRO trade_place(status, known, counts, moment) AS CASE
    WHEN counts THEN periods_of(moment)
    WHEN known THEN 25
    WHEN status = 'open' THEN 11
    WHEN status = 'pending' THEN 15
    ELSE CASE status WHEN 'closed' THEN 4 WHEN 'cancelled' THEN 16 WHEN 'error' THEN 20 ELSE 24 END
        + periods_of(moment) END;

-- The moment by which a trade belongs to a day: of closing where its result is known, else of its first sign of life.
CREATE OR REPLACE MACRO trade_moment(status, pnl, opened_at, closed_at, created_at) AS
    CASE WHEN has_result(status, pnl, closed_at) THEN closed_at ELSE least(created_at, opened_at, closed_at) END;

-- The status that a trade had at the variable now: what ended later was open, or pending where it was not opened yet.
CREATE OR REPLACE MACRO status_then(status, opened_at, closed_at, created_at) AS CASE
    WHEN getvariable('now') IS NULL THEN status
    WHEN closed_at > as_of_now() THEN
        CASE WHEN coalesce(opened_at, CASE WHEN status = 'closed' THEN created_at END) <= as_of_now() THEN 'open'
            ELSE 'pending' END
    WHEN status = 'open' AND opened_at > as_of_now() THEN 'pending'
    ELSE status END;

-- Sums of trades by day, as the view trade_days tells them.
CREATE OR REPLACE MACRO days_of_trades(trades_table) AS TABLE
SELECT
    mode, bot_id, symbol, strategy,
    DATE '0001-01-01' + (place // 32)::INTEGER AS day,
    ['closed', 'unresolved', 'open', 'pending', 'cancelled', 'error', 'outside'][place // 4 % 8 + 1] AS state,
    place % 4 AS periods,
    * EXCLUDE (mode, bot_id, symbol, strategy, place)
FROM (
    SELECT
        coalesce(mode, '') AS mode, bot_id, symbol, strategy,
        (day_of(moment) - DATE '0001-01-01') * 32 + trade_place(status, known, counts, moment) AS place,
        count(*) AS n,
        min(moment) AS first_at, max(moment) AS last_at,
        count_of(pnl > 0) AS wins, count_of(pnl < 0) AS losses,
        sum(pnl) AS total, sum(CASE WHEN pnl > 0 THEN pnl END) AS profit, sum(CASE WHEN pnl < 0 THEN pnl END) AS loss,
        sum(pnl * pnl) AS squares, max(pnl) AS best, min(pnl) AS worst, sum(fees) AS fees,
        sum(pnl_percent) AS percents, count(pnl_percent) AS percent_n,
        sum(r) AS r, sum(r * r) AS r_squares, count(r) AS r_n,
        sum(held::DOUBLE) AS held, count(held) AS held_n
    FROM (
        SELECT
            mode, bot_id, symbol, strategy, status, moment, known, counts,
            CASE WHEN counts THEN t.pnl END AS pnl,
            CASE WHEN counts THEN t.fees END AS fees,
            CASE WHEN counts THEN t.pnl_percent END AS pnl_percent,
            CASE WHEN counts THEN r_multiple(t.pnl, entry_price, stop_loss, quantity) END AS r,
            CASE WHEN counts AND opened_at IS NOT NULL THEN greatest(0, epoch_us(moment) - epoch_us(opened_at)) END
                AS held
        FROM (
            SELECT *, known AND in_window(moment) AS counts
            FROM (
                SELECT
                    mode, bot_id, symbol, strategy, pnl, fees, pnl_percent, entry_price, stop_loss, quantity, opened_at,
                    status_then(status, opened_at, closed_at, created_at) AS status,
                    has_result(trades.status, pnl, closed_at) AS known,
                    trade_moment(trades.status, pnl, opened_at, closed_at, created_at) AS moment
                FROM query_table(trades_table) AS trades
            )
        ) AS t
        WHERE is_past(moment)
    )
    GROUP BY ALL
);

-- The same, of which those of some days may be kept: what the statistics are made of. A reader that keeps sums of files
-- (lake/query/rollups.py) puts rolled_sums in its place.
CREATE OR REPLACE MACRO trade_sums(trades_table) AS TABLE SELECT * FROM days_of_trades(trades_table);

-- Sums that were kept with all trades in one period, put into the periods of now, and those of the other trades. Left
-- out of the kept ones are the days given: these are among the other trades.
CREATE OR REPLACE MACRO rolled_sums(kept_table, trades_table, cut_days) AS TABLE
SELECT * REPLACE (CASE WHEN periods = 3 THEN 3 ELSE periods_of(first_at) END AS periods)
FROM query_table(kept_table)
WHERE is_past(first_at) AND NOT list_contains(cut_days, day) AND (state <> 'closed' OR in_window(first_at))
UNION ALL BY NAME
SELECT mode, bot_id, symbol, strategy, day, 'outside' AS state, 1 AS periods, n
FROM query_table(kept_table)
WHERE is_past(first_at) AND NOT list_contains(cut_days, day) AND state = 'closed' AND NOT in_window(first_at)
UNION ALL BY NAME
SELECT * FROM days_of_trades(trades_table);

-- The statistics of trades by mode, period and one column of trade_days, here called name;
-- docs/metrics.md defines them.
CREATE OR REPLACE MACRO trade_figures(trades_table, configs_table, dimension) AS TABLE
WITH sums AS MATERIALIZED (
    SELECT * EXCLUDE (symbol, strategy), coalesce(dimension, '') AS name,
        unnest(['all', '30d', '7d'][:periods]) AS period
    FROM trade_sums(trades_table)
), totals AS (
    SELECT
        mode, name, period,
        (sum(n) FILTER (state = 'closed'))::BIGINT AS n,
        sum(wins)::BIGINT AS wins, sum(losses)::BIGINT AS losses,
        coalesce(sum(total), 0) AS total, coalesce(sum(profit), 0) AS profit, coalesce(sum(loss), 0) AS loss,
        sum(squares) AS squares, max(best) AS best, min(worst) AS worst, coalesce(sum(fees), 0) AS fees,
        sum(percents) / nullif(sum(percent_n), 0) AS percent,
        sum(r) AS r, sum(r_squares) AS r_squares, sum(r_n)::BIGINT AS r_n,
        sum(held) / nullif(sum(held_n), 0) / 60e6 AS held,
        min(first_at) FILTER (state = 'closed') AS first_closed_at,
        max(last_at) FILTER (state = 'closed') AS last_closed_at,
        sum(n) FILTER (state = 'open') AS open_trades,
        sum(n) FILTER (state = 'pending') AS pending_trades,
        sum(n) FILTER (state = 'cancelled') AS cancelled_trades,
        sum(n) FILTER (state = 'error') AS error_trades,
        sum(n) FILTER (state = 'unresolved') AS unresolved_trades
    FROM sums
    GROUP BY mode, name, period
), curve AS (  -- equity at the end of each day, and the days on which it stood at its peak
    SELECT
        *, sum(total) OVER so_far AS equity, 1e-12 * sum(turnover) OVER so_far AS grain  -- less is rounding
    FROM (
        SELECT mode, name, period, day, sum(total) AS total, sum(coalesce(profit, 0) - coalesce(loss, 0)) AS turnover
        FROM sums
        WHERE state = 'closed'
        GROUP BY mode, name, period, day
    )
    WINDOW so_far AS (PARTITION BY mode, name, period ORDER BY day)
), peaks AS (
    SELECT
        *, greatest(0, max(equity) OVER (PARTITION BY mode, name, period ORDER BY day)) AS peak,
        CASE WHEN equity >= peak - grain THEN day END AS peak_day
    FROM curve
), falls AS (  -- of falls alike the first counts
    SELECT
        *, CASE WHEN peak_day IS NULL THEN peak - equity ELSE 0 END AS depth,
        max(peak_day) OVER (PARTITION BY mode, name, period ORDER BY day) AS fell_from,
        min(peak_day) OVER (PARTITION BY mode, name, period ORDER BY day
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS recovered
    FROM peaks
), risks AS (
    SELECT
        mode, name, period, min(day) AS first_day, max(day) AS last_day,
        sum(total * total) AS day_squares, sum(CASE WHEN total < 0 THEN total * total END) AS down_squares,
        arg_max({'depth': depth, 'peak': peak, 'from': fell_from, 'until': recovered}, (depth, -epoch(day))) AS fall
    FROM falls
    GROUP BY mode, name, period
), capitals AS (
    SELECT mode, name, CASE WHEN bool_and(coalesce(capital > 0, false)) THEN sum(capital) END AS capital
    FROM (SELECT DISTINCT mode, name, bot_id FROM sums WHERE state = 'closed')
    LEFT JOIN query_table(configs_table) USING (bot_id)
    GROUP BY mode, name
), joined AS (  -- days without trades are results of 0
    SELECT
        *, last_day - first_day + 1 AS days, total / days AS day_mean,
        deviation(days, total, day_squares) AS day_spread, sqrt(down_squares / days) AS downside,
        total / n AS mean, deviation(n, total, squares) AS spread,
        r / nullif(r_n, 0) AS r_mean, deviation(r_n, r, r_squares) AS r_spread,
        profit / nullif(wins, 0) AS avg_win, loss / nullif(losses, 0) AS avg_loss,
        fall.depth AS depth
    FROM (SELECT mode, name, unnest(['all', '30d', '7d']) AS period FROM sums GROUP BY mode, name)
    LEFT JOIN totals USING (mode, name, period) LEFT JOIN risks USING (mode, name, period)
    LEFT JOIN capitals USING (mode, name)
)
SELECT
    mode, name, period, coalesce(n, 0) AS trades,
    coalesce(joined.wins, 0) AS wins, coalesce(joined.losses, 0) AS losses,
    coalesce(n - joined.wins - joined.losses, 0) AS breakevens,
    100.0 * joined.wins / n AS win_rate,
    100.0 * wilson_low(joined.wins, n) AS win_rate_low,
    100.0 * wilson_high(joined.wins, n) AS win_rate_high,
    coalesce(total, 0) AS total_pnl, coalesce(profit, 0) AS gross_profit, coalesce(loss, 0) AS gross_loss,
    coalesce(joined.fees, 0) AS fees,
    profit / nullif(-loss, 0) AS profit_factor,
    mean AS expectancy,
    percent AS avg_pnl_percent,
    avg_win, avg_loss,
    avg_win / -avg_loss AS payoff_ratio,
    CASE WHEN best > 0 THEN best END AS largest_win,
    CASE WHEN worst < 0 THEN worst END AS largest_loss,
    depth AS max_drawdown,
    100.0 * depth / (capital + fall.peak) AS max_drawdown_percent,
    CASE WHEN depth > 0 THEN coalesce(fall.until, last_day) - coalesce(fall.from, first_day)
        WHEN depth = 0 THEN 0 END AS max_drawdown_days,
    sqrt(periods_per_year()) * ratio(day_mean, day_spread) AS sharpe_ratio,
    CASE WHEN days > 1 THEN sqrt(periods_per_year()) * ratio(day_mean, downside) END AS sortino_ratio,
    periods_per_year() * day_mean / nullif(depth, 0) AS calmar_ratio,
    sqrt(n) * ratio(mean, spread) AS sqn,
    coalesce(r_n, 0) AS r_trades,
    r_mean AS expectancy_r,
    sqrt(r_n) * ratio(r_mean, r_spread) AS sqn_r,
    held AS avg_hold_minutes,
    days, first_closed_at, last_closed_at,
    coalesce(joined.open_trades, 0)::BIGINT AS open_trades,
    coalesce(joined.pending_trades, 0)::BIGINT AS pending_trades,
    coalesce(joined.cancelled_trades, 0)::BIGINT AS cancelled_trades,
    coalesce(joined.error_trades, 0)::BIGINT AS error_trades,
    coalesce(joined.unresolved_trades, 0)::BIGINT AS unresolved_trades
FROM joined;

-- Results of each bot day by day, as the view bot_performance tells them, of trades with mode, bot_id, status, pnl, fees and
-- closed_at.
CREATE OR REPLACE MACRO bot_days(trades_table, configs_table) AS TABLE
WITH hours AS (  -- a day's results hour by hour: as lists they take five times the memory while they are walked
    SELECT *, walk(results) AS walk
    FROM (
        SELECT
            coalesce(mode, '') AS mode, bot_id, day_of(closed_at) AS date, epoch_us(closed_at) // 3600000000 AS hour,
            count(*) AS trades, count(*) FILTER (pnl > 0) AS wins, count(*) FILTER (pnl < 0) AS losses,
            sum(pnl) AS daily_pnl, sum(abs(pnl)) AS gross, sum(fees) AS fees,
            list(pnl ORDER BY closed_at, pnl) AS results
        FROM query_table(trades_table)
        WHERE has_result(status, pnl, closed_at)
        GROUP BY ALL
    )
), walked AS (
    SELECT
        mode, bot_id, date, sum(trades)::BIGINT AS trades, sum(wins)::BIGINT AS wins, sum(losses)::BIGINT AS losses,
        sum(daily_pnl) AS daily_pnl, sum(gross) AS gross, sum(fees) AS fees, walk_on(list(walk ORDER BY hour)) AS walk
    FROM hours
    GROUP BY mode, bot_id, date
    ORDER BY mode, bot_id, date
), calendar AS (
    SELECT mode, bot_id, unnest(generate_series(min(date), max(date), INTERVAL 1 DAY))::DATE AS date
    FROM walked
    GROUP BY mode, bot_id
), days AS (
    SELECT
        calendar.*, coalesce(daily_pnl, 0) AS pnl,
        coalesce(trades, 0) AS trades, coalesce(wins, 0) AS wins, coalesce(losses, 0) AS losses,
        coalesce(fees, 0) AS fees, walk,
        sum(pnl) OVER so_far AS total_pnl,
        total_pnl - pnl AS before,
        1e-12 * sum(gross) OVER so_far AS grain,  -- less than this is rounding
        sqrt(periods_per_year()) * ratio(avg(pnl) OVER so_far, stddev_samp(pnl) OVER so_far) AS sharpe_ratio
    FROM calendar LEFT JOIN walked USING (mode, bot_id, date)
    WINDOW so_far AS (PARTITION BY mode, bot_id ORDER BY date ROWS UNBOUNDED PRECEDING)
), carried AS (
    SELECT *, coalesce(greatest(0, max(before + walk.high) OVER (PARTITION BY mode, bot_id ORDER BY date
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)), 0) AS peak_before
    FROM days
), fallen AS (  -- the deepest fall of the day: from a peak of its own, or from the one before it
    SELECT *, walk.fall > peak_before - before - walk.low AS own,
        CASE WHEN own THEN walk.fall ELSE peak_before - before - walk.low END AS depth,
        CASE WHEN own THEN before + walk.top ELSE peak_before END AS peak
    FROM carried
)
SELECT
    bot_id, mode, date, trades, wins, losses, trades - wins - losses AS breakevens,
    100.0 * wins / nullif(trades, 0) AS win_rate,
    100.0 * wilson_low(wins, trades) AS win_rate_low,
    100.0 * wilson_high(wins, trades) AS win_rate_high,
    pnl AS daily_pnl,
    fees,
    total_pnl,
    max(CASE WHEN depth > grain THEN depth ELSE 0 END) OVER so_far AS max_drawdown,
    100.0 * max_drawdown / (CASE WHEN capital > 0 THEN capital END + arg_max(peak, depth) OVER so_far)
        AS max_drawdown_percent,
    (last_value(CASE WHEN trades > 0 THEN {'sharpe': sharpe_ratio} END IGNORE NULLS) OVER so_far).sharpe AS sharpe_ratio
FROM fallen LEFT JOIN (SELECT bot_id, capital FROM query_table(configs_table)) USING (bot_id)
WINDOW so_far AS (PARTITION BY mode, bot_id ORDER BY date ROWS UNBOUNDED PRECEDING);
