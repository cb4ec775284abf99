-- audit_customers
-- The customers with entries from before a time.
-- cross-customer: the operator prunes the whole trail
SELECT c.customer_id FROM customer_state AS c
WHERE EXISTS (
    SELECT 1 FROM audit_entry AS a
    WHERE a.customer_id = c.customer_id AND a.at_ms < CAST(:before_ms AS bigint)
)
UNION ALL
SELECT DISTINCT a.customer_id FROM audit_entry AS a
WHERE a.customer_id = '' AND a.at_ms < CAST(:before_ms AS bigint)
