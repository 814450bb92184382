-- What a model can learn from: one row per phantom, decision and trade whose outcome is known. Columns are inputs,
-- known at decision_time, unless their name begins with label_; kind, the ids, bot_id, mode and known_at tell which
-- example it is and are no inputs. What was recorded is as it was when it was decided, whoever wrote over it later. Levels that a bot moves later (a trade's own stop and target) are not here. One
-- event may be here as phantom, decision and trade: take one kind, or drop repetitions by signal_id and decision_id.
-- The variable now looks back, to ends known by then, also those that were corrected since; days keeps examples decided within that many days of now.
-- kind: 'phantom', 'decision' or 'trade'. id: its key there. bot_id, venue, symbol, timeframe, strategy: as there.
--   mode: of a trade; NULL for the others.
-- decision_time: signal_time of a phantom, analyzed_at of a decision; a trade's is opened_at (else created_at), since
--   its features are those at the entry.
-- side: LONG or SHORT, or HOLD of a decision. confidence (0-1): of a decision, or of the signal behind a trade.
-- ml_score (0-100), regime: of a phantom. prompt_version: of a decision or trade. model_version: of a decision.
-- entry_price, stop_loss, tp1, tp2, tp3 (quote currency): as planned: a trade's are those of its signal, if that came
--   before the entry, else NULL; tp1 is the target of a decision.
-- features: JSON: a phantom's or trade's features, a decision's market snapshot. conditions: JSON, of a trade.
-- label_outcome: win, loss, breakeven or timeout. Unknown and active phantoms, unresolved decisions and trades that are
--   not closed, have no result or no time of their end are not here. A decision wins when its direction was right.
-- label_win: true for a win, else false: who takes the trade gets what a breakeven or a timeout made.
-- label_pnl_percent (%), label_rr (R, of phantoms): the result.
-- label_ambiguous: true where the outcome of a phantom or decision is an assumption, the worse of two: two of stop, target
--   and timeout lay in one candle, and nothing finer tells which came first. Data sets (lk.datasets) leave these out.
-- label_time: when it was over; of a decision whose outcome was given, when that was recorded. Never before
--   decision_time.
-- known_at: when the whole row could first be known: label_time, of a decision when its outcome was recorded. Train on
--   rows whose known_at is in the past of the model.
WITH example AS (
    SELECT
        'phantom' AS kind, phantom_id AS id, signal_id, NULL AS decision_id, bot_id, venue, symbol, timeframe, strategy,
        NULL AS mode, signal_time AS decision_time, side, NULL AS confidence, ml_score, regime,
        entry_price, stop_loss, tp1, tp2, tp3, features, NULL AS conditions,
        NULL AS prompt_version, NULL AS model_version,
        outcome AS label_outcome, pnl_percent AS label_pnl_percent, realized_rr AS label_rr,
        ambiguous AS label_ambiguous, exit_time AS label_time, exit_time AS recorded_at
    FROM phantoms_as_decided
    WHERE outcome IN ('win', 'loss', 'breakeven', 'timeout')
    UNION ALL BY NAME
    SELECT
        'decision' AS kind, decision_id AS id, decision_id, bot_id, venue, symbol, timeframe,
        analyzed_at AS decision_time, recommendation AS side, confidence, entry_price, stop_loss, take_profit AS tp1,
        market_snapshot AS features, prompt_version, model_version,
        CASE WHEN outcome_correct THEN 'win' ELSE 'loss' END AS label_outcome,
        actual_pnl_percent AS label_pnl_percent, ambiguous AS label_ambiguous,
        decision_over(outcome_source, analyzed_at, hold_duration_minutes, trades_closed_at, outcome_recorded_at)
            AS label_time,
        outcome_recorded_at AS recorded_at
    FROM (
        SELECT * REPLACE (
            CASE WHEN is_known THEN outcome_correct ELSE struct_extract(former, 'outcome_correct') END
                AS outcome_correct,
            CASE WHEN is_known THEN ambiguous ELSE struct_extract(former, 'ambiguous') END AS ambiguous,
            CASE WHEN is_known THEN actual_pnl_percent ELSE struct_extract(former, 'actual_pnl_percent') END
                AS actual_pnl_percent,
            CASE WHEN is_known THEN hold_duration_minutes ELSE struct_extract(former, 'hold_duration_minutes') END
                AS hold_duration_minutes,
            CASE WHEN is_known THEN outcome_source ELSE struct_extract(former, 'outcome_source') END AS outcome_source,
            CASE WHEN is_known THEN outcome_recorded_at
                ELSE make_timestamptz(struct_extract(former, 'outcome_recorded_at')) END AS outcome_recorded_at
        )
        FROM (
            SELECT *, is_past(outcome_recorded_at) AS is_known, former_outcome(outcome_history) AS former
            FROM decisions_and_closings('decisions_as_decided', 'trades')
        )
    )
    WHERE outcome_correct IS NOT NULL
    UNION ALL BY NAME
    SELECT
        'trade' AS kind, t.trade_id AS id, t.signal_id, t.decision_id, t.bot_id, t.venue, t.symbol, t.timeframe,
        t.strategy, t.mode, coalesce(t.opened_at, t.created_at) AS decision_time, t.side, s.confidence,
        s.entry_price, s.stop_loss, s.tp1, s.tp2, s.tp3, t.features, t.conditions, t.prompt_version,
        CASE sign(coalesce(t.pnl, t.pnl_percent)) WHEN 1 THEN 'win' WHEN -1 THEN 'loss' WHEN 0 THEN 'breakeven' END
            AS label_outcome,
        t.pnl_percent AS label_pnl_percent, t.closed_at AS label_time, t.closed_at AS recorded_at
    FROM trades_as_decided AS t
    LEFT JOIN signals_as_decided AS s ON t.signal_id = s.signal_id AND s.signal_time <= coalesce(t.opened_at, t.created_at)
    WHERE t.status = 'closed' AND coalesce(t.pnl, t.pnl_percent) IS NOT NULL
)
SELECT
    * EXCLUDE (label_outcome, label_pnl_percent, label_rr, label_ambiguous, label_time, recorded_at),
    label_outcome,
    label_outcome = 'win' AS label_win,
    label_pnl_percent,
    label_rr,
    coalesce(label_ambiguous, false) AS label_ambiguous,
    greatest(label_time, decision_time) AS label_time,
    greatest(recorded_at, decision_time) AS known_at
FROM example
WHERE label_time IS NOT NULL AND in_window(decision_time) AND is_past(greatest(recorded_at, decision_time))
