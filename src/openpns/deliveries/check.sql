-- delivery_check
-- Every webhook and every delivery, in one snapshot. Both have the same columns: what a webhook lacks
-- is empty. A secret is sound if it can be one that the database's master key has encrypted.
-- cross-customer: the check reads the whole database
SELECT
    'webhook' AS what, w.customer_id, '' AS delivery_id, w.url AS url, w.kinds AS kind, w.state, '' AS body,
    CAST(0 AS bigint) AS tries, CAST(0 AS bigint) AS round_tries,
    CAST(
        length(w.secret_ciphertext) > 37
        AND substr(w.secret_ciphertext, 1, 9) = substr(m.ciphertext, 1, 9)
        AND (w.previous_ciphertext IS NULL) = (w.previous_until_ms IS NULL)
        AND coalesce(length(w.previous_ciphertext) > 37
            AND substr(w.previous_ciphertext, 1, 9) = substr(m.ciphertext, 1, 9), true)
    AS integer) AS is_sound
FROM webhook AS w LEFT JOIN master_key_check AS m ON m.only_row = 1
UNION ALL
SELECT
    'delivery', d.customer_id, d.delivery_id, '', d.kind, d.state, d.body, d.tries, d.round_tries,
    CAST(EXISTS (SELECT 1 FROM webhook AS w WHERE w.customer_id = d.customer_id) AS integer)
FROM delivery AS d
