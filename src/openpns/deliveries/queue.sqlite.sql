-- delivery_claim
-- Lease some due deliveries of a customer, the ones that are due first.
UPDATE delivery SET next_ms = :lease_ms, lease_owner = :owner
WHERE customer_id = :customer_id AND delivery_id IN (
    SELECT delivery_id FROM delivery
    WHERE customer_id = :customer_id AND state = 'pending' AND next_ms <= :now_ms
    ORDER BY next_ms, delivery_id LIMIT :at_most
)
RETURNING delivery_id, kind, body, round_tries
