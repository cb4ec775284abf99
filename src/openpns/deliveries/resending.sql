-- delivery_find
-- One delivery of a customer.
SELECT
    delivery_id, kind, state, tries, next_ms, last_status, last_error, created_ms, last_ms,
    round_tries, lease_owner <> '', body
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
-- The first failed deliveries of a customer after an id, when their events occurred, and their kinds.
-- rows: json
SELECT delivery_id, created_ms, kind FROM delivery
WHERE customer_id = :customer_id AND state = 'failed' AND delivery_id > CAST(:after AS text)
ORDER BY delivery_id LIMIT CAST(:at_most AS bigint)

-- delivery_resend_failed
-- Let failed deliveries of events since a time be tried now: those from an id up to another one, without
-- tests. Returns a row for each.
UPDATE delivery
SET state = 'pending', round_tries = 0, next_ms = :now_ms, lease_owner = '',
    last_error = CASE WHEN last_ms = 0 THEN '' ELSE last_error END
WHERE customer_id = :customer_id AND state = 'failed' AND delivery_id >= CAST(:first AS text)
    AND delivery_id <= CAST(:last AS text) AND created_ms >= CAST(:since_ms AS bigint)
    AND kind <> 'test'
RETURNING delivery_id

-- delivery_add_test
-- Store a test event for the customer's webhook, whatever kinds it wants, if it is active; returns no
-- row if it is not.
INSERT INTO delivery (
    customer_id, delivery_id, kind, body, created_ms, state, tries, round_tries, next_ms, lease_owner,
    last_ms, last_status, last_error
)
SELECT
    w.customer_id, CAST(:delivery_id AS text), 'test', CAST(:body AS text), CAST(:now_ms AS bigint),
    'pending', 0, 0, CAST(:now_ms AS bigint), '', 0, 0, ''
FROM webhook AS w
WHERE w.customer_id = :customer_id AND w.state = 'active'
RETURNING delivery_id

-- delivery_end_test
-- Let a test fail that is pending and that no worker tries at the moment; returns a row if it was.
UPDATE delivery
SET state = 'failed', lease_owner = '',
    last_error = CASE WHEN last_ms = 0 THEN 'withdrawn' ELSE last_error END
WHERE customer_id = :customer_id AND delivery_id = :delivery_id AND kind = 'test'
    AND state = 'pending' AND (lease_owner = '' OR next_ms <= CAST(:now_ms AS bigint))
RETURNING delivery_id
