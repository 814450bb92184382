-- Phantoms as examples: one row each, decided at the signal. Inputs are what the bot knew then: recorded.* and features
-- (JSON). Levels are as planned; an outcome counts once it ended, and was known then.
-- note.own_scores: a model of this lake gave the score, as it will give one to whatever is predicted.
-- note.*: what the manifest tells of the row. reason: why the row cannot be learned from; NULL for one that can.
SELECT
    phantom_id AS id,
    'phantom' AS kind,
    bot_id, venue, symbol, timeframe, strategy, side,
    signal_time AS decision_time,
    ml_score AS "recorded.ml_score",
    features,
    entry_price, stop_loss, tp1, tp2, tp3, timeout_at,
    CASE WHEN outcome <> 'unknown' THEN outcome END AS label_outcome,
    pnl_percent AS label_pnl_percent,
    realized_rr AS label_rr,
    greatest(exit_time, signal_time) AS label_time,
    greatest(exit_time, signal_time) AS label_known_at,
    changed_inputs IS NOT NULL AS "note.inputs_changed_later",
    coalesce(model_version IN (SELECT version FROM model_versions), false) AS "note.own_scores",
    CASE
        WHEN outcome IS NULL OR status = 'active' THEN 'unresolved'
        WHEN outcome = 'unknown' THEN 'unknown'
        WHEN exit_time IS NULL THEN 'end_unknown'
        WHEN ambiguous THEN 'ambiguous'
    END AS reason
FROM phantoms_as_decided
