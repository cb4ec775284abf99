-- webhook_lock
-- The webhook of a customer. The writer locks the whole database until the end of the transaction.
SELECT customer_id FROM webhook WHERE customer_id = :customer_id

-- webhook_deliveries_delete
-- Delete the first deliveries of a customer; returns a row for each.
DELETE FROM delivery WHERE customer_id = :customer_id AND delivery_id IN (
    SELECT delivery_id FROM delivery
    WHERE customer_id = :customer_id ORDER BY delivery_id LIMIT :at_most
)
RETURNING delivery_id
