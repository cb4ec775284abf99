-- idempotency_record_clean
-- Delete some expired records; returns a row for each.
-- cross-customer: the records of all customers expire alike
DELETE FROM idempotency_record
WHERE expires_ms <= CAST(:now_ms AS bigint) AND (customer_id, idempotency_key) IN (
    SELECT customer_id, idempotency_key FROM idempotency_record
    WHERE expires_ms <= CAST(:now_ms AS bigint) ORDER BY expires_ms LIMIT CAST(:at_most AS bigint)
)
RETURNING code
