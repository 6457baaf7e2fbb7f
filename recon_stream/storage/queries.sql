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
SELECT txn_id, revision, revision_digests FROM reconciliation_results WHERE txn_id = ANY (%(txn_ids)s)

-- stored_breaks --
SELECT
    break_id, txn_id, class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, opened_at,
    resolved_at, revision, reopen_count
FROM breaks
WHERE txn_id = ANY (%(txn_ids)s)

-- save_results --
-- Takes newer revisions; the condition holds for every row by now and is the last line of defence.
INSERT INTO reconciliation_results AS stored (
    txn_id, revision, result_id, verdict, primary_class, amount_minor, currency, rules_version, decided_at, body, partition,
    kafka_offset, revision_digests
)
SELECT
    txn_id, revision, result_id, verdict, primary_class, amount_minor, currency, rules_version, decided_at, body, partition,
    kafka_offset, decode(revision_digests, 'hex')
FROM jsonb_to_recordset(%(rows)s) AS newer (
    txn_id text, revision integer, result_id text, verdict text, primary_class text, amount_minor bigint, currency text,
    rules_version text, decided_at timestamptz, body jsonb, partition integer, kafka_offset bigint, revision_digests text
)
ORDER BY txn_id
ON CONFLICT (txn_id) DO UPDATE SET
    revision = excluded.revision, result_id = excluded.result_id, verdict = excluded.verdict,
    primary_class = excluded.primary_class, amount_minor = excluded.amount_minor, currency = excluded.currency,
    rules_version = excluded.rules_version, decided_at = excluded.decided_at, body = excluded.body,
    partition = excluded.partition, kafka_offset = excluded.kafka_offset, revision_digests = excluded.revision_digests
WHERE stored.revision < excluded.revision

-- save_breaks --
-- The columns that people own are not named here, and the role of the sink could not write them.
INSERT INTO breaks (
    break_id, txn_id, class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, opened_at,
    resolved_at, revision, reopen_count
)
SELECT
    break_id, txn_id, break_class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, opened_at,
    resolved_at, revision, reopen_count
FROM jsonb_to_recordset(%(rows)s) AS moved (
    break_id text, txn_id text, break_class text, subtype text, subject text, field text, expected text, actual text, delta_minor bigint,
    severity text, state text, resolution text, opened_at timestamptz, resolved_at timestamptz, revision integer,
    reopen_count integer
)
ORDER BY break_id
ON CONFLICT (break_id) DO UPDATE SET
    subtype = excluded.subtype, subject = excluded.subject, field = excluded.field, expected = excluded.expected,
    actual = excluded.actual, delta_minor = excluded.delta_minor, severity = excluded.severity, state = excluded.state,
    resolution = excluded.resolution, resolved_at = excluded.resolved_at, revision = excluded.revision,
    reopen_count = excluded.reopen_count

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
