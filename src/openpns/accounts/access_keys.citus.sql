-- key_find
-- An access key with its customer and the revisions of the customer's data.
-- cross-customer: the access key determines the customer
-- cached: access_key
-- owner: key_owner_find
SELECT
    k.access_key, k.customer_id, k.secret_ciphertext, k.previous_ciphertext, k.previous_until_ms,
    k.expires_ms, k.disabled_ms, c.disabled_ms AS customer_disabled_ms, k.sha256_only_since_ms,
    k.rate_per_s, k.rate_burst, k.read_only_ms, k.unique_ts_since_ms, k.hmac_only_since_ms,
    k.allowed_addresses, k.allowed_actions, g.groups_revision, g.bindings_revision
FROM access_key AS k
JOIN customer AS c ON c.customer_id = k.customer_id
JOIN customer_state AS g ON g.customer_id = k.customer_id
WHERE k.access_key = :access_key AND g.customer_id = ANY(CAST(:customer_ids AS text[]))

-- key_owner_find
-- The customers of access keys.
-- cross-customer: the access key determines the customer
-- cached: access_key
SELECT access_key, customer_id FROM access_key WHERE access_key = :access_key
