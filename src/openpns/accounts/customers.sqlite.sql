-- customer_state_lock
-- The state of a customer. The writer locks the whole database until the end of the transaction.
SELECT customer_id FROM customer_state WHERE customer_id = :customer_id
