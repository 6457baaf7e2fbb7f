-- What the API reads, in named blocks as in queries.sql. {after} and {order} are put in by reading.py, from texts of its own.
-- A filter that is not given is null: with custom plans PostgreSQL folds it away.

-- list_transactions --
SELECT
    txn_id, revision, verdict, primary_class, amount_minor, currency, rules_version, open_breaks,
    (extract(epoch FROM decided_at) * 1000)::bigint AS decided_at_ms
FROM reconciliation_results
WHERE
    (%(verdicts)s::text[] IS NULL OR verdict = ANY (%(verdicts)s))
    AND (%(breaks)s::text[] IS NULL OR open_breaks && %(breaks)s)
    AND (%(account)s::text IS NULL OR tags @> ARRAY['account:' || %(account)s])
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    AND (%(amount_min)s::bigint IS NULL OR amount_minor >= %(amount_min)s)
    AND (%(amount_max)s::bigint IS NULL OR amount_minor <= %(amount_max)s)
    AND (%(since)s::timestamptz IS NULL OR decided_at >= %(since)s)
    AND (%(before)s::timestamptz IS NULL OR decided_at < %(before)s)
    AND (
        %(text)s::text IS NULL
        OR (txn_id >= %(text)s AND txn_id < %(text_end)s)
        OR tags @> ARRAY['id:' || %(text)s]
    )
    AND {after}
ORDER BY {order}
LIMIT %(limit)s

-- transaction --
SELECT
    body, revision, partition, kafka_offset, (extract(epoch FROM decided_at) * 1000)::bigint AS decided_at_ms
FROM reconciliation_results
WHERE txn_id = %(txn_id)s

-- transaction_revisions --
SELECT
    revision, verdict, primary_class, legs, rules_version, partition, kafka_offset,
    (extract(epoch FROM decided_at) * 1000)::bigint AS decided_at_ms
FROM result_revisions
WHERE txn_id = %(txn_id)s
ORDER BY revision
LIMIT %(limit)s

-- transaction_moves --
SELECT
    e.break_id, e.revision, e.move, b.class, e.subtype, e.subject, e.field, e.expected, e.actual, e.delta_minor, e.severity,
    e.resolution, (extract(epoch FROM e.at) * 1000)::bigint AS at_ms
FROM break_events e JOIN breaks b USING (break_id)
WHERE e.txn_id = %(txn_id)s
ORDER BY e.revision, e.break_id
LIMIT %(limit)s

-- transaction_records --
-- The records of the sources that name the transaction, with what became of each, down to their bytes: as many as there is room for,
-- one at least. `found` is how many there are, up to one more than `limit`.
WITH first AS (
    SELECT
        o.topic, o.partition, o.kafka_offset, o.kafka_timestamp, o.source, o.event_id, o.revision, o.outcome, o.reason,
        o.amount_minor, o.currency, r.schema_id, r.key, r.value
    FROM raw_event_outcomes o
    JOIN raw_events r USING (kafka_day, topic, partition, kafka_offset)
    WHERE o.txn_id = %(txn_id)s
    ORDER BY o.kafka_timestamp, o.topic, o.partition, o.kafka_offset
    LIMIT %(limit)s + 1
), measured AS (
    SELECT
        *, row_number() OVER up_to_here AS number, count(*) OVER () AS found,
        sum(coalesce(octet_length(key), 0) + coalesce(octet_length(value), 0)) OVER up_to_here AS bytes
    FROM first
    WINDOW up_to_here AS (ORDER BY kafka_timestamp, topic, partition, kafka_offset ROWS UNBOUNDED PRECEDING)
)
SELECT
    topic, partition, kafka_offset, source, event_id, revision, outcome, reason, amount_minor, currency, schema_id, key, value,
    found, (extract(epoch FROM kafka_timestamp) * 1000)::bigint AS kafka_timestamp_ms
FROM measured
WHERE number = 1 OR (number <= %(limit)s AND bytes <= %(bytes_max)s)
ORDER BY number

-- list_breaks --
SELECT
    break_id, txn_id, class, subtype, subject, field, expected, actual, delta_minor, severity, state, resolution, revision,
    reopen_count, currency, at_risk_minor,
    (extract(epoch FROM opened_at) * 1000)::bigint AS opened_at_ms,
    (extract(epoch FROM resolved_at) * 1000)::bigint AS resolved_at_ms
FROM breaks
WHERE
    state = %(state)s
    AND (%(classes)s::text[] IS NULL OR class = ANY (%(classes)s))
    AND (%(subjects)s::text[] IS NULL OR subject = ANY (%(subjects)s))
    AND (%(severities)s::text[] IS NULL OR severity = ANY (%(severities)s))
    AND (%(currency)s::text IS NULL OR currency = %(currency)s)
    AND (%(amount_min)s::bigint IS NULL OR at_risk_minor >= %(amount_min)s)
    AND (%(amount_max)s::bigint IS NULL OR at_risk_minor <= %(amount_max)s)
    AND (%(since)s::timestamptz IS NULL OR opened_at >= %(since)s)
    AND (%(before)s::timestamptz IS NULL OR opened_at < %(before)s)
    AND (
        %(account)s::text IS NULL
        OR txn_id IN (SELECT r.txn_id FROM reconciliation_results r WHERE r.tags @> ARRAY['account:' || %(account)s])
    )
    AND (
        %(text)s::text IS NULL
        OR break_id = %(text)s
        OR (txn_id >= %(text)s AND txn_id < %(text_end)s)
        OR txn_id IN (SELECT r.txn_id FROM reconciliation_results r WHERE r.tags @> ARRAY['id:' || %(text)s])
    )
    AND {after}
