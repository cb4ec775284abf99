-- audit_unsealed_count
-- How many entries are not sealed yet, up to a bound; when the oldest one was added, NULL if there is
-- none; whether entries from before the chain are not sealed.
-- cross-customer: entries of all customers are sealed together
SELECT
    (SELECT count(*) FROM (SELECT 1 FROM audit_unsealed LIMIT CAST(:at_most AS bigint)) AS q),
    (SELECT added_ms FROM audit_unsealed ORDER BY place LIMIT 1),
    EXISTS (SELECT 1 FROM audit_backlog WHERE only_row = 1)

-- audit_unsealed_find
-- The content of an entry that is not sealed yet.
SELECT
    a.customer_id, a.at_ms, a.entry_id, a.action, a.operator, a.access_key, a.subject,
    a.request_id, a.details, q.added_ms, q.place
FROM audit_unsealed AS q JOIN audit_entry AS a
    ON a.customer_id = q.customer_id AND a.at_ms = q.at_ms AND a.entry_id = q.entry_id
WHERE q.customer_id = :customer_id AND q.at_ms = :at_ms AND q.entry_id = :entry_id

-- audit_seal_add
-- Add an entry to the chain of its customer.
INSERT INTO audit_seal (customer_id, seq, at_ms, entry_id, added_ms, digest)
VALUES (:customer_id, :seq, :at_ms, :entry_id, :added_ms, :digest)

-- audit_backlog_find
-- How far the entries from before the chain are sealed; no row if all are.
-- cross-customer: they are sealed customer by customer
SELECT customer_id, at_ms, entry_id FROM audit_backlog WHERE only_row = 1

-- audit_backlog_list
-- The content of the entries after one, of all customers, and whether each is sealed or in
-- audit_unsealed.
-- cross-customer: they are sealed customer by customer
SELECT
    a.customer_id, a.at_ms, a.entry_id, a.action, a.operator, a.access_key, a.subject,
    a.request_id, a.details, EXISTS (
        SELECT 1 FROM audit_unsealed AS q
        WHERE q.customer_id = a.customer_id AND q.at_ms = a.at_ms AND q.entry_id = a.entry_id
    ) OR EXISTS (
        SELECT 1 FROM audit_seal AS s
        WHERE s.customer_id = a.customer_id AND s.at_ms = a.at_ms AND s.entry_id = a.entry_id
    ) AS is_known
FROM audit_entry AS a
WHERE (a.customer_id, a.at_ms, a.entry_id)
    > (CAST(:customer_id AS text), CAST(:at_ms AS bigint), CAST(:entry_id AS bigint))
ORDER BY a.customer_id, a.at_ms, a.entry_id LIMIT CAST(:at_most AS bigint)

-- audit_backlog_move
-- The entries from before the chain are sealed up to this one.
UPDATE audit_backlog SET customer_id = :customer_id, at_ms = :at_ms, entry_id = :entry_id
WHERE only_row = 1

-- audit_backlog_end
-- All entries from before the chain are sealed.
-- cross-customer: of all customers
DELETE FROM audit_backlog WHERE only_row = 1

-- audit_head_list
-- The last sequence number of every chain, and its digest.
-- cross-customer: the operator exports all heads; steps from one customer's chain to the next one's
WITH RECURSIVE who (customer_id) AS (
    SELECT min(customer_id) FROM audit_seal
    UNION ALL
    SELECT (SELECT min(s.customer_id) FROM audit_seal AS s WHERE s.customer_id > who.customer_id)
    FROM who WHERE who.customer_id IS NOT NULL
)
SELECT s.customer_id, s.seq, s.digest
FROM who JOIN audit_seal AS s ON s.customer_id = who.customer_id
    AND s.seq = (SELECT max(m.seq) FROM audit_seal AS m WHERE m.customer_id = who.customer_id)
ORDER BY s.customer_id
