-- idempotency_record_clean
-- Forget some notes whose time is over; returns a row for each. Those that another worker forgets at
-- the moment, or that a write puts a new note in the place of, are passed over: nobody waits.
-- cross-customer: every customer's notes run out alike
WITH over AS MATERIALIZED (
    SELECT customer_id, idempotency_key FROM idempotency_record
    WHERE expires_ms <= CAST(:now_ms AS bigint) ORDER BY expires_ms LIMIT CAST(:at_most AS bigint)
    FOR UPDATE SKIP LOCKED
)
DELETE FROM idempotency_record AS w USING over
WHERE w.customer_id = over.customer_id AND w.idempotency_key = over.idempotency_key
RETURNING w.code
