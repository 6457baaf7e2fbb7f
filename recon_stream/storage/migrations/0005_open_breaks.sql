-- What a transaction's open breaks are found by: 'class:', 'subject:' and 'severity:' of each, and all three as 'break:CLASS/SUBJECT/SEVERITY',
-- by which what is asked for together holds for one and the same break. Null where none is open. They were among the tags,
-- where a list by two of them was read by a plan for a tenth of the rows that it had, and one by what is rare from the whole table.
ALTER TABLE reconciliation_results ADD COLUMN open_breaks text[];

UPDATE reconciliation_results AS r SET
    open_breaks = found.open_breaks,
    tags = ARRAY(SELECT tag FROM unnest(r.tags) AS tag WHERE tag !~ '^(class|subject|severity):' ORDER BY tag)
FROM (
    SELECT b.txn_id, array_agg(DISTINCT tag ORDER BY tag) AS open_breaks
    FROM breaks b, unnest(ARRAY[
        'class:' || b.class, 'subject:' || b.subject, 'severity:' || b.severity,
        'break:' || b.class || '/' || b.subject || '/' || b.severity
    ]) AS tag
    WHERE b.state = 'OPEN'
    GROUP BY b.txn_id
) AS found
WHERE found.txn_id = r.txn_id;

-- The newest first among those with open breaks alone; by the other one what only few have.
CREATE INDEX reconciliation_results_open ON reconciliation_results (decided_at, txn_id) WHERE open_breaks IS NOT NULL;
CREATE INDEX reconciliation_results_open_breaks ON reconciliation_results USING gin (open_breaks);
