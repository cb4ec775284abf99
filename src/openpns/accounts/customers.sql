-- customer_create
-- Store a new customer; returns no row if the id is taken.
INSERT INTO customer (customer_id, name, created_ms, disabled_ms)
VALUES (:customer_id, :name, :now_ms, NULL)
ON CONFLICT DO NOTHING
RETURNING customer_id

-- customer_state_create
-- Store the state of a new customer.
INSERT INTO customer_state (
    customer_id, group_count, next_seq, groups_revision, phone_count, phone_count_revision,
    byte_count, byte_count_revision
) VALUES (:customer_id, 0, 0, :revision, 0, :revision, 0, :revision)

-- customer_list
-- Every customer with its number of groups, its own quotas and audios, or one of them.
-- cross-customer: the operator's own list
SELECT
    c.customer_id, c.name, c.created_ms, c.disabled_ms, g.group_count, g.group_quota,
    g.phone_quota, g.byte_quota, g.binding_quota, g.call_record_quota, g.delivery_quota, a.call_fail,
    a.dtmf_err, a.dtmf_need
FROM customer_state AS g JOIN customer AS c ON c.customer_id = g.customer_id
LEFT JOIN call_audio AS a ON a.customer_id = g.customer_id AND a.did = ''
WHERE CAST(:customer_id AS text) IS NULL OR c.customer_id = CAST(:customer_id AS text)
ORDER BY c.created_ms, c.customer_id

-- customer_disable
-- Disable a customer from :now_ms on, or enable it with NULL; returns no row for an unknown one.
UPDATE customer
SET disabled_ms = CASE
    WHEN CAST(:now_ms AS bigint) IS NULL THEN NULL
    ELSE coalesce(disabled_ms, CAST(:now_ms AS bigint)) END
WHERE customer_id = :customer_id
RETURNING customer_id

-- customer_set_quota
-- Give a customer quotas of its own; NULL: those of the settings. Returns no row for an unknown one.
UPDATE customer_state
SET group_quota = :group_quota, phone_quota = :phone_quota, byte_quota = :byte_quota,
    binding_quota = :binding_quota, call_record_quota = :call_record_quota,
    delivery_quota = :delivery_quota
WHERE customer_id = :customer_id
RETURNING customer_id
