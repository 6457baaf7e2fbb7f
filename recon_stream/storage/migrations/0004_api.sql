-- What people read by the API, what they do there, and what the sink keeps for both.

-- The web role's own, made like the others (see 0001).
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'recon_web') THEN
        CREATE ROLE recon_web NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
    NULL; -- another database of this cluster is being migrated at the same moment
END $$;

GRANT USAGE ON SCHEMA public TO recon_web;
GRANT SELECT ON
    raw_events, dead_letters, sink_offsets, raw_event_outcomes, reconciliation_results, breaks, break_events, result_conflicts
TO recon_web;

-- What a transaction can be found by, beside its id: 'class:', 'subject:' and 'severity:' of its open breaks, 'account:' of its
-- legs, 'id:' of their event ids and references.
ALTER TABLE reconciliation_results ADD COLUMN tags text[] NOT NULL DEFAULT '{}';

CREATE INDEX reconciliation_results_decided ON reconciliation_results (decided_at, txn_id);
CREATE INDEX reconciliation_results_amount ON reconciliation_results (currency, amount_minor, txn_id);
CREATE INDEX reconciliation_results_tags ON reconciliation_results USING gin (tags);

-- The money that a break puts at risk: the difference where that is an amount, else the transaction's amount, in minor
-- units of its currency; null where the transaction has no leg. Follows corrections also where the break does not move.
ALTER TABLE breaks ADD COLUMN currency text;
ALTER TABLE breaks ADD COLUMN at_risk_minor bigint;

CREATE INDEX break_events_txn ON break_events (txn_id, revision, break_id);
CREATE INDEX breaks_opened ON breaks (state, opened_at, break_id);
CREATE INDEX breaks_at_risk ON breaks (state, currency, at_risk_minor, break_id);

GRANT INSERT (currency, at_risk_minor), UPDATE (currency, at_risk_minor) ON breaks TO recon_sink;

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

-- The audit trail: from now on by the function alone, which sees to it that the chain has no gap and no fork.
ALTER TABLE audit_logs ALTER COLUMN detail TYPE json; -- as it was written, byte for byte: the hash is over it
ALTER TABLE audit_logs ADD COLUMN outcome text NOT NULL;
ALTER TABLE audit_logs ADD COLUMN role text NOT NULL;
ALTER TABLE audit_logs ADD COLUMN address text NOT NULL;
ALTER TABLE audit_logs ADD COLUMN session text NOT NULL;
ALTER TABLE audit_logs ADD COLUMN request_id text NOT NULL;
ALTER TABLE audit_logs ADD CONSTRAINT audit_logs_outcome CHECK (outcome IN ('ALLOWED', 'DENIED', 'FAILED'));

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

-- What stands here already is counted as the sink would have.
INSERT INTO result_revisions (txn_id, revision, verdict, primary_class, legs, rules_version, decided_at, partition, kafka_offset)
SELECT txn_id, revision, verdict, primary_class, jsonb_array_length(body -> 'legs'), rules_version, decided_at, partition, kafka_offset
FROM reconciliation_results;

-- Cut as the sink cuts identifiers that an index could not hold.
UPDATE reconciliation_results AS r SET tags = ARRAY(
    SELECT DISTINCT
        CASE WHEN octet_length(tag) > 512 THEN left(tag, 100) || '…' || encode(sha256(convert_to(tag, 'UTF8')), 'hex') ELSE tag END
        AS tag
    FROM (
        SELECT unnest(ARRAY['class:' || b.class, 'subject:' || b.subject, 'severity:' || b.severity]) AS tag
        FROM breaks b WHERE b.txn_id = r.txn_id AND b.state = 'OPEN'
        UNION ALL
        SELECT unnest(ARRAY['account:' || (leg ->> 'account'), 'id:' || (leg ->> 'event_id'), 'id:' || nullif(leg ->> 'reference', '')])
        FROM jsonb_array_elements(r.body -> 'legs') AS leg
    ) AS found WHERE tag IS NOT NULL ORDER BY tag
);

UPDATE breaks AS b SET
    currency = r.currency,
    at_risk_minor = coalesce(CASE WHEN b.class = 'AMOUNT_MISMATCH' THEN abs(b.delta_minor) END, r.amount_minor)
FROM reconciliation_results r WHERE r.txn_id = b.txn_id;

INSERT INTO verdict_rollups (width, bucket, partition, verdict, currency, transactions, amount_minor)
SELECT
    w.width, date_bin(w.width * interval '1 second', decided_at, 'epoch'), partition, verdict, coalesce(currency, ''),
    count(*), coalesce(sum(amount_minor), 0)
FROM reconciliation_results, (VALUES (60, interval '3 hours'), (600, interval '3 days'), (3600, NULL)) AS w (width, kept)
WHERE w.kept IS NULL OR decided_at > now() - w.kept
GROUP BY 1, 2, 3, 4, 5;

INSERT INTO break_rollups (width, bucket, partition, class, subject, severity, state, currency, breaks, at_risk_minor)
SELECT
    w.width, date_bin(w.width * interval '1 second', b.opened_at, 'epoch'), r.partition, b.class, b.subject, b.severity, b.state,
    coalesce(b.currency, ''), count(*), coalesce(sum(b.at_risk_minor), 0)
FROM breaks b JOIN reconciliation_results r USING (txn_id),
    (VALUES (60, interval '3 hours'), (600, interval '3 days'), (3600, NULL)) AS w (width, kept)
WHERE w.kept IS NULL OR b.opened_at > now() - w.kept
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
