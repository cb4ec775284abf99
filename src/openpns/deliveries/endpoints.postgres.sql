-- webhook_lock
-- Lock the webhook of a customer until the end of the transaction; no row if there is none.
SELECT customer_id FROM webhook WHERE customer_id = :customer_id FOR UPDATE
