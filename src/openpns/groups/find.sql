-- group_find
-- A page of the groups that are asked for by what they hold, in one of several orders.
-- Made into a statement for each choice; see storage/variants.py.
-- variants: [id] [name] [phone] (oldest newest by_name) [after]
SELECT
    c.groups_revision,
    c.group_count AS total, --? -id -name -phone
    ( --? id/name/phone
        SELECT count(*) FROM number_group AS g --? id/name -phone
        SELECT count(*) FROM group_member AS m CROSS JOIN number_group AS g --? phone
        WHERE g.customer_id = :customer_id --? id/name/phone
            AND m.customer_id = :customer_id AND m.phone = :phone AND g.group_seq = m.group_seq --? phone
            AND g.group_id = :group_id --? id
            AND g.folded_name >= :name_from AND g.folded_name < :name_until --? name
    ) AS total, --? id/name/phone
    c.group_count < c.next_seq AS has_gaps,
    g.customer_id, g.group_name, g.group_id,
    CASE
        WHEN g.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN g.phone_count <= CAST(:phones_in_chunk AS bigint) THEN g.phones
        ELSE g.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = g.group_seq
        )
    END AS phones,
    g.remark
FROM customer_state AS c
LEFT JOIN (
    SELECT
        g.customer_id, g.group_name, g.group_id, g.group_seq, g.folded_name, g.remark, g.phone_count,
        g.phones
    FROM number_group AS g --? -phone
    FROM group_member AS m CROSS JOIN number_group AS g --? phone
    WHERE g.customer_id = :customer_id
        AND m.customer_id = :customer_id AND m.phone = :phone AND g.group_seq = m.group_seq --? phone
        AND g.group_id = :group_id --? id
        AND g.folded_name >= :name_from AND g.folded_name < :name_until --? name
        AND g.group_seq > CAST(:after_seq AS bigint) --? after oldest -phone
        AND g.group_seq < CAST(:after_seq AS bigint) --? after newest -phone
        AND m.group_seq > CAST(:after_seq AS bigint) --? after oldest phone
        AND m.group_seq < CAST(:after_seq AS bigint) --? after newest phone
        AND (g.folded_name, g.group_seq) > (:after_name, CAST(:after_seq AS bigint)) --? after by_name
    ORDER BY g.group_seq --? oldest -phone
    ORDER BY g.group_seq DESC --? newest -phone
    ORDER BY m.group_seq --? oldest phone
    ORDER BY m.group_seq DESC --? newest phone
    ORDER BY g.folded_name, g.group_seq --? by_name
    LIMIT CAST(:limit AS bigint)
    OFFSET CAST(:offset AS bigint) --? -after
) AS g ON true
WHERE c.customer_id = :customer_id
ORDER BY g.group_seq --? oldest
ORDER BY g.group_seq DESC --? newest
ORDER BY g.folded_name, g.group_seq --? by_name

-- group_place
-- Where a group stands in the orders, or stood, where it was deleted of late.
SELECT group_seq, folded_name FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id
UNION ALL
SELECT group_seq, folded_name FROM group_tombstone
WHERE customer_id = :customer_id AND group_id = :group_id
LIMIT 1

-- group_tombstone_add
-- Remember where a deleted group stood.
INSERT INTO group_tombstone (customer_id, group_id, group_seq, folded_name, deleted_ms)
VALUES (:customer_id, :group_id, :group_seq, :folded_name, :now_ms)
ON CONFLICT (customer_id, group_id) DO UPDATE SET
    group_seq = excluded.group_seq, folded_name = excluded.folded_name, deleted_ms = excluded.deleted_ms

-- group_tombstone_clean
-- Forget some places of groups that were deleted long ago; returns a row for each.
-- cross-customer: every customer's places are forgotten alike
DELETE FROM group_tombstone WHERE (customer_id, group_id) IN (
    SELECT customer_id, group_id FROM group_tombstone
    WHERE deleted_ms <= CAST(:deleted_ms AS bigint) ORDER BY deleted_ms LIMIT CAST(:at_most AS bigint)
)
RETURNING deleted_ms

-- group_get
-- One group with the customer's version.
SELECT
    c.groups_revision, g.customer_id, g.group_name, g.group_id,
    CASE
        WHEN g.phone_count <= CAST(:phones_in_chunk AS bigint) THEN g.phones
        ELSE g.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = g.group_seq
        )
    END AS phones,
    g.remark, g.phone_count, g.created_ms, g.updated_ms
FROM number_group AS g
JOIN customer_state AS c ON c.customer_id = g.customer_id
WHERE g.customer_id = :customer_id AND g.group_id = :group_id

-- group_list_phones
-- Some pieces of a group's text, and in any case the first, with the customer's version.
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

-- group_rename
-- Give a group another name or remark; NULL leaves it.
UPDATE number_group SET
    group_name = coalesce(CAST(:group_name AS text), group_name),
    folded_name = coalesce(CAST(:folded_name AS text), folded_name),
    remark = coalesce(CAST(:remark AS text), remark),
    updated_ms = :now_ms
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_usage
-- How many numbers the groups at some places hold, and the most that one of them does.
SELECT coalesce(sum(phone_count), 0), coalesce(max(phone_count), 0) FROM number_group
WHERE customer_id = :customer_id
    AND group_seq >= CAST(:first AS bigint) AND group_seq < CAST(:end AS bigint)

-- group_count
-- How many groups the customer has, and the end of their places.
SELECT group_count, next_seq FROM customer_state WHERE customer_id = :customer_id
