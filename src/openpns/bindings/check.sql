-- binding_check_counts
-- How many virtual numbers are in use, how many bindings there are, and whose calls are held.
-- cross-customer: the check reads the whole database
SELECT
    (SELECT count(*) FROM virtual_number WHERE state <> 'resting'),
    (SELECT count(*) FROM binding),
    (SELECT count(*) FROM customer_state WHERE bindings_held_ms IS NOT NULL)

-- binding_check_customer
-- Customers whose count of bindings is not right, or whose next seq is taken: with both counts.
-- cross-customer: the check reads the whole database
SELECT t.customer_id, t.counted, t.found FROM (
    SELECT
        s.customer_id, s.binding_count AS counted, s.binding_next_seq AS next_seq,
        (SELECT count(*) FROM binding AS b WHERE b.customer_id = s.customer_id) AS found,
        (SELECT max(b.binding_seq) FROM binding AS b WHERE b.customer_id = s.customer_id) AS last_seq
    FROM customer_state AS s
    UNION ALL
    SELECT b.customer_id, 0, 0, count(*), max(b.binding_seq) FROM binding AS b
    WHERE (SELECT count(*) FROM customer_state AS s WHERE s.customer_id = b.customer_id) = 0
    GROUP BY b.customer_id
) AS t
WHERE t.counted <> t.found OR coalesce(t.last_seq, -1) >= t.next_seq

-- binding_check_number
-- Virtual numbers in use that have no counts, and the other way round.
-- cross-customer: the check reads the whole database
SELECT n.customer_id, n.did FROM virtual_number AS n
WHERE n.state <> 'resting' AND NOT EXISTS (
    SELECT 1 FROM number_load AS l WHERE l.customer_id = n.customer_id AND l.did = n.did
)
UNION ALL
SELECT l.customer_id, l.did FROM number_load AS l
WHERE NOT EXISTS (
    SELECT 1 FROM virtual_number AS n
    WHERE n.did = l.did AND n.customer_id = l.customer_id AND n.state <> 'resting'
)

-- binding_check_stranger
-- Virtual numbers with bindings of a customer who does not have them.
-- cross-customer: the check reads the whole database
SELECT DISTINCT b.customer_id, b.did FROM binding AS b
WHERE (
    SELECT count(*) FROM number_load AS l WHERE l.customer_id = b.customer_id AND l.did = b.did
) = 0

-- binding_check_load
-- Virtual numbers whose counts are not right, or that are open but not active, or not.
-- cross-customer: the check reads the whole database
SELECT t.customer_id, t.did, t.is_miscounted, t.is_open_wrongly FROM (
    SELECT
        l.customer_id, l.did,
        CASE WHEN l.binding_count <> (
            SELECT count(*) FROM binding AS b
            WHERE b.customer_id = l.customer_id AND b.did = l.did
        ) OR l.extension_count <> (
            SELECT count(*) FROM binding AS b
            WHERE b.customer_id = l.customer_id AND b.did = l.did AND b.kind = 'extension'
        ) THEN 1 ELSE 0 END AS is_miscounted,
        CASE WHEN EXISTS (
            SELECT 1 FROM virtual_number AS n
            WHERE n.did = l.did AND n.customer_id = l.customer_id AND n.state <> 'resting'
                AND (n.state = 'active') <> (l.is_open <> 0)
        ) THEN 1 ELSE 0 END AS is_open_wrongly
    FROM number_load AS l
) AS t
WHERE t.is_miscounted = 1 OR t.is_open_wrongly = 1

-- binding_check_group
-- Groups whose count of bindings is not right, and groups of live bindings that do not exist. A group
-- may be deleted once its bindings have run out, before they are ended.
-- cross-customer: the check reads the whole database
SELECT g.customer_id, g.group_seq FROM number_group AS g
WHERE g.bound_count <> (
    SELECT count(*) FROM binding AS b
    WHERE b.customer_id = g.customer_id AND b.group_seq = g.group_seq
)
UNION ALL
SELECT DISTINCT b.customer_id, b.group_seq FROM binding AS b
WHERE b.group_seq IS NOT NULL AND b.live_until_ms > :now_ms AND (
    SELECT count(*) FROM number_group AS g
    WHERE g.customer_id = b.customer_id AND g.group_seq = b.group_seq
) = 0

-- binding_check_kind
-- Bindings that have a group but are not axg, or the other way round.
-- cross-customer: the check reads the whole database
SELECT b.customer_id, b.binding_seq FROM binding AS b
WHERE (b.kind = 'axg') <> (b.group_seq IS NOT NULL)

-- binding_check_seat
-- Seats that their binding does not want like this, or whose binding does not exist. The end is
-- compared outside of the subquery: by its index, all bindings of a customer could be read for each.
-- cross-customer: the check reads the whole database
SELECT s.customer_id, s.did, s.binding_seq FROM seat AS s
WHERE s.live_until_ms > 0 AND s.live_until_ms <> coalesce((
    SELECT b.live_until_ms FROM binding AS b
    WHERE b.customer_id = s.customer_id AND b.binding_seq = s.binding_seq AND b.did = s.did
        AND (
            CASE b.kind WHEN 'extension' THEN '#' || b.extension ELSE b.phone_a END = s.phone
            OR (b.kind = 'axb' AND b.phone_b = s.phone)
        )
), 0)

-- binding_check_held
-- Live bindings that do not hold a seat which they want; a row for each. The seat of one that has run
-- out may be another's, or free again.
-- cross-customer: the check reads the whole database
SELECT b.customer_id, b.did, b.binding_seq FROM binding AS b
WHERE b.live_until_ms > :now_ms AND b.binding_seq <> coalesce((
    SELECT s.binding_seq FROM seat AS s
    WHERE s.customer_id = b.customer_id AND s.did = b.did AND s.live_until_ms > 0
        AND s.phone = CASE b.kind WHEN 'extension' THEN '#' || b.extension ELSE b.phone_a END
), -1)
UNION ALL
SELECT b.customer_id, b.did, b.binding_seq FROM binding AS b
WHERE b.live_until_ms > :now_ms AND b.kind = 'axb' AND b.binding_seq <> coalesce((
    SELECT s.binding_seq FROM seat AS s
    WHERE s.customer_id = b.customer_id AND s.did = b.did AND s.live_until_ms > 0
        AND s.phone = b.phone_b
), -1)

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
