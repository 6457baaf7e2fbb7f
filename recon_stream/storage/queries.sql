-- Every statement of the product, in named blocks: `-- name --`, then lines that say what it does, then the statement.

-- lock_offsets --
-- Locks the bookkeeping rows of these partitions until the end of the transaction, in one order for all writers, and makes those that
-- are missing: one writer a partition at a time, whoever thinks it owns it. The update changes nothing but locks and returns
-- the newest row; SELECT … FOR UPDATE over a list may miss rows that another writer has just moved on.
INSERT INTO sink_offsets AS stored (topic, partition, next_offset)
SELECT topic, partition, 0
FROM unnest(%(topics)s::text[], %(partitions)s::integer[]) AS wanted (topic, partition)
ORDER BY topic, partition
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = stored.next_offset
RETURNING topic, partition, next_offset

-- save_offsets --
-- Moves the bookkeeping on, never back.
UPDATE sink_offsets AS stored
SET next_offset = greatest(stored.next_offset, reached.next_offset), updated_at = now()
FROM unnest(%(topics)s::text[], %(partitions)s::integer[], %(next_offsets)s::bigint[]) AS reached (topic, partition, next_offset)
WHERE stored.topic = reached.topic AND stored.partition = reached.partition

-- ensure_days --
-- Partitions for these days; the days that have one of their own come back.
SELECT ensure_raw_events_days(%(days)s::date[])

-- copy_raw_events --
COPY raw_events (
    kafka_day, topic, partition, kafka_offset, kafka_timestamp, key, value, schema_id, txn_id, source, event_id, revision,
    amount_minor, currency, content_digest, status
) FROM STDIN (FORMAT BINARY)

-- stored_raw_events --
-- What is stored at the coordinates of records that were read again.
SELECT stored.topic, stored.partition, stored.kafka_offset, stored.value
FROM unnest(%(days)s::date[], %(topics)s::text[], %(partitions)s::integer[], %(offsets)s::bigint[])
    AS again (kafka_day, topic, partition, kafka_offset)
JOIN raw_events AS stored USING (kafka_day, topic, partition, kafka_offset)

-- stored_results --
SELECT txn_id, revision, revision_digests, partition, decided_at, verdict, coalesce(currency, ''), coalesce(amount_minor, 0)
FROM reconciliation_results
WHERE txn_id = ANY (%(txn_ids)s)

-- stored_breaks --
SELECT
    break_id, txn_id, class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, opened_at,
    resolved_at, revision, reopen_count, currency, at_risk_minor
FROM breaks
WHERE txn_id = ANY (%(txn_ids)s)

-- save_results --
-- Takes newer revisions; the condition holds for every row by now and is the last line of defence.
INSERT INTO reconciliation_results AS stored (
    txn_id, revision, result_id, verdict, primary_class, amount_minor, currency, rules_version, decided_at, body, partition,
    kafka_offset, revision_digests, tags, open_breaks
)
SELECT
    txn_id, revision, result_id, verdict, primary_class, amount_minor, currency, rules_version, decided_at, body, partition,
    kafka_offset, decode(revision_digests, 'hex'), tags, open_breaks
FROM jsonb_to_recordset(%(rows)s) AS newer (
    txn_id text, revision integer, result_id text, verdict text, primary_class text, amount_minor bigint, currency text,
    rules_version text, decided_at timestamptz, body jsonb, partition integer, kafka_offset bigint, revision_digests text,
    tags text[], open_breaks text[]
)
ORDER BY txn_id
ON CONFLICT (txn_id) DO UPDATE SET
    revision = excluded.revision, result_id = excluded.result_id, verdict = excluded.verdict,
    primary_class = excluded.primary_class, amount_minor = excluded.amount_minor, currency = excluded.currency,
    rules_version = excluded.rules_version, decided_at = excluded.decided_at, body = excluded.body,
    partition = excluded.partition, kafka_offset = excluded.kafka_offset, revision_digests = excluded.revision_digests,
    tags = excluded.tags, open_breaks = excluded.open_breaks
WHERE stored.revision < excluded.revision

