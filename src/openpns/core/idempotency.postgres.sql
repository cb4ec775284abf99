-- idempotency_record_clean
-- Delete some expired records; returns a row for each. Skips locked ones, so that it does not wait.
-- cross-customer: the records of all customers expire alike
WITH chosen AS MATERIALIZED (
    SELECT customer_id, idempotency_key FROM idempotency_record
    WHERE expires_ms <= CAST(:now_ms AS bigint) ORDER BY expires_ms LIMIT CAST(:at_most AS bigint)
    FOR UPDATE SKIP LOCKED
), over AS MATERIALIZED (
    SELECT customer_id, idempotency_key FROM chosen LIMIT 1000
)
DELETE FROM idempotency_record AS w USING over
WHERE w.customer_id = over.customer_id AND w.idempotency_key = over.idempotency_key
RETURNING w.code