ORDER BY {order}
LIMIT %(limit)s

-- tally_breaks --
-- Of {found}, which is list_breaks: so what is counted is what the list shows.
SELECT class, subject, severity, state, coalesce(currency, '') AS currency, count(*) AS breaks
FROM ({found}) AS found
GROUP BY 1, 2, 3, 4, 5

-- break --
-- A break with the live result of its transaction.
SELECT
    b.break_id, b.txn_id, b.class, b.subtype, b.subject, b.field, b.expected, b.actual, b.delta_minor, b.severity, b.state,
    b.resolution, b.revision, b.reopen_count, b.currency, b.at_risk_minor, r.body, r.verdict,
    (extract(epoch FROM b.opened_at) * 1000)::bigint AS opened_at_ms,
    (extract(epoch FROM b.resolved_at) * 1000)::bigint AS resolved_at_ms
FROM breaks b JOIN reconciliation_results r USING (txn_id)
WHERE b.break_id = %(break_id)s

-- break_moves --
SELECT
    e.break_id, e.revision, e.move, b.class, e.subtype, e.subject, e.field, e.expected, e.actual, e.delta_minor, e.severity,
    e.resolution, (extract(epoch FROM e.at) * 1000)::bigint AS at_ms
FROM break_events e JOIN breaks b USING (break_id)
WHERE e.break_id = %(break_id)s
ORDER BY e.revision
LIMIT %(limit)s

-- results_reached --
-- How far the sink has come with results: what counts of them depend on.
SELECT coalesce(sum(next_offset), 0)::bigint AS results FROM sink_offsets WHERE topic = %(topic)s

-- verdict_counts --
SELECT verdict, currency, sum(transactions)::bigint AS transactions, sum(amount_minor) AS amount_minor
FROM verdict_rollups
WHERE width = %(width)s AND bucket >= %(since)s AND bucket < %(before)s AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY verdict, currency
HAVING sum(transactions) <> 0
ORDER BY verdict, currency

-- verdict_series --
-- A point is `step` seconds, a multiple of the width.
SELECT
    (extract(epoch FROM date_bin(%(step)s * interval '1 second', bucket, 'epoch')) * 1000)::bigint AS at_ms, verdict,
    sum(transactions)::bigint AS transactions
FROM verdict_rollups
WHERE width = %(width)s AND bucket >= %(since)s AND bucket < %(before)s AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY 1, 2
HAVING sum(transactions) <> 0
ORDER BY 1, 2

-- break_counts --
SELECT class, subject, severity, state, currency, sum(breaks)::bigint AS breaks, sum(at_risk_minor) AS at_risk_minor
FROM break_rollups
WHERE width = %(width)s AND bucket >= %(since)s AND bucket < %(before)s AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY class, subject, severity, state, currency
HAVING sum(breaks) <> 0
ORDER BY class, subject, severity, state, currency

-- break_series --
SELECT
    (extract(epoch FROM date_bin(%(step)s * interval '1 second', bucket, 'epoch')) * 1000)::bigint AS at_ms, class,
    sum(breaks)::bigint AS breaks
FROM break_rollups
WHERE width = %(width)s AND bucket >= %(since)s AND bucket < %(before)s AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY 1, 2
HAVING sum(breaks) <> 0
ORDER BY 1, 2

-- open_breaks --
-- Those that are open now, by age: each age has its own ends and width of buckets, and is counted from 0.
SELECT a.number - 1 AS age, class, subject, severity, currency, sum(breaks)::bigint AS breaks, sum(at_risk_minor) AS at_risk_minor
FROM unnest(%(widths)s::integer[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS a (width, since, before, number)
JOIN break_rollups r ON r.width = a.width AND r.bucket >= a.since AND r.bucket < a.before
WHERE state = 'OPEN' AND (%(currency)s::text IS NULL OR currency = %(currency)s)
GROUP BY 1, 2, 3, 4, 5
HAVING sum(breaks) <> 0
ORDER BY 1, 2, 3, 4, 5

-- accounting --
SELECT
    name, title, examined, violations, detail, (extract(epoch FROM checked_at) * 1000)::bigint AS checked_at_ms,
    (extract(epoch FROM held_at) * 1000)::bigint AS held_at_ms
FROM accounting
ORDER BY name

-- stored_offsets --
SELECT topic, partition, next_offset, (extract(epoch FROM updated_at) * 1000)::bigint AS updated_at_ms
FROM sink_offsets
ORDER BY topic, partition

-- server_version --
SELECT current_setting('server_version') AS version
