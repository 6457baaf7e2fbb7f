-- What the API reads of dead letters, of the audit trail and for reports, as in reading.sql.

-- list_dead_letters --
-- Of key and value the beginning. What was done last, and is known to have been done, is the state.
SELECT
    d.topic, d.partition, d.kafka_offset, d.reason, left(d.detail, 300) AS detail, d.schema_id, done.action,
    substring(d.key FOR %(head)s::integer) AS key_head, octet_length(d.key) AS key_bytes,
    substring(d.value FOR %(head)s::integer) AS value_head, octet_length(d.value) AS value_bytes,
    (extract(epoch FROM d.kafka_timestamp) * 1000)::bigint AS kafka_timestamp_ms,
    (extract(epoch FROM d.failed_at) * 1000)::bigint AS failed_at_ms
FROM dead_letters d
LEFT JOIN LATERAL (
    SELECT a.action FROM dead_letter_actions a
    WHERE a.topic = d.topic AND a.partition = d.partition AND a.kafka_offset = d.kafka_offset AND a.done_at IS NOT NULL
    ORDER BY a.action_id DESC
    LIMIT 1
) done ON true
WHERE
    (%(reasons)s::text[] IS NULL OR d.reason = ANY (%(reasons)s))
    AND (%(topics)s::text[] IS NULL OR d.topic = ANY (%(topics)s))
    AND (%(actions)s::text[] IS NULL OR coalesce(done.action, '') = ANY (%(actions)s))
    AND (%(since)s::timestamptz IS NULL OR d.failed_at >= %(since)s)
    AND (%(before)s::timestamptz IS NULL OR d.failed_at < %(before)s)
    AND {after}
ORDER BY {order}
LIMIT %(limit)s

-- dead_letter_reasons --
SELECT d.reason, done.action, count(*) AS letters
FROM dead_letters d
LEFT JOIN (
    SELECT DISTINCT ON (topic, partition, kafka_offset) topic, partition, kafka_offset, action
    FROM dead_letter_actions
    WHERE done_at IS NOT NULL
    ORDER BY topic, partition, kafka_offset, action_id DESC
) done USING (topic, partition, kafka_offset)
GROUP BY d.reason, done.action
ORDER BY d.reason, done.action NULLS FIRST

-- dead_letter_counts --
-- Whatever was done with them since.
SELECT topic, reason, count(*) AS letters
FROM dead_letters
WHERE failed_at >= %(since)s AND failed_at < %(before)s
GROUP BY topic, reason
ORDER BY topic, reason

-- dead_letters_reached --
-- How far letters have been stored, and what has been done with them: what counts of them depend on.
SELECT
    (SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets WHERE topic = %(topic)s) AS letters,
    (SELECT coalesce(max(action_id), 0) FROM dead_letter_actions) AS asked,
    (SELECT count(*) FROM dead_letter_actions WHERE done_at IS NULL) AS undone

-- dead_letter --
-- The bytes from the archive where it has the record: of a very large one, the letter has a part only.
SELECT
    d.topic, d.partition, d.kafka_offset, d.reason, d.detail, d.schema_id, d.letter_partition, d.letter_offset,
    r.topic IS NOT NULL AS is_archived,
    CASE WHEN r.topic IS NULL THEN d.key ELSE r.key END AS key,
    CASE WHEN r.topic IS NULL THEN d.value ELSE r.value END AS value,
    (extract(epoch FROM d.kafka_timestamp) * 1000)::bigint AS kafka_timestamp_ms,
    (extract(epoch FROM d.failed_at) * 1000)::bigint AS failed_at_ms
FROM dead_letters d
LEFT JOIN raw_events r ON
    r.kafka_day = (d.kafka_timestamp AT TIME ZONE 'UTC')::date
    AND r.topic = d.topic AND r.partition = d.partition AND r.kafka_offset = d.kafka_offset
WHERE d.topic = %(topic)s AND d.partition = %(partition)s AND d.kafka_offset = %(offset)s

-- dead_letter_history --
SELECT
    action, request_key, actor, comment, sent_partition, sent_offset,
    (extract(epoch FROM asked_at) * 1000)::bigint AS asked_at_ms, (extract(epoch FROM done_at) * 1000)::bigint AS done_at_ms
FROM dead_letter_actions
WHERE topic = %(topic)s AND partition = %(partition)s AND kafka_offset = %(offset)s
ORDER BY action_id
LIMIT %(limit)s

-- list_audit --
SELECT
    seq, actor, role, action, object, outcome, address, session, request_id, detail::text AS detail, previous_hash, hash,
    CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::bigint ELSE 0 END AS at_us
FROM audit_logs
WHERE
    (%(actor)s::text IS NULL OR actor = %(actor)s)
    AND (%(actions)s::text[] IS NULL OR action = ANY (%(actions)s))
    AND (%(object)s::text IS NULL OR (object >= %(object)s AND object < %(object_end)s))
    AND (%(outcomes)s::text[] IS NULL OR outcome = ANY (%(outcomes)s))
    AND (%(address)s::text IS NULL OR address = %(address)s)
    AND (%(request_id)s::text IS NULL OR request_id = %(request_id)s)
    AND (%(since)s::timestamptz IS NULL OR at >= %(since)s)
    AND (%(before)s::timestamptz IS NULL OR at < %(before)s)
    AND {after}
ORDER BY {order}
LIMIT %(limit)s

-- audit_chain --
-- The chain in order; the first page begins below every number that there can be.
SELECT
    seq, CASE WHEN isfinite(at) THEN (extract(epoch FROM at) * 1000000)::bigint ELSE 0 END AS at_us,
    actor, role, action, object, outcome, address, session, request_id, detail::text AS detail, previous_hash, hash
FROM audit_logs
WHERE seq > %(after)s
ORDER BY seq
LIMIT %(limit)s

-- audit_size --
SELECT count(*) AS entries, coalesce(max(seq), 0) AS last_seq FROM audit_logs

-- audit_end --
SELECT coalesce(max(seq), 0) AS last_seq FROM audit_logs

-- last_audit --
SELECT seq AS last_seq, hash AS last_hash FROM audit_logs ORDER BY seq DESC LIMIT 1

-- last_audit_verification --
SELECT
    examined, last_seq, last_hash, faults, examples, (extract(epoch FROM at) * 1000)::bigint AS at_ms
FROM audit_verifications
ORDER BY verification_id DESC
LIMIT 1

-- remembered_audit_end --
-- The furthest end that a verification without faults has seen: one that found faults must not become what the next is measured by.
SELECT last_seq, last_hash FROM audit_verifications WHERE faults = 0 ORDER BY last_seq DESC, verification_id LIMIT 1

-- day_reached --
-- A partition has got beyond the end of a day when a decision of later is counted in it; one that is dated in time to come tells nothing.
SELECT
    (extract(epoch FROM now()) * 1000)::bigint AS read_at_ms,
    coalesce((
        SELECT bool_and(EXISTS (
            SELECT FROM verdict_rollups r
            WHERE r.width = %(width)s AND r.bucket >= %(before)s AND r.bucket <= now() AND r.partition = o.partition
        ))
        FROM sink_offsets o
        WHERE o.topic = %(topic)s
    ), false) AS is_passed
