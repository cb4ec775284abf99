-- delivery_list
-- A page of the deliveries of a customer before an id, newest first.
-- rows: json
SELECT
    delivery_id, kind, state, tries, next_ms, last_status, last_error, created_ms, last_ms
FROM delivery
WHERE customer_id = :customer_id AND delivery_id < CAST(:before AS text)
ORDER BY delivery_id DESC LIMIT CAST(:limit AS bigint)

-- delivery_list_in_state
-- The same of those in one state.
-- rows: json
SELECT
    delivery_id, kind, state, tries, next_ms, last_status, last_error, created_ms, last_ms
FROM delivery
WHERE customer_id = :customer_id AND state = CAST(:state AS text)
    AND delivery_id < CAST(:before AS text)
ORDER BY delivery_id DESC LIMIT CAST(:limit AS bigint)
