-- node_lease_list
-- Every worker number that was ever held, and until when.
SELECT node_id, expires_ms FROM node_lease ORDER BY node_id

-- node_lease_take
-- Hold a worker number that is free or was the owner's; returns no row where another was faster.
INSERT INTO node_lease (node_id, owner, expires_ms)
VALUES (:node_id, :owner, :expires_ms)
ON CONFLICT (node_id) DO UPDATE SET owner = :owner, expires_ms = :expires_ms
WHERE node_lease.expires_ms < :now_ms OR node_lease.owner = :owner
RETURNING node_id

-- node_lease_release
-- Give a worker number back; :last_ms is the time in the last id that it was used for.
UPDATE node_lease SET expires_ms = :last_ms WHERE node_id = :node_id AND owner = :owner
