-- key_find
-- An access key with its customer and the revisions of the customer's data.
-- cross-customer: the access key determines the customer
-- cached: access_key
SELECT
    k.access_key, k.customer_id, k.secret_ciphertext, k.previous_ciphertext, k.previous_until_ms,
    k.expires_ms, k.disabled_ms, c.disabled_ms AS customer_disabled_ms, k.sha256_only_since_ms,
    k.rate_per_s, k.rate_burst, k.read_only_ms, k.unique_ts_since_ms, k.hmac_only_since_ms,
    k.allowed_addresses, k.allowed_actions, g.groups_revision, g.bindings_revision
FROM access_key AS k
JOIN customer AS c ON c.customer_id = k.customer_id
JOIN customer_state AS g ON g.customer_id = k.customer_id
WHERE k.access_key = :access_key

-- key_create
-- Store a new access key; returns no row if the name is taken.
INSERT INTO access_key (
    access_key, customer_id, label, secret_ciphertext, created_ms, expires_ms, sha256_only_since_ms,
    rate_per_s, rate_burst, read_only_ms, unique_ts_since_ms, hmac_only_since_ms,
    allowed_addresses, allowed_actions
) VALUES (
    :access_key, :customer_id, :label, :secret_ciphertext, :now_ms, :expires_ms, :sha256_only_since_ms,
    :rate_per_s, :rate_burst, :read_only_ms, :unique_ts_since_ms, :hmac_only_since_ms,
    :allowed_addresses, :allowed_actions
)
ON CONFLICT DO NOTHING
RETURNING access_key

-- key_list
-- Access keys without their secrets; a condition that is NULL does not restrict.
-- cross-customer: the operator's own list
SELECT
    access_key, customer_id, label, created_ms, expires_ms, disabled_ms, previous_until_ms,
    sha256_only_since_ms, rate_per_s, rate_burst, read_only_ms, unique_ts_since_ms,
    hmac_only_since_ms, allowed_addresses, allowed_actions, last_used_ms
FROM access_key
WHERE (CAST(:customer_id AS text) IS NULL OR customer_id = CAST(:customer_id AS text))
    AND (CAST(:access_key AS text) IS NULL OR access_key = CAST(:access_key AS text))
ORDER BY created_ms, access_key

-- key_disable
-- Disable a key from :now_ms on, or enable it with NULL; returns no row for an unknown one.
-- cross-customer: the operator names the access key
UPDATE access_key
SET disabled_ms = CASE
    WHEN CAST(:now_ms AS bigint) IS NULL THEN NULL
    ELSE coalesce(disabled_ms, CAST(:now_ms AS bigint)) END
WHERE access_key = :access_key
RETURNING access_key

-- key_require_sha256
-- Refuse a key's md5 signatures from :now_ms on, or accept them with NULL; no row: unknown key.
-- cross-customer: the operator names the access key
UPDATE access_key
SET sha256_only_since_ms = CASE
    WHEN CAST(:now_ms AS bigint) IS NULL THEN NULL
    ELSE coalesce(sha256_only_since_ms, CAST(:now_ms AS bigint)) END
WHERE access_key = :access_key
RETURNING access_key

-- key_require_unique_ts
-- Take identical writes as copies from :now_ms on, or each as a request with NULL; no row:
-- unknown key.
-- cross-customer: the operator names the access key
UPDATE access_key
SET unique_ts_since_ms = CASE
    WHEN CAST(:now_ms AS bigint) IS NULL THEN NULL
    ELSE coalesce(unique_ts_since_ms, CAST(:now_ms AS bigint)) END
WHERE access_key = :access_key
RETURNING access_key

-- key_require_hmac
-- Refuse a key's other signatures from :now_ms on, or accept them with NULL; no row: unknown key.
-- cross-customer: the operator names the access key
UPDATE access_key
SET hmac_only_since_ms = CASE
    WHEN CAST(:now_ms AS bigint) IS NULL THEN NULL
    ELSE coalesce(hmac_only_since_ms, CAST(:now_ms AS bigint)) END
