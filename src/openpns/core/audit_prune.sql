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

-- audit_prune_find
-- Up to which sequence number a chain can be pruned, with its digest and the number of entries: of
-- its first entries, those before the first one that is not from before a time.
WITH oldest AS (
    SELECT seq, at_ms, digest FROM audit_seal
    WHERE customer_id = :customer_id ORDER BY seq LIMIT CAST(:at_most AS bigint)
)
SELECT seq, digest, seq - (SELECT min(seq) FROM oldest) + 1 AS entries FROM oldest
WHERE seq < coalesce(
    (SELECT min(kept.seq) FROM oldest AS kept WHERE kept.at_ms >= CAST(:before_ms AS bigint)),
    9223372036854775807
)
ORDER BY seq DESC LIMIT 1

-- audit_prune_begin
-- Allow seals and entries from before a time to be deleted, until audit_prune_end.
INSERT INTO audit_pruning (only_row, before_ms) VALUES (1, :before_ms)

-- audit_prune_seals
-- Delete the seals of a chain up to a sequence number; returns the keys of their entries.
DELETE FROM audit_seal WHERE customer_id = :customer_id AND seq <= CAST(:seq AS bigint)
RETURNING customer_id, at_ms, entry_id

-- audit_prune_entry
-- Delete an entry whose seal was deleted.
DELETE FROM audit_entry
WHERE customer_id = :customer_id AND at_ms = :at_ms AND entry_id = :entry_id

-- audit_prune_end
-- Allow no more entries to be deleted.
DELETE FROM audit_pruning WHERE only_row = 1
