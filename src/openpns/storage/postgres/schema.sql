-- schema_objects
-- The objects that can change what a statement does, of openpns's tables as the search path finds them.
-- Columns: kind, table, name or definition, definition, label, is_harmless.
WITH ours AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relkind, c.relpersistence,
        c.relrowsecurity OR c.relforcerowsecurity AS has_row_security
    FROM unnest(CAST(:tables AS text[])) AS name
    JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(quote_ident(name))
), trigger_function AS (
    SELECT t.oid AS trigger_oid, p.proowner, concat_ws(
        ' ', l.lanname, pg_catalog.format_type(p.prorettype, NULL),
        CASE WHEN p.prosecdef THEN 'security definer' END, CAST(p.proconfig AS text),
        btrim(regexp_replace(p.prosrc, '\s+', ' ', 'g'))
    ) AS definition
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
    WHERE t.tgrelid IN (SELECT oid FROM ours)
), index_of AS (
    SELECT o.relname, i.indisvalid AND i.indisready AS is_usable, c.relname AS name,
        CASE WHEN i.indisunique THEN 'unique ' ELSE '' END || regexp_replace(
            regexp_replace(pg_catalog.pg_get_indexdef(i.indexrelid), '^.*? USING ', ''),
            ' WITH \([^)]*\)', ''
        ) AS definition,
        NOT i.indisunique AND NOT i.indisexclusion AND i.indexprs IS NULL AND i.indpred IS NULL
            AS is_harmless
    FROM ours AS o
    JOIN pg_catalog.pg_index AS i ON i.indrelid = o.oid
    JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
)
SELECT
    -- name is a text: the type of a catalog's names would cut definitions after 63 bytes.
    'table' AS kind, CAST(relname AS text) AS of_table, CAST('' AS text) AS name, concat_ws(
        ' ', 'kind', CAST(relkind AS text), 'persistence', CAST(relpersistence AS text),
        CASE WHEN has_row_security THEN 'row security' END,
        CASE WHEN relowner <> first_owner THEN 'owner ' || pg_catalog.pg_get_userbyid(relowner) END,
        CASE WHEN relnamespace <> first_namespace THEN 'another schema' END
    ) AS definition,
    CAST(NULL AS text) AS label, false AS is_harmless
FROM ours
CROSS JOIN (
    SELECT relowner AS first_owner, relnamespace AS first_namespace
    FROM ours WHERE relname = 'schema_migration'
) AS schema_migration
UNION ALL
SELECT
    'column', o.relname, a.attname, concat_ws(
        ' ', n.nspname || '.' || t.typname,
        CASE WHEN a.atttypmod >= 0 THEN 'modifier ' || a.atttypmod END,
        'collation ' || k.collname,
        CASE WHEN a.attnotnull THEN 'not null' END,
        'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid),
        'identity ' || nullif(CAST(a.attidentity AS text), ''),
        'generated ' || nullif(CAST(a.attgenerated AS text), '')
    ), NULL, false
FROM ours AS o
JOIN pg_catalog.pg_attribute AS a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_collation AS k ON k.oid = a.attcollation
LEFT JOIN pg_catalog.pg_attrdef AS d ON d.adrelid = o.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', o.relname, pg_catalog.pg_get_constraintdef(c.oid), '', c.conname, false
FROM ours AS o
JOIN pg_catalog.pg_constraint AS c ON c.conrelid = o.oid
-- n: NOT NULL, a row since PostgreSQL 18 only; t: a trigger, found as such
WHERE c.contype NOT IN ('n', 't')
UNION ALL
-- Several indexes may have one definition, such as while one of them is built again.
SELECT
    'index', relname, definition, CASE WHEN bool_or(is_usable) THEN '' ELSE 'invalid' END,
    min(name), bool_and(is_harmless)
FROM index_of
GROUP BY relname, definition
UNION ALL
SELECT
    'trigger', o.relname, t.tgname, concat_ws(
        ' ', 'type', t.tgtype, CASE WHEN t.tgenabled IN ('O', 'A') THEN 'enabled' ELSE 'disabled' END,
        CASE WHEN t.tgqual IS NOT NULL THEN 'conditional' END,
        'columns ' || nullif(CAST(t.tgattr AS text), ''),
        CASE WHEN t.tgdeferrable THEN 'deferrable' END,
        'arguments ' || nullif(t.tgnargs, 0),
        CASE WHEN f.proowner <> o.relowner THEN 'function of another owner' ELSE 'function' END,
        f.definition
    ), NULL, false
FROM ours AS o
JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = o.oid AND NOT t.tgisinternal
JOIN trigger_function AS f ON f.trigger_oid = t.oid
UNION ALL
SELECT 'disabled trigger', o.relname, t.tgname, '', NULL, false
FROM ours AS o
JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = o.oid
WHERE t.tgisinternal AND t.tgenabled NOT IN ('O', 'A')
UNION ALL
SELECT 'rule', o.relname, r.rulename, '', NULL, false
FROM ours AS o JOIN pg_catalog.pg_rewrite AS r ON r.ev_class = o.oid
UNION ALL
SELECT 'row security policy', o.relname, p.polname, '', NULL, false
FROM ours AS o JOIN pg_catalog.pg_policy AS p ON p.polrelid = o.oid
UNION ALL
SELECT 'inheriting table', o.relname, CAST(CAST(i.inhrelid AS regclass) AS text), '', NULL, false
FROM ours AS o JOIN pg_catalog.pg_inherits AS i ON i.inhparent = o.oid
UNION ALL
SELECT 'inherited table', o.relname, CAST(CAST(i.inhparent AS regclass) AS text), '', NULL, false
FROM ours AS o JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = o.oid
UNION ALL
SELECT 'foreign key', o.relname, c.conname || ' of ' || CAST(c.conrelid AS regclass), '', NULL, false
FROM ours AS o JOIN pg_catalog.pg_constraint AS c ON c.confrelid = o.oid AND c.contype = 'f'
WHERE c.conrelid NOT IN (SELECT oid FROM ours)
