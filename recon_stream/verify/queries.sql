-- What `recon-stream verify` asks the database, as recon_reader. `ends` are those of the source topics when it began: what is
-- beyond them came later and is left to the next verification.

-- raw_events_between --
SELECT kafka_offset, kafka_timestamp, key, value IS NULL, sha256(value), schema_id, status, txn_id, source, event_id, revision, amount_minor, currency
FROM raw_events
WHERE topic = %(topic)s AND partition = %(partition)s AND kafka_offset >= %(since)s AND kafka_offset < %(before)s
ORDER BY kafka_offset, kafka_day

-- dead_letters_of --
SELECT topic, kafka_offset, reason
FROM dead_letters
WHERE topic = ANY (%(topics)s::text[]) AND partition = %(partition)s

-- accepted_twice --
-- Events with more than one accepted record, and how many events were looked at.
WITH events AS (
    SELECT txn_id, source, event_id, revision, count(*) AS copies, min(topic || '[' || partition || ']@' || kafka_offset) AS place
    FROM raw_event_outcomes
    WHERE outcome = 'ACCEPTED'
    GROUP BY txn_id, source, event_id, revision
)
SELECT txn_id, source, event_id, revision, copies, place, total
FROM (SELECT count(*) AS total FROM events) AS counted
LEFT JOIN (SELECT * FROM events WHERE copies > 1 LIMIT 1000) AS twice ON true

-- legs_of_unaccepted_records --
-- Legs of live verdicts that name a record which was not accepted for just that event, and how many legs were looked at.
WITH legs AS (
    SELECT
        r.txn_id, leg ->> 'topic' AS topic, (leg ->> 'partition')::integer AS partition, (leg ->> 'offset')::bigint AS kafka_offset,
        leg ->> 'source' AS source, (leg ->> 'revision')::integer AS revision, leg ->> 'event_id' AS event_id
    FROM reconciliation_results r, jsonb_array_elements(r.body -> 'legs') AS leg
    WHERE r.kafka_offset < (%(result_ends)s::bigint[])[r.partition + 1]
), accepted AS (
    SELECT topic, partition, kafka_offset, source, revision, event_id
    FROM raw_event_outcomes
    WHERE outcome = 'ACCEPTED'
), wrong AS (
    SELECT legs.txn_id, legs.source, legs.topic || '[' || legs.partition || ']@' || legs.kafka_offset AS place
    FROM legs
    LEFT JOIN accepted USING (topic, partition, kafka_offset)
    WHERE accepted.topic IS NULL OR accepted.source <> legs.source OR accepted.revision <> legs.revision
       OR (accepted.event_id <> legs.event_id AND octet_length(legs.event_id) <= 512)
)
SELECT txn_id, source, place, total
FROM (SELECT count(*) AS total FROM legs) AS counted
LEFT JOIN (SELECT * FROM wrong LIMIT 1000) AS found ON true

-- without_verdict --
-- Transactions that must have a live verdict and have none: two sources were accepted, or a break is open.
WITH due AS (
    SELECT txn_id, 'two accepted legs' AS why
    FROM raw_event_outcomes AS o
    JOIN unnest(%(topics)s::text[], %(partitions)s::integer[], %(ends)s::bigint[]) AS reach (topic, partition, before)
        USING (topic, partition)
    WHERE outcome = 'ACCEPTED' AND kafka_offset < before
    GROUP BY txn_id
    HAVING count(DISTINCT source) > 1
    UNION ALL
    SELECT DISTINCT txn_id, 'an open break' FROM breaks WHERE state = 'OPEN'
)
SELECT txn_id, why, total
FROM (SELECT count(DISTINCT txn_id) AS total FROM due) AS counted
LEFT JOIN (
    SELECT txn_id, why FROM due WHERE NOT EXISTS (SELECT FROM reconciliation_results r WHERE r.txn_id = due.txn_id) LIMIT 1000
) AS found ON true

-- conflicts --
SELECT topic, partition, kafka_offset, reason, txn_id, revision, stored_revision FROM result_conflicts ORDER BY noticed_at LIMIT 1000

-- orphans --
-- Breaks without a transaction that has a verdict, and moves without a break.
SELECT 'break ' || break_id || ' of ' || txn_id || ' belongs to no live verdict'
FROM breaks b WHERE NOT EXISTS (SELECT FROM reconciliation_results r WHERE r.txn_id = b.txn_id)
UNION ALL
SELECT 'move ' || move || ' of ' || break_id || ' in ' || txn_id || ' belongs to no break'
FROM break_events e WHERE NOT EXISTS (SELECT FROM breaks b WHERE b.break_id = e.break_id)
LIMIT 1000

-- verdicts_of --
-- The live verdicts of a partition, each with its breaks and their moves.
SELECT
    r.txn_id, r.revision, r.result_id, r.verdict, r.primary_class, r.amount_minor, r.currency, r.rules_version, r.decided_at, r.body,
    r.kafka_offset,
    (SELECT jsonb_agg(to_jsonb(b)) FROM breaks b WHERE b.txn_id = r.txn_id),
    (
        SELECT jsonb_agg(to_jsonb(e) ORDER BY e.revision) FROM break_events e
        WHERE e.break_id IN (SELECT b.break_id FROM breaks b WHERE b.txn_id = r.txn_id)
    )
FROM reconciliation_results r
WHERE r.partition = %(partition)s

-- money --
-- Sums of what could be read, by topic and currency, inside of the reach of this verification.
SELECT topic, currency, sum(amount_minor), count(*)
FROM raw_events
JOIN unnest(%(topics)s::text[], %(partitions)s::integer[], %(begins)s::bigint[], %(ends)s::bigint[]) AS reach (topic, partition, since, before)
    USING (topic, partition)
WHERE status = 'READABLE' AND kafka_offset >= since AND kafka_offset < before
GROUP BY topic, currency
