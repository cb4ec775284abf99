-- idempotency_record_add
-- Record the response of a write; returns no row if a record of the same key has not expired.
INSERT INTO idempotency_record (customer_id, idempotency_key, fingerprint, code, answer, expires_ms)
VALUES (:customer_id, :idempotency_key, :fingerprint, :code, :answer, :expires_ms)
ON CONFLICT (customer_id, idempotency_key) DO UPDATE SET
    fingerprint = excluded.fingerprint, code = excluded.code, answer = excluded.answer,
    expires_ms = excluded.expires_ms
WHERE idempotency_record.expires_ms <= CAST(:now_ms AS bigint)
RETURNING idempotency_key

-- idempotency_record_find
-- The response that is recorded under a key.
SELECT fingerprint, code, answer FROM idempotency_record
WHERE customer_id = :customer_id AND idempotency_key = :idempotency_key

-- idempotency_record_find_live
-- A record under a key that has not expired; no row if there is none.
SELECT code FROM idempotency_record
WHERE customer_id = :customer_id AND idempotency_key = :idempotency_key
    AND expires_ms > CAST(:now_ms AS bigint)
