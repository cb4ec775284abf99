-- audit_add
-- Add an entry; returns no row.
INSERT INTO audit_entry (
    customer_id, at_ms, entry_id, action, operator, access_key, subject, request_id, details
) VALUES (
    :customer_id, :at_ms, :entry_id, :action, :operator, :access_key, :subject, :request_id,
    :details
)

-- audit_list
-- Entries of a time span, newest first; a condition that is NULL does not restrict.
-- cross-customer: the operator's own list; steps from one customer's entries to the next one's
WITH RECURSIVE who (customer_id) AS (
    SELECT coalesce(CAST(:customer_id AS text), (SELECT min(customer_id) FROM audit_entry))
    UNION ALL
    SELECT (SELECT min(e.customer_id) FROM audit_entry AS e WHERE e.customer_id > who.customer_id)
    FROM who
    WHERE who.customer_id IS NOT NULL AND CAST(:customer_id AS text) IS NULL
)
SELECT
    a.customer_id, a.at_ms, a.action, a.operator, a.access_key, a.subject, a.request_id, a.details
FROM who JOIN audit_entry AS a ON a.customer_id = who.customer_id
WHERE a.at_ms >= CAST(:since_ms AS bigint) AND a.at_ms < CAST(:until_ms AS bigint)
    AND (CAST(:access_key AS text) IS NULL OR a.access_key = CAST(:access_key AS text))
    AND (CAST(:action AS text) IS NULL OR a.action = CAST(:action AS text))
    AND (CAST(:subject AS text) IS NULL OR a.subject = CAST(:subject AS text))
ORDER BY a.at_ms DESC, a.entry_id DESC, a.customer_id
LIMIT CAST(:at_most AS bigint)
