-- What the worker says: the live verdict of each transaction, its breaks, and each move of a break.

-- One row a transaction: the newest revision of its result.
CREATE TABLE reconciliation_results (
    txn_id text PRIMARY KEY,
    revision integer NOT NULL,
    result_id text NOT NULL,
    verdict text NOT NULL,
    primary_class text,
    amount_minor bigint,
    currency text,
    rules_version text NOT NULL,
    decided_at timestamptz NOT NULL,
    body jsonb NOT NULL, -- the whole result with its legs; amounts are integers in minor units, times epoch milliseconds
    partition integer NOT NULL, -- where the result stands in recon_results
    kafka_offset bigint NOT NULL,
    revision_digests bytea NOT NULL, -- 8 bytes for each of the newest revisions, oldest first, the last one of `revision`
    CONSTRAINT reconciliation_results_revision CHECK (revision > 0)
);

-- One row a break. The stream owns whether the difference exists; people own the last two columns, and the sink has no right to write them.
CREATE TABLE breaks (
    break_id text PRIMARY KEY,
    txn_id text NOT NULL,
    class text NOT NULL,
    subtype text NOT NULL,
    subject text NOT NULL,
    field text NOT NULL,
    expected text,
    actual text,
    delta_minor bigint,
    severity text NOT NULL,
    state text NOT NULL,
    resolution text,
    opened_at timestamptz NOT NULL, -- the first time; break_events has each
    resolved_at timestamptz,
    revision integer NOT NULL, -- of the result that last moved or changed it
    reopen_count integer NOT NULL,
    assignee text,
    work_state text,
    CONSTRAINT breaks_state CHECK (state IN ('OPEN', 'RESOLVED') AND (state = 'RESOLVED') = (resolved_at IS NOT NULL))
);

CREATE INDEX breaks_txn ON breaks (txn_id);

-- Each move of a break with its evidence at that moment. Append-only.
CREATE TABLE break_events (
    break_id text NOT NULL,
    revision integer NOT NULL, -- of the result that moved it
    txn_id text NOT NULL,
    move text NOT NULL,
    at timestamptz NOT NULL, -- decided_at of that result
    subtype text NOT NULL,
    subject text NOT NULL,
    field text NOT NULL,
    expected text,
    actual text,
    delta_minor bigint,
    severity text NOT NULL,
    resolution text,
    PRIMARY KEY (break_id, revision),
    CONSTRAINT break_events_move CHECK (move IN ('OPENED', 'CHANGED', 'RESOLVED', 'REOPENED'))
);

-- Results that were not taken: of an equal or lower revision with other content (a stale writer, or a transaction id used twice), or unreadable.
CREATE TABLE result_conflicts (
    topic text NOT NULL,
    partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    reason text NOT NULL,
    txn_id text,
    revision integer,
    stored_revision integer, -- the one in force when it came
    value bytea,
    noticed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, kafka_offset),
    CONSTRAINT result_conflicts_reason CHECK (reason IN ('SAME_REVISION', 'LOWER_REVISION', 'UNREADABLE'))
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE TRIGGER break_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON break_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT, UPDATE ON reconciliation_results TO recon_sink;
GRANT SELECT, INSERT ON break_events, result_conflicts TO recon_sink;
GRANT SELECT ON breaks TO recon_sink;
GRANT INSERT (
    break_id, txn_id, class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution,
    opened_at, resolved_at, revision, reopen_count
), UPDATE (
    subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, resolved_at, revision, reopen_count
) ON breaks TO recon_sink;
GRANT SELECT ON reconciliation_results, breaks, break_events, result_conflicts TO recon_reader;
