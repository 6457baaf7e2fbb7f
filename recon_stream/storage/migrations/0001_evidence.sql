-- What came in: every record of the sources, where it stands in Kafka, and what could not be used.

-- The three roles. A deployment creates them with LOGIN and passwords before it migrates; where they are missing (and the
-- migrating role may create roles) they are made without LOGIN, so that the grants below hold everywhere.
DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['recon_owner', 'recon_sink', 'recon_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database of this cluster is being migrated at the same moment
            END;
        END IF;
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO recon_sink, recon_reader;

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
GRANT SELECT ON raw_events, dead_letters, sink_offsets, raw_event_outcomes TO recon_reader;
