-- webhook_lock
-- The webhook of a customer. The writer locks the whole database until the end of the transaction.
SELECT customer_id FROM webhook WHERE customer_id = :customer_id
