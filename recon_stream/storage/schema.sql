-- The schema as it is now: what all migrations together give (a test compares the two). Read it; `recon-stream migrate` applies the migrations.

-- What came in: every record of the sources, where it stands in Kafka, and what could not be used.

-- The roles. A deployment creates them with LOGIN and passwords before it migrates; where they are missing (and the
-- migrating role may create roles) they are made without LOGIN, so that the grants below hold everywhere.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['recon_owner', 'recon_sink', 'recon_reader', 'recon_web'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster is being migrated at the same moment
            END;
        END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO recon_sink, recon_reader, recon_web;

-- One row for each Kafka record of the three source topics, poison and duplicates included. Append-only.
CREATE TABLE raw_events (
    kafka_day date NOT NULL, -- day of kafka_timestamp in UTC
    topic text NOT NULL,
    partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    key bytea,
    value bytea,
    schema_id bigint, -- unsigned 32 bits on the wire; null where the value is not in the wire format
    txn_id text,
    source text,
    event_id text,
    revision integer,
    amount_minor bigint,
    currency text,
    content_digest bytea, -- 8 bytes of SHA-256 over the decoded fields: equal content, equal digest
    status text NOT NULL,
    PRIMARY KEY (kafka_day, topic, partition, kafka_offset),
    CONSTRAINT raw_events_status CHECK (status IN ('READABLE', 'UNREADABLE')),
    CONSTRAINT raw_events_decoded CHECK (
        (status = 'READABLE') = (num_nulls(txn_id, source, event_id, revision, amount_minor, currency, content_digest) = 0)
    )
) PARTITION BY RANGE (kafka_day);

CREATE INDEX raw_events_txn ON raw_events (txn_id);

-- Records dated so far off that a partition of their own would invite thousands of them; the sink reports each day that lands here.
CREATE TABLE raw_events_default PARTITION OF raw_events DEFAULT;

-- Makes the partitions of these days (and of today and the three days to come) where they are missing and returns the days that
-- have one of their own. Days more than 400 days back or 7 ahead get none. Rows of such a day that wait in the
-- default partition move over. Runs with the rights of the owner, so that the sink needs none to alter the schema.
CREATE FUNCTION ensure_raw_events_days(wanted date[]) RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
    kept date[];
    day date;
    child text;
BEGIN
    SELECT array_agg(DISTINCT d ORDER BY d) INTO kept
    FROM unnest(wanted || ARRAY[today, today + 1, today + 2, today + 3]) AS d
    WHERE d BETWEEN today - 400 AND today + 7;
    FOREACH day IN ARRAY kept LOOP
        child := 'raw_events_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(format('public.%I', child)) IS NULL THEN
            -- One at a time. An advisory lock would not do: only a lock on a relation makes the next look-up see what others made meanwhile.
            LOCK TABLE public.raw_events IN SHARE UPDATE EXCLUSIVE MODE;
            IF to_regclass(format('public.%I', child)) IS NULL THEN
                LOCK TABLE public.raw_events_default IN ACCESS EXCLUSIVE MODE;
                EXECUTE format('CREATE TABLE public.%I (LIKE public.raw_events INCLUDING ALL)', child);
                EXECUTE format(
                    'WITH moved AS (DELETE FROM public.raw_events_default WHERE kafka_day = %L RETURNING *) '
                    'INSERT INTO public.%I SELECT * FROM moved', day, child);
                EXECUTE format(
                    'ALTER TABLE public.raw_events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                    child, day, day + 1);
            END IF;
        END IF;
        RETURN NEXT day;
    END LOOP;
END $$;

-- How far the sink has stored each partition of each topic it reads: written in the transaction that stores the records.
CREATE TABLE sink_offsets (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

-- Records that the worker could not use, by the coordinates of the original; the first letter about a record stands.
CREATE TABLE dead_letters (
    topic text NOT NULL,
    partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    kafka_timestamp timestamptz NOT NULL,
    key bytea,
    value bytea,
    reason text NOT NULL,
    detail text NOT NULL,
    schema_id bigint,
    failed_at timestamptz NOT NULL,
    letter_partition integer NOT NULL, -- where the letter stands in recon_dead_letters
    letter_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition, kafka_offset)
);

-- What became of each record of the sources, judged as the worker does, in Kafka order of its partition:
--   UNREADABLE  no Avro record;  REJECTED  a dead letter says why;
--   ACCEPTED    the first record of this event, or a higher revision of it (a correction);
--   DUPLICATE   the revision in force again with the same content;  CONFLICT  the same with other content;
--   STALE       a revision lower than the one in force.
-- An event is (txn_id, source, event_id). Exact once dead_letters has caught up; a case that expired and was seen again later is
-- judged here as if it had never expired. Ask by txn_id: the index then keeps it cheap.
CREATE VIEW raw_event_outcomes AS
WITH judged AS (
    SELECT
        e.*,
        d.reason,
        e.status = 'READABLE' AND d.reason IS NULL AS valid
    FROM raw_events e
    LEFT JOIN dead_letters d USING (topic, partition, kafka_offset)
), placed AS (
    SELECT
        judged.*,
        max(revision) OVER (
            PARTITION BY txn_id, source, event_id, valid ORDER BY topic, partition, kafka_offset
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS revision_in_force,
        first_value(content_digest) OVER (
            PARTITION BY txn_id, source, event_id, valid, revision ORDER BY topic, partition, kafka_offset
        ) AS digest_in_force
    FROM judged
)
SELECT
    kafka_day, topic, partition, kafka_offset, kafka_timestamp, txn_id, source, event_id, revision, amount_minor, currency, reason,
    CASE
        WHEN status = 'UNREADABLE' THEN 'UNREADABLE'
        WHEN NOT valid THEN 'REJECTED'
        WHEN revision_in_force IS NULL OR revision > revision_in_force THEN 'ACCEPTED'
        WHEN revision < revision_in_force THEN 'STALE'
        WHEN content_digest = digest_in_force THEN 'DUPLICATE'
        ELSE 'CONFLICT'
    END AS outcome
FROM placed;

REVOKE ALL ON FUNCTION ensure_raw_events_days(date[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_raw_events_days(date[]) TO recon_sink;
GRANT SELECT, INSERT ON raw_events, dead_letters TO recon_sink;
GRANT SELECT, INSERT, UPDATE ON sink_offsets TO recon_sink;
GRANT SELECT ON raw_events, dead_letters, sink_offsets, raw_event_outcomes TO recon_reader, recon_web;

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
    -- What a transaction can be found by, beside its id: 'account:' of its legs, 'id:' of their event ids and references.
    tags text[] NOT NULL DEFAULT '{}',
    -- And by its open breaks: 'class:', 'subject:', 'severity:' and all three of one, 'break:CLASS/SUBJECT/SEVERITY'; null where none is open.
    open_breaks text[],
    CONSTRAINT reconciliation_results_revision CHECK (revision > 0)
);

CREATE INDEX reconciliation_results_decided ON reconciliation_results (decided_at, txn_id);
CREATE INDEX reconciliation_results_amount ON reconciliation_results (currency, amount_minor, txn_id);
CREATE INDEX reconciliation_results_tags ON reconciliation_results USING gin (tags);
CREATE INDEX reconciliation_results_open ON reconciliation_results (decided_at, txn_id) WHERE open_breaks IS NOT NULL;
CREATE INDEX reconciliation_results_open_breaks ON reconciliation_results USING gin (open_breaks);

-- One row a break. The stream owns whether the difference exists; people own `assignee` and `work_state`, and the sink has no right to write them.
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
    -- The money that it puts at risk: the difference where that is an amount, else the transaction's amount, in minor units of its
    -- currency; null where the transaction has no leg. Follows corrections also where the break does not move.
    currency text,
    at_risk_minor bigint,
    CONSTRAINT breaks_state CHECK (state IN ('OPEN', 'RESOLVED') AND (state = 'RESOLVED') = (resolved_at IS NOT NULL))
);

CREATE INDEX breaks_txn ON breaks (txn_id);
CREATE INDEX breaks_opened ON breaks (state, opened_at, break_id);
CREATE INDEX breaks_at_risk ON breaks (state, currency, at_risk_minor, break_id);

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

CREATE INDEX break_events_txn ON break_events (txn_id, revision, break_id);

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
    opened_at, resolved_at, revision, reopen_count, currency, at_risk_minor
), UPDATE (
    subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, resolved_at, revision, reopen_count,
    currency, at_risk_minor
) ON breaks TO recon_sink;
GRANT SELECT ON reconciliation_results, breaks, break_events, result_conflicts TO recon_reader, recon_web;

-- Every revision that the sink has seen, without its body: the history of a verdict. Append-only.
CREATE TABLE result_revisions (
    txn_id text NOT NULL,
    revision integer NOT NULL,
    verdict text NOT NULL,
    primary_class text,
    legs smallint NOT NULL,
    rules_version text NOT NULL,
    decided_at timestamptz NOT NULL,
    partition integer NOT NULL, -- where the result stands in recon_results
    kafka_offset bigint NOT NULL,
    PRIMARY KEY (txn_id, revision)
);

CREATE TRIGGER result_revisions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON result_revisions
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Live verdicts counted by the time of their last decision, kept in the transaction that changes them. `width` is that of the bucket in
-- seconds: 60, 600 and 3600; the finer ones are kept for a while only. By partition of recon_results, which has
-- one writer at a time, so that no two wait for a row.
CREATE TABLE verdict_rollups (
    width integer NOT NULL,
    bucket timestamptz NOT NULL,
    partition integer NOT NULL,
    verdict text NOT NULL,
    currency text NOT NULL, -- empty where a transaction has none
    transactions bigint NOT NULL,
    amount_minor numeric NOT NULL,
    PRIMARY KEY (width, bucket, partition, verdict, currency)
);

-- Breaks counted by the time at which they were first opened, the same way.
CREATE TABLE break_rollups (
    width integer NOT NULL,
    bucket timestamptz NOT NULL,
    partition integer NOT NULL,
    class text NOT NULL,
    subject text NOT NULL,
    severity text NOT NULL,
    state text NOT NULL,
    currency text NOT NULL,
    breaks bigint NOT NULL,
    at_risk_minor numeric NOT NULL,
    PRIMARY KEY (width, bucket, partition, class, subject, severity, state, currency)
);

-- The cheap invariants, checked by the sink every minute: the newest result of each, and when it last held.
CREATE TABLE accounting (
    name text PRIMARY KEY,
    title text NOT NULL,
    checked_at timestamptz NOT NULL,
    examined bigint NOT NULL, -- rows looked at in this check
    violations bigint NOT NULL, -- found and not healed since
    detail jsonb NOT NULL,
    held_at timestamptz -- when it last held; null: never
);

-- What people did with a dead letter; one row a letter and `request_key`, so that what is asked again is not done twice.
CREATE TABLE dead_letter_actions (
    action_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic text NOT NULL,
    partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    action text NOT NULL,
    request_key text NOT NULL,
    actor text NOT NULL,
    comment text,
    asked_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz, -- null: not sent yet, or its outcome is not known
    sent_partition integer, -- where the replayed record stands in the topic
    sent_offset bigint,
    UNIQUE (topic, partition, kafka_offset, request_key),
    CONSTRAINT dead_letter_actions_kind CHECK (action IN ('REPLAY', 'DISCARD')),
    FOREIGN KEY (topic, partition, kafka_offset) REFERENCES dead_letters
);

CREATE INDEX dead_letters_failed ON dead_letters (failed_at, topic, partition, kafka_offset);

-- Who did what: a chain in which each row holds the hash of the one before. Append-only, and by append_audit alone.
CREATE TABLE audit_logs (
    seq bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail json NOT NULL, -- as it was written, byte for byte: the hash is over it
    previous_hash bytea NOT NULL,
    hash bytea NOT NULL,
    outcome text NOT NULL,
    role text NOT NULL,
    address text NOT NULL,
    session text NOT NULL,
    request_id text NOT NULL,
    CONSTRAINT audit_logs_outcome CHECK (outcome IN ('ALLOWED', 'DENIED', 'FAILED'))
);

CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE INDEX audit_logs_at ON audit_logs (at, seq);
CREATE INDEX audit_logs_actor ON audit_logs (actor, seq);
CREATE INDEX audit_logs_object ON audit_logs (object, seq);
CREATE INDEX audit_logs_request ON audit_logs (request_id, seq);

-- A text or an absent one as the hash takes it: its length in bytes as 4 bytes, then UTF-8.
CREATE FUNCTION audit_part(part text) RETURNS bytea
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT int4send(octet_length(convert_to(part, 'UTF8'))) || convert_to(part, 'UTF8')
$$;

-- Appends entries in their order and returns the sequence number of the last one. Writers wait for each other until the end of
-- their transactions, so that the chain is one: keep those short. hash = SHA-256 of previous_hash and
-- the parts seq, at (microseconds of the epoch), actor, role, action, object, outcome, address, session, request_id, detail.
CREATE FUNCTION append_audit(entries json) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry json;
    last_seq bigint;
    last_hash bytea;
    moment timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('recon: audit'));
    SELECT seq, hash INTO last_seq, last_hash FROM public.audit_logs ORDER BY seq DESC LIMIT 1;
    last_seq := coalesce(last_seq, 0);
    last_hash := coalesce(last_hash, ''::bytea);
    FOR entry IN SELECT value FROM json_array_elements(entries) AS element (value) LOOP
        last_seq := last_seq + 1;
        moment := clock_timestamp();
        INSERT INTO public.audit_logs
            (seq, at, actor, role, action, object, outcome, address, session, request_id, detail, previous_hash, hash)
        VALUES (
            last_seq, moment, entry ->> 'actor', entry ->> 'role', entry ->> 'action', entry ->> 'object', entry ->> 'outcome',
            entry ->> 'address', entry ->> 'session', entry ->> 'request_id', entry -> 'detail', last_hash,
            sha256(
                last_hash || public.audit_part(last_seq::text) || public.audit_part((extract(epoch FROM moment) * 1000000)::bigint::text)
                || public.audit_part(entry ->> 'actor') || public.audit_part(entry ->> 'role') || public.audit_part(entry ->> 'action')
                || public.audit_part(entry ->> 'object') || public.audit_part(entry ->> 'outcome')
                || public.audit_part(entry ->> 'address') || public.audit_part(entry ->> 'session')
                || public.audit_part(entry ->> 'request_id') || public.audit_part((entry -> 'detail')::text)
            )
        ) RETURNING hash INTO last_hash;
    END LOOP;
    RETURN last_seq;
END $$;

REVOKE ALL ON FUNCTION append_audit(json) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION append_audit(json) TO recon_web;

-- What each verification of the chain found, and where the chain ended then: an end that was cut off later is told by it. Append-only.
CREATE TABLE audit_verifications (
    verification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    examined bigint NOT NULL, -- entries
    last_seq bigint NOT NULL, -- of the last entry; 0 where there was none
    last_hash bytea NOT NULL,
    faults bigint NOT NULL,
    examples json NOT NULL -- the first faults: [{"seq": 1, "what": "..."}]
);

CREATE INDEX audit_verifications_held ON audit_verifications (last_seq) WHERE faults = 0;

CREATE TRIGGER audit_verifications_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_verifications
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

GRANT SELECT, INSERT ON result_revisions TO recon_sink;
GRANT SELECT, INSERT, UPDATE, DELETE ON verdict_rollups, break_rollups TO recon_sink;
GRANT SELECT, INSERT, UPDATE ON accounting TO recon_sink;
GRANT SELECT, INSERT ON dead_letter_actions TO recon_web;
GRANT UPDATE (done_at, sent_partition, sent_offset) ON dead_letter_actions TO recon_web;
GRANT SELECT, INSERT ON audit_verifications TO recon_web;
GRANT SELECT ON
    result_revisions, verdict_rollups, break_rollups, accounting, dead_letter_actions, audit_logs, audit_verifications
TO recon_reader, recon_web;
GRANT SELECT ON result_conflicts, reconciliation_results, breaks, raw_events TO recon_sink;
