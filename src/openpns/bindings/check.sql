-- binding_check
-- Every virtual number, binding, seat, count and group that bindings use, in one snapshot. The
-- columns of each kind: number (state), load (binding_count, extension_count, is_open), count
-- (binding_count, binding_next_seq), binding (its row), seat (its row), group (bound_count).
-- cross-customer: the check reads the whole database
SELECT
    'number' AS kind, n.customer_id, n.did, CAST(NULL AS bigint) AS seq, n.state AS what,
    n.country AS phone_a, '' AS phone_b, CAST(NULL AS bigint) AS group_seq,
    CAST(0 AS bigint) AS first, CAST(0 AS bigint) AS second
FROM virtual_number AS n
UNION ALL
SELECT
    'load', l.customer_id, l.did, NULL, '', l.country, '', l.is_open, l.binding_count,
    l.extension_count
FROM number_load AS l
UNION ALL
SELECT
    'count', s.customer_id, '', NULL, '', '', '', s.bindings_held_ms, s.binding_count,
    s.binding_next_seq
FROM customer_state AS s
UNION ALL
SELECT
    'binding', b.customer_id, b.did, b.binding_seq, b.kind, b.phone_a,
    CASE b.kind WHEN 'extension' THEN b.extension ELSE b.phone_b END, b.group_seq, b.live_until_ms, 0
FROM binding AS b
UNION ALL
SELECT
    'seat', s.customer_id, s.did, s.binding_seq, '', s.phone, '', NULL, s.live_until_ms, 0
FROM seat AS s WHERE s.live_until_ms > 0
UNION ALL
SELECT
    'group', g.customer_id, '', NULL, g.group_id, '', '', g.group_seq, g.bound_count, 0
FROM number_group AS g
WHERE g.bound_count <> 0 OR EXISTS (
    SELECT 1 FROM binding AS b WHERE b.customer_id = g.customer_id AND b.group_seq = g.group_seq
)

-- binding_check_shared
-- Phones that two live bindings on one virtual number name: by a seat and a group, or by two groups.
-- cross-customer: the check reads the whole database
SELECT b.customer_id, b.did, b.bind_id
FROM binding AS b
JOIN group_member AS m ON m.customer_id = b.customer_id AND m.group_seq = b.group_seq
JOIN seat AS s ON s.customer_id = m.customer_id AND s.phone = m.phone AND s.did = b.did
    AND s.live_until_ms > :now_ms AND s.binding_seq <> b.binding_seq
WHERE b.live_until_ms > :now_ms
UNION
SELECT b.customer_id, b.did, b.bind_id
FROM binding AS b
JOIN group_member AS m ON m.customer_id = b.customer_id AND m.group_seq = b.group_seq
JOIN group_member AS o ON o.customer_id = m.customer_id AND o.phone = m.phone
JOIN binding AS c ON c.customer_id = o.customer_id AND c.group_seq = o.group_seq AND c.did = b.did
    AND c.binding_seq <> b.binding_seq AND c.live_until_ms > :now_ms
WHERE b.live_until_ms > :now_ms
LIMIT 20