-- save_breaks --
-- The columns that people own are not named here, and the role of the sink could not write them.
INSERT INTO breaks (
    break_id, txn_id, class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, opened_at,
    resolved_at, revision, reopen_count, currency, at_risk_minor
)
SELECT
    break_id, txn_id, break_class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, opened_at,
    resolved_at, revision, reopen_count, currency, at_risk_minor
FROM jsonb_to_recordset(%(rows)s) AS moved (
    break_id text, txn_id text, break_class text, subtype text, subject text, field text, expected text, actual text, delta_minor bigint,
    severity text, state text, resolution text, opened_at timestamptz, resolved_at timestamptz, revision integer,
    reopen_count integer, currency text, at_risk_minor bigint
)
ORDER BY break_id
ON CONFLICT (break_id) DO UPDATE SET
    subtype = excluded.subtype, subject = excluded.subject, field = excluded.field, expected = excluded.expected,
    actual = excluded.actual, delta_minor = excluded.delta_minor, severity = excluded.severity, state = excluded.state,
    resolution = excluded.resolution, resolved_at = excluded.resolved_at, revision = excluded.revision,
    reopen_count = excluded.reopen_count, currency = excluded.currency, at_risk_minor = excluded.at_risk_minor

-- save_break_events --
INSERT INTO break_events (
    break_id, revision, txn_id, move, at, subtype, subject, field, expected, actual, delta_minor, severity, resolution
)
SELECT break_id, revision, txn_id, move, at, subtype, subject, field, expected, actual, delta_minor, severity, resolution
FROM jsonb_to_recordset(%(rows)s) AS moves (
    break_id text, revision integer, txn_id text, move text, at timestamptz, subtype text, subject text, field text,
    expected text, actual text, delta_minor bigint, severity text, resolution text
)
ORDER BY break_id, revision
ON CONFLICT DO NOTHING

-- save_revisions --
INSERT INTO result_revisions (
    txn_id, revision, verdict, primary_class, legs, rules_version, decided_at, partition, kafka_offset
)
SELECT txn_id, revision, verdict, primary_class, legs, rules_version, decided_at, partition, kafka_offset
FROM jsonb_to_recordset(%(rows)s) AS newer (
    txn_id text, revision integer, verdict text, primary_class text, legs smallint, rules_version text, decided_at timestamptz,
    partition integer, kafka_offset bigint
)
ON CONFLICT DO NOTHING

-- save_verdict_rollups --
-- Adds to the buckets of each width; those that are too old for theirs are neither raised nor lowered any more.
INSERT INTO verdict_rollups AS kept (width, bucket, partition, verdict, currency, transactions, amount_minor)
SELECT w.width, w.bucket, partition, verdict, currency, sum(number)::bigint, sum(amount_minor)
FROM jsonb_to_recordset(%(rows)s) AS added (
    at timestamptz, partition integer, verdict text, currency text, number bigint, amount_minor numeric
), LATERAL (
    SELECT width, date_bin(width * interval '1 second', at, 'epoch'), kept
    FROM (VALUES (60, interval '3 hours'), (600, interval '3 days'), (3600, NULL)) AS widths (width, kept)
) AS w (width, bucket, kept)
WHERE w.kept IS NULL OR w.bucket > now() - w.kept
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2, 3, 4, 5
ON CONFLICT (width, bucket, partition, verdict, currency) DO UPDATE SET
    transactions = kept.transactions + excluded.transactions, amount_minor = kept.amount_minor + excluded.amount_minor

-- save_break_rollups --
-- The same for breaks.
INSERT INTO break_rollups AS kept (
    width, bucket, partition, class, subject, severity, state, currency, breaks, at_risk_minor
)
SELECT w.width, w.bucket, partition, break_class, subject, severity, state, currency, sum(number)::bigint, sum(amount_minor)
FROM jsonb_to_recordset(%(rows)s) AS added (
    at timestamptz, partition integer, break_class text, subject text, severity text, state text, currency text, number bigint,
    amount_minor numeric
), LATERAL (
    SELECT width, date_bin(width * interval '1 second', at, 'epoch'), kept
    FROM (VALUES (60, interval '3 hours'), (600, interval '3 days'), (3600, NULL)) AS widths (width, kept)
) AS w (width, bucket, kept)
WHERE w.kept IS NULL OR w.bucket > now() - w.kept
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
ORDER BY 1, 2, 3, 4, 5, 6, 7, 8
ON CONFLICT (width, bucket, partition, class, subject, severity, state, currency) DO UPDATE SET
    breaks = kept.breaks + excluded.breaks, at_risk_minor = kept.at_risk_minor + excluded.at_risk_minor

