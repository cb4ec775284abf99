-- group_verify
-- Every row of every customer in one snapshot, for the check that they agree with each other.
-- The kinds of rows: customer (with its counter), key, group (with its numbers as listGroup sends
-- them and, from its members, as they should be), gap, stray (members or parts of no group), audit
-- (a customer's entries, counted).
-- cross-customer: the check reads the whole database
SELECT
    'customer' AS kind, c.customer_id, CAST(NULL AS text) AS name,
    n.group_count AS counted, n.next_seq AS place_next, CAST(NULL AS bigint) AS place,
    CAST(NULL AS text) AS head, CAST(NULL AS text) AS rest, CAST(NULL AS bigint) AS part_max,
    CAST(NULL AS text) AS members, CAST(NULL AS bigint) AS positions
FROM customer AS c LEFT JOIN customer_state AS n ON n.customer_id = c.customer_id
UNION ALL
SELECT
    'key', k.customer_id, k.access_key, length(k.secret_ciphertext), NULL, NULL,
    NULL, NULL, NULL, NULL, NULL
FROM access_key AS k
UNION ALL
SELECT
    'group', g.customer_id, g.group_id, g.phone_count, g.position_next, g.group_seq, g.phones,
    (
        SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
        WHERE p.customer_id = g.customer_id AND p.group_seq = g.group_seq
    ),
    (
        SELECT max(length(p.phones) - length(replace(p.phones, ',', ''))) FROM group_phone_chunk AS p
        WHERE p.customer_id = g.customer_id AND p.group_seq = g.group_seq
    ),
    (
        SELECT string_agg(m.phone, ',' ORDER BY m.position) FROM group_member AS m
        WHERE m.customer_id = g.customer_id AND m.group_seq = g.group_seq
    ),
    (
        SELECT count(DISTINCT m.position) FROM group_member AS m
        WHERE m.customer_id = g.customer_id AND m.group_seq = g.group_seq
            AND m.position >= 0 AND m.position < g.position_next
    )
FROM number_group AS g
UNION ALL
SELECT
    'gap', customer_id, NULL, deleted, level, block, NULL, NULL, NULL, NULL, NULL
FROM group_order_gap
UNION ALL
SELECT
    'stray', m.customer_id, 'numbers', count(*), NULL, m.group_seq, NULL, NULL, NULL, NULL, NULL
FROM group_member AS m
WHERE NOT EXISTS (
    SELECT 1 FROM number_group AS g
    WHERE g.customer_id = m.customer_id AND g.group_seq = m.group_seq
)
GROUP BY m.customer_id, m.group_seq
UNION ALL
SELECT
    'stray', p.customer_id, 'parts', count(*), NULL, p.group_seq, NULL, NULL, NULL, NULL, NULL
FROM group_phone_chunk AS p
WHERE NOT EXISTS (
    SELECT 1 FROM number_group AS g
    WHERE g.customer_id = p.customer_id AND g.group_seq = p.group_seq
)
GROUP BY p.customer_id, p.group_seq
UNION ALL
SELECT
    'audit', a.customer_id, NULL, count(*), CAST(sum(length(a.action) + length(a.details)) AS bigint),
    NULL, NULL, NULL, NULL, NULL, NULL
FROM audit_entry AS a
GROUP BY a.customer_id
