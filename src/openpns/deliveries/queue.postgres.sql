-- delivery_claim
-- Lease some due deliveries of a customer, the ones that are due first; rows that another worker
-- takes at the same time are passed over.
UPDATE delivery SET next_ms = CAST(:lease_ms AS bigint), lease_owner = CAST(:owner AS text)
WHERE customer_id = :customer_id AND delivery_id = ANY(ARRAY(
    SELECT delivery_id FROM delivery
    WHERE customer_id = :customer_id AND state = 'pending' AND next_ms <= CAST(:now_ms AS bigint)
    ORDER BY next_ms, delivery_id LIMIT CAST(:at_most AS bigint)
    FOR UPDATE SKIP LOCKED
))
RETURNING delivery_id, kind, body, round_tries