-- save_conflict --
INSERT INTO result_conflicts (
    topic, partition, kafka_offset, kafka_timestamp, reason, txn_id, revision, stored_revision, value
)
VALUES (
    %(topic)s, %(partition)s, %(kafka_offset)s, %(kafka_timestamp)s, %(reason)s, %(txn_id)s, %(revision)s, %(stored_revision)s,
    %(value)s
)
ON CONFLICT DO NOTHING

-- save_dead_letter --
-- The first letter about a record stands.
INSERT INTO dead_letters (
    topic, partition, kafka_offset, kafka_timestamp, key, value, reason, detail, schema_id, failed_at, letter_partition,
    letter_offset
)
VALUES (
    %(topic)s, %(partition)s, %(kafka_offset)s, %(kafka_timestamp)s, %(key)s, %(value)s, %(reason)s, %(detail)s, %(schema_id)s,
    %(failed_at)s, %(letter_partition)s, %(letter_offset)s
)
ON CONFLICT DO NOTHING

-- begin_accounting --
-- One process at a time, and none where another has just been at it.
SELECT
    pg_try_advisory_xact_lock(hashtext('recon: accounting'))
    AND coalesce((SELECT max(checked_at) < now() - interval '30 seconds' FROM accounting), true),
    (extract(epoch FROM now()) * 1000)::bigint

-- last_accounting --
SELECT name, violations, detail, (extract(epoch FROM checked_at) * 1000)::bigint FROM accounting

-- all_sink_offsets --
SELECT topic, partition, next_offset FROM sink_offsets ORDER BY topic, partition

-- first_raw_event --
-- Of the earliest day: where the archive of a partition begins.
SELECT kafka_offset FROM raw_events
WHERE topic = %(topic)s AND partition = %(partition)s
ORDER BY kafka_day, kafka_offset
LIMIT 1

-- raw_event_gaps --
-- Offsets from `since` to before `before` that have no row, as spans; the first hundred.
SELECT first_missing, next_known - first_missing
FROM (
    SELECT
        kafka_offset AS next_known,
        lag(kafka_offset, 1, %(since)s::bigint - 1) OVER (ORDER BY kafka_offset) + 1 AS first_missing
    FROM (
        SELECT kafka_offset FROM raw_events
        WHERE topic = %(topic)s AND partition = %(partition)s AND kafka_offset >= %(since)s AND kafka_offset < %(before)s
        UNION ALL
        SELECT %(before)s::bigint
    ) AS known
) AS steps
WHERE next_known > first_missing
ORDER BY first_missing
LIMIT 100

-- check_stored_results --
-- Live verdicts decided since, that lack their revision or contradict their breaks.
WITH recent AS (
    SELECT txn_id, revision, verdict FROM reconciliation_results WHERE decided_at >= %(since)s
), wrong AS (
    SELECT r.txn_id || ': revision ' || r.revision || ' is not in result_revisions' AS what
    FROM recent r
    WHERE NOT EXISTS (SELECT FROM result_revisions v WHERE v.txn_id = r.txn_id AND v.revision = r.revision)
    UNION ALL
    SELECT r.txn_id || ' is ' || r.verdict || CASE WHEN r.verdict = 'BROKEN' THEN ' without' ELSE ' with' END || ' an open break'
    FROM recent r
    WHERE (r.verdict = 'BROKEN') <> EXISTS (SELECT FROM breaks b WHERE b.txn_id = r.txn_id AND b.state = 'OPEN')
)
SELECT (SELECT count(*) FROM recent), (SELECT count(*) FROM wrong), ARRAY(SELECT what FROM wrong LIMIT 10)

