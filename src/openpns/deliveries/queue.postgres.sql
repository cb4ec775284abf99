-- delivery_claim
-- Lease some due deliveries of a customer, the ones that are due first; rows that another worker
-- takes at the same time are passed over.
WITH chosen AS MATERIALIZED (
    SELECT delivery_id FROM delivery
    WHERE customer_id = :customer_id AND state = 'pending' AND next_ms <= CAST(:now_ms AS bigint)
    ORDER BY next_ms, delivery_id LIMIT CAST(:at_most AS bigint)
    FOR UPDATE SKIP LOCKED
), due AS MATERIALIZED (
    SELECT delivery_id FROM chosen LIMIT 1000
)
UPDATE delivery AS d SET next_ms = CAST(:lease_ms AS bigint), lease_owner = CAST(:owner AS text)
FROM due WHERE d.customer_id = :customer_id AND d.delivery_id = due.delivery_id
RETURNING d.delivery_id, d.kind, d.body, d.round_tries
