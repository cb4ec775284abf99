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
