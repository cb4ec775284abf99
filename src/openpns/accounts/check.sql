-- account_check
-- Every customer with its state, every customer without an audit entry, and every access key with its
-- lists.
-- cross-customer: the check reads the whole database
SELECT
    'customer' AS kind, c.customer_id, CAST(NULL AS text) AS access_key,
    CAST(s.customer_id IS NOT NULL AS integer) AS is_sound,
    CAST(NULL AS text) AS allowed_addresses, CAST(NULL AS text) AS allowed_actions
FROM customer AS c LEFT JOIN customer_state AS s ON s.customer_id = c.customer_id
UNION ALL
SELECT 'unaudited', c.customer_id, NULL, 0, NULL, NULL
FROM customer AS c
WHERE NOT EXISTS (SELECT 1 FROM audit_entry AS a WHERE a.customer_id = c.customer_id)
UNION ALL
SELECT
    'key', k.customer_id, k.access_key, CAST(length(k.secret_ciphertext) > 0 AS integer),
    k.allowed_addresses, k.allowed_actions
FROM access_key AS k
UNION ALL
SELECT 'orphan', k.customer_id, k.access_key, 0, NULL, NULL
FROM access_key AS k
WHERE NOT EXISTS (SELECT 1 FROM customer AS c WHERE c.customer_id = k.customer_id)
