-- group_check
-- Every customer's counts, groups, gaps and strays, in one snapshot. The columns of each kind:
-- state (group_count, next_seq, phone_count or NULL, byte_count or NULL), group (its row; its phone text as listGroup sends it and, from its
-- members, as it should be), gap (deleted, level, block), stray (members or chunks of no group).
-- cross-customer: the check reads the whole database
SELECT
    'state' AS kind, s.customer_id, CAST(NULL AS text) AS name,
    s.group_count AS counted, s.next_seq AS next,
    CASE s.phone_count_revision WHEN s.groups_revision THEN s.phone_count END AS seq,
    CAST(NULL AS text) AS first_chunk, CAST(NULL AS text) AS rest, CAST(NULL AS bigint) AS chunk_max,
    CAST(NULL AS text) AS members, CAST(NULL AS bigint) AS positions,
    CASE s.byte_count_revision WHEN s.groups_revision THEN s.byte_count END AS text_bytes
FROM customer_state AS s
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
    ),
    octet_length(g.group_name) + octet_length(g.remark)
FROM number_group AS g
UNION ALL
SELECT
    'gap', customer_id, NULL, deleted, level, block, NULL, NULL, NULL, NULL, NULL, NULL
FROM group_order_gap
UNION ALL
SELECT
    'stray', m.customer_id, 'phones', count(*), NULL, m.group_seq, NULL, NULL, NULL, NULL, NULL, NULL
FROM group_member AS m
WHERE NOT EXISTS (
    SELECT 1 FROM number_group AS g
    WHERE g.customer_id = m.customer_id AND g.group_seq = m.group_seq
)
GROUP BY m.customer_id, m.group_seq
UNION ALL
SELECT
    'stray', p.customer_id, 'chunks', count(*), NULL, p.group_seq, NULL, NULL, NULL, NULL, NULL, NULL
FROM group_phone_chunk AS p
WHERE NOT EXISTS (
    SELECT 1 FROM number_group AS g
    WHERE g.customer_id = p.customer_id AND g.group_seq = p.group_seq
)
GROUP BY p.customer_id, p.group_seq
