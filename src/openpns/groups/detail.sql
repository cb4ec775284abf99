-- group_get
-- One group, with its seq and its count of bindings; without its phones if it has more than
-- phones_max.
SELECT
    g.group_seq, g.bound_count, g.customer_id, g.group_name, g.group_id,
    CASE
        WHEN g.phone_count <= CAST(:phones_in_chunk AS bigint) THEN g.phones
        WHEN g.phone_count <= CAST(:phones_max AS bigint) THEN g.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = g.group_seq
        )
    END AS phones,
    g.remark, g.phone_count, g.created_ms, g.updated_ms
FROM number_group AS g
WHERE g.customer_id = :customer_id AND g.group_id = :group_id

-- group_list_phones
-- The first chunk of a group's phones, and those of a range, with the revision.
SELECT c.groups_revision, g.phone_count, 0 AS chunk, g.phones
FROM number_group AS g
JOIN customer_state AS c ON c.customer_id = g.customer_id
WHERE g.customer_id = :customer_id AND g.group_id = :group_id
UNION ALL
SELECT c.groups_revision, g.phone_count, p.chunk, p.phones
FROM number_group AS g
JOIN customer_state AS c ON c.customer_id = g.customer_id
JOIN group_phone_chunk AS p ON p.customer_id = g.customer_id AND p.group_seq = g.group_seq
WHERE g.customer_id = :customer_id AND g.group_id = :group_id
    AND p.chunk >= CAST(:first AS bigint) AND p.chunk <= CAST(:last AS bigint)
ORDER BY chunk

-- group_usage
-- What a customer's groups use: their number, their phones in all (NULL if they are not counted),
-- the phones of the largest, the end of their seqs, their bytes (NULL if they are not counted); and
-- the customer's own quotas.
SELECT
    group_count,
    CASE phone_count_revision WHEN groups_revision THEN phone_count END,
    coalesce((
        SELECT g.phone_count FROM number_group AS g WHERE g.customer_id || '' = :customer_id
        ORDER BY g.phone_count DESC LIMIT 1
    ), 0),
    next_seq,
    CASE byte_count_revision WHEN groups_revision THEN byte_count END,
    group_quota, phone_quota, byte_quota
FROM customer_state
WHERE customer_id = :customer_id

-- group_phone_sum
-- How many phones the groups in a range of seqs hold in all.
SELECT coalesce(sum(phone_count), 0) FROM number_group
WHERE customer_id = :customer_id
    AND group_seq >= CAST(:first AS bigint) AND group_seq < CAST(:end AS bigint)
