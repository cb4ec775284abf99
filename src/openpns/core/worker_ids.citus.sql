-- worker_lease_lock
-- Let no other transaction that takes a worker id, or checks that none is taken, run meanwhile.
-- Reading the table takes the lock on the coordinator, also if this server is connected to a worker.
SELECT pg_advisory_xact_lock(31367303361752692) FROM (SELECT count(*) FROM worker_lease) AS one
