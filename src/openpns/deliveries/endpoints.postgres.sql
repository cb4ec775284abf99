-- webhook_lock
-- Lock the webhook of a customer until the end of the transaction; no row if there is none.
SELECT customer_id FROM webhook WHERE customer_id = :customer_id FOR UPDATE

-- webhook_deliveries_delete
-- Delete the first deliveries of a customer; returns a row for each. They are locked in the order in
-- which workers store results.
WITH chosen AS MATERIALIZED (
    SELECT delivery_id FROM delivery
    WHERE customer_id = :customer_id ORDER BY delivery_id LIMIT CAST(:at_most AS bigint)
    FOR UPDATE
), first AS MATERIALIZED (
    SELECT delivery_id FROM chosen LIMIT 1000
)
DELETE FROM delivery AS d USING first
WHERE d.customer_id = :customer_id AND d.delivery_id = first.delivery_id
RETURNING d.delivery_id
