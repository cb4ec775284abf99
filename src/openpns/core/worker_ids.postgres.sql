-- worker_lease_lock
-- Let no other transaction that takes a worker id, or checks that none is taken, run meanwhile.
SELECT pg_advisory_xact_lock(31367303361752692)
