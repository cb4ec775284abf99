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

-- audit_customers
-- The customers with entries from before a time.
-- cross-customer: the operator prunes the whole trail
WITH RECURSIVE who (customer_id) AS (
    SELECT min(customer_id) FROM audit_entry
    UNION ALL
    SELECT (SELECT min(e.customer_id) FROM audit_entry AS e WHERE e.customer_id > who.customer_id)
    FROM who WHERE who.customer_id IS NOT NULL
)
SELECT who.customer_id FROM who
WHERE EXISTS (
    SELECT 1 FROM audit_entry AS a
    WHERE a.customer_id = who.customer_id AND a.at_ms < CAST(:before_ms AS bigint)
)

-- audit_prune_begin
-- Allow entries from before a time to be deleted, until audit_prune_end.
INSERT INTO audit_pruning (only_row, before_ms) VALUES (1, :before_ms)

-- audit_prune
-- Delete some of a customer's oldest entries from before a time; returns a row for each.
DELETE FROM audit_entry WHERE customer_id = :customer_id AND (at_ms, entry_id) IN (
    SELECT at_ms, entry_id FROM audit_entry
    WHERE customer_id = :customer_id AND at_ms < CAST(:before_ms AS bigint)
    ORDER BY at_ms LIMIT CAST(:at_most AS bigint)
)
RETURNING at_ms

-- audit_prune_end
-- Allow no more entries to be deleted.
DELETE FROM audit_pruning WHERE only_row = 1

-- audit_check
-- The number of entries of each customer; reads every entry.
-- cross-customer: the check reads the whole database
SELECT customer_id, count(*), CAST(sum(length(action) + length(details)) AS bigint)
FROM audit_entry
GROUP BY customer_id
