-- account_check
-- Every customer with its state, every customer without an audit entry, and every access key with its
-- lists.
-- cross-customer: the check reads the whole database
WITH state AS MATERIALIZED (
    SELECT customer_id FROM customer_state
), audited AS MATERIALIZED (
    SELECT DISTINCT customer_id FROM audit_entry
)
SELECT
    'customer' AS kind, c.customer_id, CAST(NULL AS text) AS access_key,
    CAST(s.customer_id IS NOT NULL AS integer) AS is_sound,
    CAST(NULL AS text) AS allowed_addresses, CAST(NULL AS text) AS allowed_actions
FROM customer AS c LEFT JOIN state AS s ON s.customer_id = c.customer_id
UNION ALL
SELECT 'unaudited', c.customer_id, NULL, 0, NULL, NULL
FROM customer AS c LEFT JOIN audited AS a ON a.customer_id = c.customer_id
WHERE a.customer_id IS NULL
UNION ALL
SELECT
    'key', k.customer_id, k.access_key, CAST(length(k.secret_ciphertext) > 0 AS integer),
    k.allowed_addresses, k.allowed_actions
FROM access_key AS k
UNION ALL
SELECT 'orphan', k.customer_id, k.access_key, 0, NULL, NULL
FROM access_key AS k LEFT JOIN customer AS c ON c.customer_id = k.customer_id
WHERE c.customer_id IS NULL
