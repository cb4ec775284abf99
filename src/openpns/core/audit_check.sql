-- audit_check
-- Every seal with its entry and the digest before, and what has no seal, in one snapshot. The kinds
-- besides seal: unsealed (an entry; it is queued if added_ms is not NULL, and from before the chain if
-- seq is not NULL), queued (a row of audit_unsealed without such an entry), backlog and pruning (the
-- rows of those tables).
-- cross-customer: the check reads the whole database
SELECT
    'seal' AS kind, s.customer_id, s.at_ms, s.entry_id, s.added_ms, s.seq, s.digest,
    p.digest AS previous, e.action, e.operator, e.access_key, e.subject, e.request_id, e.details
FROM audit_seal AS s
LEFT JOIN audit_seal AS p ON p.customer_id = s.customer_id AND p.seq = s.seq - 1
LEFT JOIN audit_entry AS e
    ON e.customer_id = s.customer_id AND e.at_ms = s.at_ms AND e.entry_id = s.entry_id
UNION ALL
SELECT
    'unsealed', e.customer_id, e.at_ms, e.entry_id, q.added_ms, (
        SELECT b.only_row FROM audit_backlog AS b
        WHERE (e.customer_id, e.at_ms, e.entry_id) > (b.customer_id, b.at_ms, b.entry_id)
    ), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM audit_entry AS e
LEFT JOIN audit_unsealed AS q
    ON q.at_ms = e.at_ms AND q.customer_id = e.customer_id AND q.entry_id = e.entry_id
WHERE NOT EXISTS (
    SELECT 1 FROM audit_seal AS s
    WHERE s.customer_id = e.customer_id AND s.at_ms = e.at_ms AND s.entry_id = e.entry_id
)
UNION ALL
SELECT
    'queued', q.customer_id, q.at_ms, q.entry_id, q.added_ms,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM audit_unsealed AS q
WHERE NOT EXISTS (
    SELECT 1 FROM audit_entry AS e
    WHERE e.customer_id = q.customer_id AND e.at_ms = q.at_ms AND e.entry_id = q.entry_id
) OR EXISTS (
    SELECT 1 FROM audit_seal AS s
    WHERE s.customer_id = q.customer_id AND s.at_ms = q.at_ms AND s.entry_id = q.entry_id
)
UNION ALL
SELECT
    'backlog', b.customer_id, b.at_ms, b.entry_id,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM audit_backlog AS b
UNION ALL
SELECT
    'pruning', '', p.before_ms, NULL,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM audit_pruning AS p

-- audit_time_check
-- The sealed entries with another time than that at which they were added.
-- cross-customer: the check reads the whole database
SELECT customer_id, seq, added_ms - at_ms AS late_ms FROM audit_seal
WHERE abs(added_ms - at_ms) > CAST(:late_ms AS bigint)

-- audit_seal_find
-- The first and the last sequence number of a chain, and the digest of one; NULL if it has none.
SELECT
    (SELECT min(seq) FROM audit_seal WHERE customer_id = :customer_id),
    (SELECT max(seq) FROM audit_seal WHERE customer_id = :customer_id),
    (SELECT digest FROM audit_seal WHERE customer_id = :customer_id AND seq = :seq)
