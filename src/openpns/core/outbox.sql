-- delivery_count
-- Count an event that delivery_add will store; returns no row.
INSERT INTO customer_usage AS u (customer_id, name, worker_id, count)
SELECT w.customer_id, 'deliveries', CAST(:worker_id AS bigint), 1
FROM webhook AS w
WHERE w.customer_id = :customer_id
    AND ',' || w.kinds || ',' LIKE '%,' || CAST(:kind AS text) || ',%'
    AND NOT EXISTS (
        SELECT 1 FROM delivery AS d
        WHERE d.customer_id = :customer_id AND d.delivery_id = CAST(:delivery_id AS text)
    )
ON CONFLICT (customer_id, name, worker_id) DO UPDATE SET count = u.count + excluded.count

-- delivery_add
-- Store an event for the customer's webhook, if it wants this kind and the event is not stored yet;
-- returns no row.
INSERT INTO delivery (
    customer_id, delivery_id, kind, body, created_ms, state, tries, round_tries, next_ms, lease_owner,
    last_ms, last_status, last_error
)
SELECT
    w.customer_id, CAST(:delivery_id AS text), CAST(:kind AS text), CAST(:body AS text),
    CAST(:now_ms AS bigint), CASE w.state WHEN 'active' THEN 'pending' ELSE 'failed' END, 0, 0,
    CAST(:now_ms AS bigint), '', 0, 0, CASE w.state WHEN 'active' THEN '' ELSE 'webhook ' || w.state END
FROM webhook AS w
WHERE w.customer_id = :customer_id
    AND ',' || w.kinds || ',' LIKE '%,' || CAST(:kind AS text) || ',%'
ON CONFLICT (customer_id, delivery_id) DO NOTHING
