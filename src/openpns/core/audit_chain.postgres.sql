-- audit_seal_lock
-- Try to be the only transaction that changes chains; false if another one is.
SELECT pg_try_advisory_xact_lock(31367303361752693)

-- audit_seal_wait
-- Wait until this is the only transaction that changes chains.
SELECT true FROM pg_advisory_xact_lock(31367303361752693)

-- audit_unsealed_list
-- The content of the oldest entries that are not sealed yet.
-- cross-customer: entries of all customers are sealed together
SELECT
    a.customer_id, a.at_ms, a.entry_id, a.action, a.operator, a.access_key, a.subject,
    a.request_id, a.details, q.added_ms, q.place
FROM audit_unsealed AS q CROSS JOIN LATERAL (
    SELECT
        e.customer_id, e.at_ms, e.entry_id, e.action, e.operator, e.access_key, e.subject,
        e.request_id, e.details
    FROM audit_entry AS e
    WHERE e.customer_id = q.customer_id AND e.at_ms = q.at_ms AND e.entry_id = q.entry_id
        AND NOT EXISTS (
            SELECT 1 FROM audit_seal AS s
            WHERE s.customer_id = q.customer_id AND s.at_ms = q.at_ms AND s.entry_id = q.entry_id
        )
    LIMIT 1
) AS a
ORDER BY q.place LIMIT CAST(:at_most AS bigint)

-- audit_head_find
-- The last sequence number of the chains of these customers, and its digest; no row for an empty
-- chain.
-- cross-customer: entries of all customers are sealed together
SELECT s.customer_id, s.seq, s.digest
FROM unnest(CAST(:customer_ids AS text[])) AS c (customer_id) CROSS JOIN LATERAL (
    SELECT a.customer_id, a.seq, a.digest FROM audit_seal AS a
    WHERE a.customer_id = c.customer_id ORDER BY a.seq DESC LIMIT 1
) AS s

-- audit_unsealed_delete
-- Entries are sealed now. On Citus, and in a copy from there, two entries may have the same place.
-- Without customer_id = ANY(...): PostgreSQL would look for the whole list once for each entry.
-- cross-customer: entries of all customers are sealed together
DELETE FROM audit_unsealed
WHERE (customer_id, at_ms, entry_id) IN (
    SELECT k.customer_id, k.at_ms, k.entry_id FROM unnest(
        CAST(:customer_ids AS text[]), CAST(:times_ms AS bigint[]), CAST(:entry_ids AS bigint[])
    ) AS k (customer_id, at_ms, entry_id)
)
