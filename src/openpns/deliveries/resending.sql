-- delivery_find
-- One delivery of a customer.
SELECT
    delivery_id, kind, state, tries, next_ms, last_status, last_error, created_ms, last_ms, lease_owner
FROM delivery WHERE customer_id = :customer_id AND delivery_id = :delivery_id

-- delivery_resend
-- Let a delivery be tried now, with all tries of the schedule; returns no row if there is none, or if a
-- worker has taken it.
UPDATE delivery
SET state = 'pending', round_tries = 0, next_ms = :now_ms, lease_owner = '',
    last_error = CASE WHEN last_ms = 0 THEN '' ELSE last_error END
WHERE customer_id = :customer_id AND delivery_id = :delivery_id
    AND (state <> 'pending' OR lease_owner = '')
RETURNING delivery_id

-- delivery_failed_list
-- Failed deliveries of events since a time, the first :at_most after an id.
-- rows: json
SELECT delivery_id FROM delivery
WHERE customer_id = :customer_id AND state = 'failed' AND delivery_id > CAST(:after AS text)
    AND created_ms >= CAST(:since_ms AS bigint)
ORDER BY delivery_id LIMIT CAST(:at_most AS bigint)

-- delivery_resend_failed
-- Let failed deliveries of events since a time be tried now: those after an id, up to another one.
-- Returns a row for each.
UPDATE delivery
SET state = 'pending', round_tries = 0, next_ms = :now_ms, lease_owner = '',
    last_error = CASE WHEN last_ms = 0 THEN '' ELSE last_error END
WHERE customer_id = :customer_id AND state = 'failed' AND delivery_id > CAST(:after AS text)
    AND delivery_id <= CAST(:upto AS text) AND created_ms >= CAST(:since_ms AS bigint)
RETURNING delivery_id
