-- group_usage
-- What a customer's groups use: their number, their phones in all (NULL if they are not counted),
-- the phones of the largest, the end of their seqs, their bytes (NULL if they are not counted); and
-- the customer's own quotas.
SELECT
    group_count,
    CASE phone_count_revision WHEN groups_revision THEN phone_count END,
    coalesce((
        SELECT g.phone_count FROM number_group AS g
        WHERE g.customer_id = :customer_id AND g.customer_id || '' = :customer_id
        ORDER BY g.phone_count DESC LIMIT 1
    ), 0),
    next_seq,
    CASE byte_count_revision WHEN groups_revision THEN byte_count END,
    group_quota, phone_quota, byte_quota
FROM customer_state
WHERE customer_id = :customer_id
