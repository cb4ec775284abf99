-- worker_lease_lock
-- Nothing to do: a transaction that writes holds the whole database.
SELECT 1
