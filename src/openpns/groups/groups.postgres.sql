-- group_list
-- The first page, with revision and total in the same snapshot. Each row holds both and, unless the
-- page is empty, a group. A group with more than :phones_short phones comes without them (NULL);
-- :phones_short is at most the size of a chunk, so that no chunk is read.
SELECT
    c.groups_revision, c.group_count AS total, g.customer_id, g.group_name, g.group_id, g.phones,
    g.remark
FROM customer_state AS c
LEFT JOIN LATERAL (
    SELECT
        customer_id, group_name, group_id, group_seq, remark,
        CASE WHEN phone_count <= CAST(:phones_short AS bigint) THEN phones END AS phones
    FROM number_group
    WHERE customer_id = :customer_id
    ORDER BY group_seq LIMIT CAST(:limit AS bigint)
) AS g ON true
WHERE c.customer_id = :customer_id
ORDER BY g.group_seq

-- group_list_seek
-- The page at any offset. A group with more than :phones_max phones comes without them (NULL).
-- fragments: openpns.groups.order:LEVEL_FRAGMENTS
WITH RECURSIVE state AS MATERIALIZED (
    SELECT groups_revision, group_count FROM customer_state WHERE customer_id = :customer_id
), descent (level, block, before, upto, is_inside) AS (
    -- From the largest blocks to the smallest: the last one with gaps that begins at or before the
    -- offset, the gaps before it and up to its end, and whether the offset lies in it.
    SELECT
        CAST({root_level} AS bigint), CAST(0 AS bigint), CAST(0 AS bigint), CAST(0 AS bigint), true
    UNION ALL
    SELECT
        d.level - 1, g.block, g.before, coalesce(g.upto, d.before),
        coalesce(CAST(:offset AS bigint) < g.block_end - g.upto, false)
    FROM descent AS d LEFT JOIN LATERAL (
        SELECT
            block, (block + 1) << CAST({bits} * (d.level - 1) AS integer) AS block_end,
            upto - deleted AS before, upto
        FROM (
            SELECT block, deleted, d.before + CAST(sum(deleted) OVER (ORDER BY block) AS bigint) AS upto
            FROM group_order_gap
            WHERE customer_id = :customer_id AND level = d.level - 1 AND block >= d.block << {bits}
                AND block < CASE d.level WHEN {root_level} THEN 9223372036854775807 ELSE (d.block + 1) << {bits} END
        ) AS child
        WHERE (block << CAST({bits} * (d.level - 1) AS integer)) - (upto - deleted) <= CAST(:offset AS bigint)
        ORDER BY block DESC LIMIT 1
    ) AS g ON true
    WHERE d.level > 1 AND d.is_inside
), start AS (
    SELECT
        CASE WHEN is_inside THEN block << {bits} ELSE CAST(:offset AS bigint) + upto END AS group_seq,
        CASE WHEN is_inside THEN CAST(:offset AS bigint) - ((block << {bits}) - before) ELSE 0 END AS skipped
    FROM descent ORDER BY level LIMIT 1
)
SELECT
    c.groups_revision, c.group_count AS total, g.customer_id, g.group_name, g.group_id, g.phones,
    g.remark
FROM state AS c
LEFT JOIN LATERAL (
    SELECT
        customer_id, group_name, group_id, group_seq,
        CASE
            WHEN phone_count > CAST(:phones_max AS bigint) THEN NULL
            WHEN phone_count <= CAST(:phones_in_chunk AS bigint) THEN phones
            ELSE phones || (
                SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
                WHERE p.customer_id = :customer_id AND p.group_seq = number_group.group_seq
            )
        END AS phones,
        remark
    FROM number_group
    WHERE customer_id = :customer_id AND group_seq >= (SELECT group_seq FROM start)
    ORDER BY group_seq LIMIT CAST(:limit AS bigint) OFFSET (SELECT skipped FROM start)
) AS g ON true
ORDER BY g.group_seq

-- group_lock
-- Find a group and lock it until the end of the transaction.
SELECT group_seq, phone_count, position_next, bound_count FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id
FOR UPDATE

-- group_order_lock
-- The next seq of the customer's order; locks the customer's row.
SELECT next_seq FROM customer_state WHERE customer_id = :customer_id FOR UPDATE

-- group_member_add
-- Add phones that a group does not hold yet after its last position; returns those. It locks the
-- group, so that it sees the last position even if the statement began before another change ended.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT g.customer_id, g.group_seq, p.phone, g.position_next + p.place - 1
FROM (
    SELECT customer_id, group_seq, position_next FROM number_group
    WHERE customer_id = :customer_id AND group_id = :group_id
    FOR UPDATE
) AS g CROSS JOIN unnest(CAST(:phones AS text[])) WITH ORDINALITY AS p (phone, place)
ON CONFLICT DO NOTHING
RETURNING phone

-- group_member_fill
-- Store the phones of a group without any.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT CAST(:customer_id AS text), CAST(:group_seq AS bigint), p.phone, p.place - 1
FROM unnest(CAST(:phones AS text[])) WITH ORDINALITY AS p (phone, place)

-- group_member_delete
-- Remove phones from a group; returns those that it held.
DELETE FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone = ANY(CAST(:phones AS text[]))
RETURNING phone

-- group_member_delete_others
-- Remove all phones but these from a group; returns a row for each.
DELETE FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone <> ALL(CAST(:phones AS text[]))
RETURNING 1

-- group_member_place
-- Store the phones of a group that holds some of them; nothing is written for those in their place.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT CAST(:customer_id AS text), CAST(:group_seq AS bigint), p.phone, p.place - 1
FROM unnest(CAST(:phones AS text[])) WITH ORDINALITY AS p (phone, place)
ON CONFLICT (customer_id, group_seq, phone) DO UPDATE SET position = excluded.position
WHERE group_member.position <> excluded.position

-- group_member_among
-- Which of these phones the group holds.
SELECT phone FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone = ANY(CAST(:phones AS text[]))

-- group_member_list_others
-- The phones of a group without these, in the order they were added.
SELECT phone FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone <> ALL(CAST(:phones AS text[]))
ORDER BY position

-- group_phone_chunk_append
-- Append a text to each of these chunks of a long group.
INSERT INTO group_phone_chunk (customer_id, group_seq, chunk, phones)
SELECT CAST(:customer_id AS text), CAST(:group_seq AS bigint), c.chunk, c.phones
FROM unnest(CAST(:chunks AS bigint[]), CAST(:texts AS text[])) AS c (chunk, phones)
ON CONFLICT (customer_id, group_seq, chunk) DO UPDATE
SET phones = group_phone_chunk.phones || excluded.phones

-- group_id_taken
-- Which of these group ids are in use.
SELECT group_id FROM number_group
WHERE customer_id = :customer_id AND group_id = ANY(CAST(:group_ids AS text[]))
