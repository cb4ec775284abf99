-- worker_lease_list
-- All worker ids that were ever leased, and the end of each lease.
SELECT worker_id, expires_ms FROM worker_lease ORDER BY worker_id

-- worker_lease_take
-- Lease a worker id that is free or the owner's own; no row if another worker was faster.
INSERT INTO worker_lease (worker_id, owner, expires_ms)
VALUES (:worker_id, :owner, :expires_ms)
ON CONFLICT (worker_id) DO UPDATE SET owner = :owner, expires_ms = :expires_ms
WHERE worker_lease.expires_ms < :now_ms OR worker_lease.owner = :owner
RETURNING worker_id

-- worker_lease_release
-- End a lease; :last_ms is the time in the last request id under this worker id.
UPDATE worker_lease SET expires_ms = :last_ms WHERE worker_id = :worker_id AND owner = :owner