-- check_verdict_rollups --
WITH counted AS (
    SELECT
        date_bin(interval '1 hour', decided_at, 'epoch') AS bucket, partition, verdict, coalesce(currency, '') AS currency,
        count(*) AS number, coalesce(sum(amount_minor), 0) AS amount_minor
    FROM reconciliation_results
    WHERE decided_at >= %(since)s
    GROUP BY 1, 2, 3, 4
), kept AS (
    SELECT bucket, partition, verdict, currency, transactions, amount_minor
    FROM verdict_rollups
    WHERE width = 3600 AND bucket >= %(since)s AND (transactions <> 0 OR amount_minor <> 0)
), wrong AS (
    SELECT 'counted, not kept' AS what, * FROM (TABLE counted EXCEPT ALL TABLE kept) AS c
    UNION ALL
    SELECT 'kept, not counted', * FROM (TABLE kept EXCEPT ALL TABLE counted) AS k
)
SELECT
    (SELECT coalesce(sum(number), 0)::bigint FROM counted), (SELECT count(*) FROM wrong),
    ARRAY(SELECT format('%%s: %%s[%%s] %%s %%s %%s', what, bucket, partition, number, verdict, currency) FROM wrong LIMIT 10)

-- check_break_rollups --
WITH counted AS (
    SELECT
        date_bin(interval '1 hour', b.opened_at, 'epoch') AS bucket, r.partition, class, subject, severity, state,
        coalesce(b.currency, '') AS currency, count(*) AS number, coalesce(sum(at_risk_minor), 0) AS at_risk_minor
    FROM breaks b JOIN reconciliation_results r USING (txn_id)
    WHERE b.state IN ('OPEN', 'RESOLVED') AND b.opened_at >= %(since)s
    GROUP BY 1, 2, 3, 4, 5, 6, 7
), kept AS (
    SELECT bucket, partition, class, subject, severity, state, currency, breaks, at_risk_minor
    FROM break_rollups
    WHERE width = 3600 AND bucket >= %(since)s AND (breaks <> 0 OR at_risk_minor <> 0)
), wrong AS (
    SELECT 'counted, not kept' AS what, * FROM (TABLE counted EXCEPT ALL TABLE kept) AS c
    UNION ALL
    SELECT 'kept, not counted', * FROM (TABLE kept EXCEPT ALL TABLE counted) AS k
)
SELECT
    (SELECT coalesce(sum(number), 0)::bigint FROM counted), (SELECT count(*) FROM wrong),
    ARRAY(SELECT format('%%s: %%s[%%s] %%s %%s %%s', what, bucket, partition, number, class, state) FROM wrong LIMIT 10)

-- check_dead_letters --
-- Letters that came since, about records which the archive has passed without keeping them.
WITH recent AS (
    SELECT d.topic, d.partition, d.kafka_offset, d.kafka_timestamp
    FROM dead_letters d JOIN sink_offsets o USING (topic, partition)
    WHERE d.failed_at >= %(since)s AND d.topic = ANY (%(sources)s::text[]) AND d.kafka_offset < o.next_offset
), wrong AS (
    SELECT topic || '[' || partition || ']@' || kafka_offset || ' is a dead letter and not in raw_events' AS what
    FROM recent d
    WHERE NOT EXISTS (
        SELECT FROM raw_events r
        WHERE r.kafka_day = (d.kafka_timestamp AT TIME ZONE 'UTC')::date AND r.topic = d.topic AND r.partition = d.partition
            AND r.kafka_offset = d.kafka_offset
    )
)
SELECT (SELECT count(*) FROM recent), (SELECT count(*) FROM wrong), ARRAY(SELECT what FROM wrong LIMIT 10)

-- check_conflicts --
WITH recent AS (
    SELECT topic || '[' || partition || ']@' || kafka_offset || ': ' || reason || coalesce(' of ' || txn_id, '') AS what
    FROM result_conflicts
    WHERE noticed_at >= now() - interval '1 day'
)
SELECT (SELECT count(*) FROM recent), (SELECT count(*) FROM recent), ARRAY(SELECT what FROM recent LIMIT 10)

-- save_accounting --
INSERT INTO accounting AS stored (name, title, checked_at, examined, violations, detail, held_at)
SELECT name, title, now(), examined, violations, detail, CASE WHEN violations = 0 THEN now() END
FROM jsonb_to_recordset(%(rows)s) AS found (name text, title text, examined bigint, violations bigint, detail jsonb)
ON CONFLICT (name) DO UPDATE SET
    title = excluded.title, checked_at = excluded.checked_at, examined = excluded.examined, violations = excluded.violations,
    detail = excluded.detail, held_at = coalesce(excluded.held_at, stored.held_at)

