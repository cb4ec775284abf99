-- audit_seal_lock
-- Nothing to do: a transaction that writes holds the whole database.
SELECT 1

-- audit_seal_wait
-- Nothing to do, as above.
SELECT 1

-- audit_unsealed_list
-- The content of the oldest entries that are not sealed yet.
-- cross-customer: entries of all customers are sealed together
SELECT
    a.customer_id, a.at_ms, a.entry_id, a.action, a.operator, a.access_key, a.subject,
    a.request_id, a.details, q.added_ms, q.place
FROM audit_unsealed AS q CROSS JOIN audit_entry AS a
    ON a.customer_id = q.customer_id AND a.at_ms = q.at_ms AND a.entry_id = q.entry_id
WHERE NOT EXISTS (
    SELECT 1 FROM audit_seal AS s
    WHERE s.customer_id = q.customer_id AND s.at_ms = q.at_ms AND s.entry_id = q.entry_id
)
ORDER BY q.place LIMIT :at_most

-- audit_head_find
-- The last sequence number of the chains of these customers, and its digest; no row for an empty
-- chain.
-- cross-customer: entries of all customers are sealed together
SELECT s.customer_id, s.seq, s.digest
FROM json_each(:customer_ids) AS c CROSS JOIN audit_seal AS s ON s.customer_id = c.value
    AND s.seq = (SELECT max(m.seq) FROM audit_seal AS m WHERE m.customer_id = c.value)

-- audit_unsealed_delete
-- Entries are sealed now; a place is unique here.
-- cross-customer: entries of all customers are sealed together
DELETE FROM audit_unsealed WHERE place IN (SELECT value FROM json_each(:places))
