-- idempotency_record_add
-- Note what a write is answered with; returns no row where a note of the same key still counts.
INSERT INTO idempotency_record (customer_id, idempotency_key, fingerprint, code, answer, expires_ms)
VALUES (:customer_id, :idempotency_key, :fingerprint, :code, :answer, :expires_ms)
ON CONFLICT (customer_id, idempotency_key) DO UPDATE SET
    fingerprint = excluded.fingerprint, code = excluded.code, answer = excluded.answer,
    expires_ms = excluded.expires_ms
WHERE idempotency_record.expires_ms <= CAST(:now_ms AS bigint)
RETURNING idempotency_key

-- idempotency_record_amend
-- Write the answer into a note.
UPDATE idempotency_record SET answer = :answer
WHERE customer_id = :customer_id AND idempotency_key = :idempotency_key

-- idempotency_record_find
-- What a write was answered with.
SELECT fingerprint, code, answer FROM idempotency_record
WHERE customer_id = :customer_id AND idempotency_key = :idempotency_key