WHERE access_key = :access_key
RETURNING access_key

-- key_set_addresses
-- Restrict a key to some networks, or not with NULL; returns no row for an unknown one.
-- cross-customer: the operator names the access key
UPDATE access_key SET allowed_addresses = :allowed_addresses
WHERE access_key = :access_key
RETURNING access_key

-- key_set_actions
-- Restrict a key to some actions, or not with NULL; returns no row for an unknown one.
-- cross-customer: the operator names the access key
UPDATE access_key SET allowed_actions = :allowed_actions
WHERE access_key = :access_key
RETURNING access_key

-- key_record_use
-- Store when a key was used last, unless a later time is stored.
-- cross-customer: the access key determines the customer
UPDATE access_key SET last_used_ms = :used_ms
WHERE access_key = :access_key AND coalesce(last_used_ms, 0) < CAST(:used_ms AS bigint)

-- key_list_expiring
-- Active keys that expire soon, the first to expire first.
-- cross-customer: the operator is warned
SELECT access_key, customer_id, expires_ms
FROM access_key
WHERE disabled_ms IS NULL AND expires_ms > CAST(:now_ms AS bigint)
    AND expires_ms <= CAST(:until_ms AS bigint)
ORDER BY expires_ms, access_key
LIMIT CAST(:at_most AS bigint)

-- key_set_rate
-- Give a key a rate of its own, or none with NULL; returns no row for an unknown one.
-- cross-customer: the operator names the access key
UPDATE access_key SET rate_per_s = :rate_per_s, rate_burst = :rate_burst
WHERE access_key = :access_key
RETURNING access_key

-- key_expire
-- Let a key expire at :expires_ms, or never with NULL; returns no row for an unknown one.
-- cross-customer: the operator names the access key
UPDATE access_key SET expires_ms = :expires_ms
WHERE access_key = :access_key
RETURNING access_key

-- key_rotate
-- Give a key a new secret; the old one stays valid for a while; returns no row for an unknown key.
-- cross-customer: the operator names the access key
UPDATE access_key
SET previous_ciphertext = secret_ciphertext, previous_until_ms = :previous_until_ms,
    secret_ciphertext = :secret_ciphertext
WHERE access_key = :access_key
RETURNING access_key, customer_id

-- key_rotate_back
-- Give a key the secrets of before its last rotation; returns no row if they have changed since.
-- cross-customer: the operator names the access key
UPDATE access_key
SET secret_ciphertext = :secret_ciphertext, previous_ciphertext = :previous_ciphertext,
    previous_until_ms = :previous_until_ms
WHERE access_key = :access_key AND previous_ciphertext = :secret_ciphertext
RETURNING access_key, customer_id

-- key_ciphertext_list
-- Every encrypted secret.
-- cross-customer: the master key is the whole database's
SELECT access_key, secret_ciphertext, previous_ciphertext FROM access_key ORDER BY access_key

-- key_reencrypt
-- Replace a key's secrets, encrypted under another master key.
-- cross-customer: the master key is the whole database's
UPDATE access_key SET secret_ciphertext = :secret_ciphertext, previous_ciphertext = :previous_ciphertext
WHERE access_key = :access_key

-- master_key_check_find
-- The text by which the master key is recognised; the database has one.
SELECT ciphertext FROM master_key_check WHERE only_row = 1

-- master_key_check_lock
-- Read the text by which the master key is recognised, and lock it until the end of the write.
UPDATE master_key_check SET ciphertext = ciphertext WHERE only_row = 1 RETURNING ciphertext

-- master_key_check_create
-- Store the text by which the master key is recognised, if there is none yet.
INSERT INTO master_key_check (only_row, ciphertext) VALUES (1, :ciphertext) ON CONFLICT DO NOTHING

-- master_key_check_write
-- Replace the text by which the master key is recognised.
UPDATE master_key_check SET ciphertext = :ciphertext WHERE only_row = 1
