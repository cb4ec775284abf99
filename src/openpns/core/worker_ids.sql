-- worker_lease_list
-- All worker ids that were ever leased, the end of each lease, and the newest migration that its
-- worker knows.
SELECT worker_id, expires_ms, migration FROM worker_lease ORDER BY worker_id

-- node_lease_list
-- Every lease before migration 8, and until when it is held.
-- until-migration: 8
SELECT node_id, expires_ms FROM node_lease ORDER BY node_id

-- worker_lease_take
-- Lease a worker id that is free or the owner's own; no row if another worker was faster.
INSERT INTO worker_lease (worker_id, owner, expires_ms, migration)
VALUES (:worker_id, :owner, :expires_ms, :migration)
ON CONFLICT (worker_id) DO UPDATE
SET owner = :owner, expires_ms = :expires_ms, migration = :migration
WHERE worker_lease.expires_ms < :now_ms OR worker_lease.owner = :owner
RETURNING worker_id

-- worker_lease_release
-- End a lease; :last_ms is the time in the last request id under this worker id.
UPDATE worker_lease SET expires_ms = :last_ms WHERE worker_id = :worker_id AND owner = :owner
