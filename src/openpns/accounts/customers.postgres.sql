-- customer_state_lock
-- Lock the state of a customer until the end of the transaction: its creates and binds wait.
SELECT customer_id FROM customer_state WHERE customer_id = :customer_id FOR UPDATE
