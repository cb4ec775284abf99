-- webhook_find
-- The webhook of a customer; no row if there is none.
SELECT
    customer_id, url, kinds, state, created_ms, changed_ms, secret_ciphertext, previous_ciphertext,
    previous_until_ms
FROM webhook WHERE customer_id = :customer_id

-- webhook_list
-- The webhooks of all customers.
-- cross-customer: the operator's own list
SELECT
    customer_id, url, kinds, state, created_ms, changed_ms, secret_ciphertext, previous_ciphertext,
    previous_until_ms
FROM webhook ORDER BY customer_id

-- webhook_create
-- Store the webhook of a customer; returns no row if there is one.
INSERT INTO webhook (
    customer_id, url, kinds, state, secret_ciphertext, previous_ciphertext, previous_until_ms,
    created_ms, changed_ms
) VALUES (
    :customer_id, :url, :kinds, 'active', :secret_ciphertext, NULL, NULL, :now_ms, :now_ms
)
ON CONFLICT DO NOTHING
RETURNING customer_id

-- webhook_change
-- Change where the events of a customer are delivered, and which ones; one that is gone is active then.
-- Each change has another changed_ms, by which workers see it.
UPDATE webhook
SET url = :url, kinds = :kinds, state = CASE WHEN state = 'gone' THEN 'active' ELSE state END,
    failing_ms = 0, changed_ms = CASE
        WHEN changed_ms < CAST(:now_ms AS bigint) THEN CAST(:now_ms AS bigint)
        ELSE changed_ms + 1 END
WHERE customer_id = :customer_id

-- webhook_set_state
-- Change the state of a webhook.
UPDATE webhook
SET state = :state, failing_ms = 0, changed_ms = CASE
    WHEN changed_ms < CAST(:now_ms AS bigint) THEN CAST(:now_ms AS bigint)
    ELSE changed_ms + 1 END
WHERE customer_id = :customer_id

-- webhook_rotate
-- Give a webhook a new secret; the old one stays in force for a while.
UPDATE webhook
SET previous_ciphertext = secret_ciphertext, previous_until_ms = :previous_until_ms,
    secret_ciphertext = :secret_ciphertext, failing_ms = 0, changed_ms = CASE
        WHEN changed_ms < CAST(:now_ms AS bigint) THEN CAST(:now_ms AS bigint)
        ELSE changed_ms + 1 END
WHERE customer_id = :customer_id

-- webhook_rotate_back
-- Give a webhook the secrets of before its last rotation; returns no row if they have changed since.
UPDATE webhook
SET secret_ciphertext = :secret_ciphertext, previous_ciphertext = :previous_ciphertext,
    previous_until_ms = :previous_until_ms, changed_ms = changed_ms + 1
WHERE customer_id = :customer_id AND previous_ciphertext = :secret_ciphertext
RETURNING customer_id

-- webhook_delete
-- Delete the webhook of a customer; returns its URL, no row if there is none.
DELETE FROM webhook WHERE customer_id = :customer_id RETURNING url

-- webhook_deliveries_find
-- Returns a row if a customer has a delivery.
SELECT delivery_id FROM delivery WHERE customer_id = :customer_id ORDER BY delivery_id LIMIT 1

-- webhook_reencrypt
-- Replace a webhook's secrets, encrypted under another master key.
UPDATE webhook
SET secret_ciphertext = :secret_ciphertext, previous_ciphertext = :previous_ciphertext
WHERE customer_id = :customer_id

-- delivery_usage
-- How many deliveries of a customer are pending and failed, at most :at_most of each, and when the
-- event of the oldest pending one occurred.
SELECT
    (SELECT count(*) FROM (
        SELECT 1 AS one FROM delivery WHERE customer_id = :customer_id AND state = 'pending'
        LIMIT CAST(:at_most AS bigint)
    ) AS p) AS pending,
    (SELECT count(*) FROM (
        SELECT 1 AS one FROM delivery WHERE customer_id = :customer_id AND state = 'failed'
        LIMIT CAST(:at_most AS bigint)
    ) AS f) AS failed,
    (SELECT created_ms FROM delivery WHERE customer_id = :customer_id AND state = 'pending'
        ORDER BY delivery_id LIMIT 1) AS oldest_ms
