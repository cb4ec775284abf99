-- key_find
-- What a call needs to know of its access key, the key's customer and the state of its data.
-- cross-customer: the access key is what tells the customer
SELECT
    k.access_key, k.customer_id, k.secret_ciphertext, k.previous_ciphertext, k.previous_until_ms,
    k.expires_ms, k.disabled_ms, c.disabled_ms AS customer_disabled_ms, k.sha256_only_since_ms,
    k.rate_per_s, k.rate_burst, k.read_only_ms, k.unique_ts_since_ms, g.groups_revision
FROM access_key AS k
JOIN customer AS c ON c.customer_id = k.customer_id
JOIN customer_state AS g ON g.customer_id = k.customer_id
WHERE k.access_key = :value
