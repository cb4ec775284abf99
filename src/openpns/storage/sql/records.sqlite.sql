-- write_record_clean
-- Forget some notes whose time is over; returns a row for each.
-- cross-customer: every customer's notes run out alike
DELETE FROM write_record WHERE (customer_id, record_key) IN (
    SELECT customer_id, record_key FROM write_record
    WHERE expires_ms <= CAST(:now_ms AS bigint) ORDER BY expires_ms LIMIT CAST(:at_most AS bigint)
)
RETURNING code