-- delete_old_verdict_rollups --
-- Some minutes after the last transaction that may write there has ended.
DELETE FROM verdict_rollups
WHERE (width = 60 AND bucket < now() - interval '190 minutes') OR (width = 600 AND bucket < now() - interval '73 hours')

-- delete_old_break_rollups --
DELETE FROM break_rollups
WHERE (width = 60 AND bucket < now() - interval '190 minutes') OR (width = 600 AND bucket < now() - interval '73 hours')

-- lock_migrations --
-- One migration at a time on a database; held until the connection closes.
SELECT pg_advisory_lock(hashtext('recon: migrations'))

-- make_migrations_table --
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- migrations_table --
SELECT to_regclass('schema_migrations')

-- applied_migrations --
SELECT name, checksum FROM schema_migrations ORDER BY name

-- record_migration --
INSERT INTO schema_migrations (name, checksum) VALUES (%(name)s, %(checksum)s)

-- append_audit --
SELECT append_audit(%(entries)s::json)

-- save_audit_verification --
INSERT INTO audit_verifications (examined, last_seq, last_hash, faults, examples)
VALUES (%(examined)s, %(last_seq)s, %(last_hash)s, %(faults)s, %(examples)s::json)

-- lock_dead_letter_actions --
-- One request at a time decides what it does: so no two do the same under different names. Held until the end of the transaction.
SELECT pg_advisory_xact_lock(hashtext('recon: dead letter actions'))

-- asked_dead_letter --
-- What is known of a letter: the row of this request, if it was made already, and the latest of another one.
SELECT
    coalesce(r.key, r.value) IS NOT NULL AS is_sendable, own.action AS own_action, own.done_at IS NOT NULL AS is_done,
    own.sent_partition, own.sent_offset, other.action AS other_action
FROM dead_letters d
LEFT JOIN raw_events r ON
    r.kafka_day = (d.kafka_timestamp AT TIME ZONE 'UTC')::date
    AND r.topic = d.topic AND r.partition = d.partition AND r.kafka_offset = d.kafka_offset
LEFT JOIN dead_letter_actions own ON
    own.topic = d.topic AND own.partition = d.partition AND own.kafka_offset = d.kafka_offset
    AND own.request_key = %(request_key)s
LEFT JOIN LATERAL (
    SELECT a.action FROM dead_letter_actions a
    WHERE
        a.topic = d.topic AND a.partition = d.partition AND a.kafka_offset = d.kafka_offset
        AND a.request_key <> %(request_key)s
    ORDER BY a.action_id DESC
    LIMIT 1
) other ON true
WHERE d.topic = %(topic)s AND d.partition = %(partition)s AND d.kafka_offset = %(offset)s

-- save_dead_letter_action --
INSERT INTO dead_letter_actions (topic, partition, kafka_offset, action, request_key, actor, comment, done_at)
VALUES (
    %(topic)s, %(partition)s, %(offset)s, %(action)s, %(request_key)s, %(actor)s, %(comment)s,
    CASE WHEN %(action)s::text = 'DISCARD' THEN now() END
)

-- due_replay --
-- The bytes to be sent; whoever sends them under the same name waits here for the outcome. Nothing where it has been sent.
SELECT a.action_id, r.key, r.value
FROM dead_letter_actions a
JOIN dead_letters d USING (topic, partition, kafka_offset)
JOIN raw_events r ON
    r.kafka_day = (d.kafka_timestamp AT TIME ZONE 'UTC')::date
    AND r.topic = d.topic AND r.partition = d.partition AND r.kafka_offset = d.kafka_offset
WHERE
    a.topic = %(topic)s AND a.partition = %(partition)s AND a.kafka_offset = %(offset)s AND a.request_key = %(request_key)s
    AND a.done_at IS NULL
FOR UPDATE OF a

-- save_replayed --
UPDATE dead_letter_actions
SET done_at = now(), sent_partition = %(sent_partition)s, sent_offset = %(sent_offset)s
WHERE action_id = %(action_id)s
