-- Everything that a migration can make in a database, as comparable lines. Partitions of single days are left out.
WITH relations AS (
    SELECT c.oid, c.relname, c.relkind, c.relacl, c.relispartition, pg_get_partkeydef(c.oid) AS partition_key
    FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace
        AND c.relname !~ '_[0-9]{8}' AND c.relname NOT LIKE 'schema_migrations%'
)
SELECT format('relation %s %s partition=%s key=%s acl=%s', relname, relkind, relispartition, partition_key, relacl)
FROM relations
UNION ALL
SELECT format(
    'column %s.%s #%s %s notnull=%s default=%s acl=%s', relname, attname, attnum, format_type(atttypid, atttypmod), attnotnull,
    pg_get_expr(adbin, adrelid), attacl)
FROM relations
JOIN pg_attribute ON attrelid = relations.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
UNION ALL
SELECT format('constraint %s.%s %s', relname, conname, pg_get_constraintdef(pg_constraint.oid))
FROM relations
JOIN pg_constraint ON conrelid = relations.oid
UNION ALL
SELECT format('index %s', pg_get_indexdef(relations.oid)) FROM relations WHERE relkind IN ('i', 'I')
UNION ALL
SELECT format('trigger %s', pg_get_triggerdef(pg_trigger.oid))
FROM relations
JOIN pg_trigger ON tgrelid = relations.oid AND NOT tgisinternal
UNION ALL
SELECT format('view %s %s', relname, pg_get_viewdef(oid)) FROM relations WHERE relkind = 'v'
UNION ALL
SELECT format('function %s acl=%s', pg_get_functiondef(oid), proacl) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
UNION ALL
SELECT format('schema public acl=%s', nspacl) FROM pg_namespace WHERE nspname = 'public'
ORDER BY 1
