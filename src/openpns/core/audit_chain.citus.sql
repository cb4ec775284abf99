-- audit_seal_lock
-- Try to be the only transaction that changes chains; false if another one is. Reading a table that
-- only the coordinator has takes the lock there, also if this server is connected to a worker.
SELECT pg_try_advisory_xact_lock(31367303361752693) FROM (SELECT count(*) FROM worker_lease) AS one

-- audit_seal_wait
-- Wait until this is the only transaction that changes chains, as above.
SELECT true FROM (
    SELECT pg_advisory_xact_lock(31367303361752693)
    FROM (SELECT count(*) FROM worker_lease) AS one
) AS held

-- audit_head_find
-- The last sequence number of the chains of these customers, and its digest; no row for an empty
-- chain. The chain without a customer has no row of customer_state.
-- cross-customer: entries of all customers are sealed together
SELECT s.customer_id, s.seq, s.digest
FROM customer_state AS c CROSS JOIN LATERAL (
    SELECT a.customer_id, a.seq, a.digest FROM audit_seal AS a
    WHERE a.customer_id = c.customer_id ORDER BY a.seq DESC LIMIT 1
) AS s
WHERE c.customer_id = ANY(CAST(:customer_ids AS text[]))
UNION ALL
SELECT s.customer_id, s.seq, s.digest FROM (
    SELECT a.customer_id, a.seq, a.digest FROM audit_seal AS a
    WHERE a.customer_id = '' ORDER BY a.seq DESC LIMIT 1
) AS s
WHERE '' = ANY(CAST(:customer_ids AS text[]))

-- audit_head_list
-- The last sequence number of every chain, and its digest.
-- cross-customer: the operator exports all heads
SELECT * FROM (
    SELECT s.customer_id, s.seq, s.digest
    FROM customer_state AS c CROSS JOIN LATERAL (
        SELECT a.customer_id, a.seq, a.digest FROM audit_seal AS a
        WHERE a.customer_id = c.customer_id ORDER BY a.seq DESC LIMIT 1
    ) AS s
    UNION ALL
    SELECT s.customer_id, s.seq, s.digest FROM (
        SELECT a.customer_id, a.seq, a.digest FROM audit_seal AS a
        WHERE a.customer_id = '' ORDER BY a.seq DESC LIMIT 1
    ) AS s
) AS head
ORDER BY customer_id
