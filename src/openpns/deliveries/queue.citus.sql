-- delivery_due_customers
-- Customers after a given one, in order, that have pending deliveries to a webhook: how they are to
-- be sent, and whether any is due.
-- cross-customer: a worker delivers for all customers
SELECT
    w.customer_id, w.url, w.secret_ciphertext, w.previous_ciphertext,
    coalesce(w.previous_until_ms, 0), w.changed_ms, w.failing_ms,
    CASE WHEN w.state = 'active' AND d.next_ms <= CAST(:now_ms AS bigint) THEN 1 ELSE 0 END
FROM webhook AS w CROSS JOIN LATERAL (
    SELECT o.next_ms FROM delivery AS o
    WHERE o.customer_id = w.customer_id AND o.state = 'pending'
    ORDER BY o.next_ms LIMIT 1
) AS d
WHERE w.customer_id > CAST(:after AS text)
ORDER BY w.customer_id LIMIT CAST(:at_most AS bigint)

-- delivery_backlog
-- How many of the oldest pending deliveries are of active webhooks, and when the first of them was
-- added.
-- cross-customer: counts those of all customers
SELECT count(*), min(oldest.created_ms)
FROM (
    SELECT d.created_ms FROM delivery AS d
    JOIN webhook AS w ON w.customer_id = d.customer_id AND w.state = 'active'
    WHERE d.state = 'pending' ORDER BY d.created_ms LIMIT CAST(:at_most AS bigint)
) AS oldest
