-- worker_lease_list
-- Every worker number that was ever held, and until when.
SELECT worker_id, expires_ms FROM worker_lease ORDER BY worker_id

-- worker_lease_take
-- Hold a worker number that is free or was the owner's; returns no row where another was faster.
INSERT INTO worker_lease (worker_id, owner, expires_ms)
VALUES (:worker_id, :owner, :expires_ms)
ON CONFLICT (worker_id) DO UPDATE SET owner = :owner, expires_ms = :expires_ms
WHERE worker_lease.expires_ms < :now_ms OR worker_lease.owner = :owner
RETURNING worker_id

-- worker_lease_release
-- Give a worker number back; :last_ms is the time in the last id that it was used for.
UPDATE worker_lease SET expires_ms = :last_ms WHERE worker_id = :worker_id AND owner = :owner
