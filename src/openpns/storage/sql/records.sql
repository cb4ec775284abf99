-- write_record_add
-- Note what a write is answered with; returns no row where a note of the same key still counts.
INSERT INTO write_record (customer_id, record_key, fingerprint, code, answer, expires_ms)
VALUES (:customer_id, :record_key, :fingerprint, :code, :answer, :expires_ms)
ON CONFLICT (customer_id, record_key) DO UPDATE SET
    fingerprint = excluded.fingerprint, code = excluded.code, answer = excluded.answer,
    expires_ms = excluded.expires_ms
WHERE write_record.expires_ms <= CAST(:now_ms AS bigint)
RETURNING record_key

-- write_record_amend
-- Write the answer into a note.
UPDATE write_record SET answer = :answer
WHERE customer_id = :customer_id AND record_key = :record_key

-- write_record_find
-- What a write was answered with.
SELECT fingerprint, code, answer FROM write_record
WHERE customer_id = :customer_id AND record_key = :record_key
