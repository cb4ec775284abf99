-- group_list
-- The first page, with revision and total in the same snapshot. Each row holds both and, unless the
-- page is empty, a group. A group with more than :phones_short phones comes without them (NULL);
-- :phones_short is at most the size of a chunk, so that no chunk is read.
-- rows: json
SELECT
    c.groups_revision, c.group_count AS total, g.customer_id, g.group_name, g.group_id,
    CASE WHEN g.phone_count <= :phones_short THEN g.phones END, g.remark
FROM customer_state AS c
LEFT JOIN number_group AS g ON g.customer_id = :customer_id
WHERE c.customer_id = :customer_id
ORDER BY g.group_seq LIMIT :limit

-- group_list_seek
-- The page at any offset. A group with more than :phones_max phones comes without them (NULL).
-- rows: json
-- function: openpns.groups.order:register
SELECT
    c.groups_revision, c.group_count AS total, g.customer_id, g.group_name, g.group_id,
    CASE
        WHEN g.phone_count > :phones_max THEN NULL
        WHEN g.phone_count <= :phones_in_chunk THEN g.phones
        ELSE g.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = g.group_seq
        )
    END,
    g.remark
FROM customer_state AS c
LEFT JOIN number_group AS g ON g.customer_id = :customer_id AND g.group_seq >= (
    SELECT group_seq_at(:customer_id, :offset)
)
WHERE c.customer_id = :customer_id
ORDER BY g.group_seq LIMIT :limit

-- group_lock
-- Find a group. The writer locks the whole database until the end of the transaction.
SELECT group_seq, phone_count, position_next, bound_count FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_order_lock
-- The next seq of the customer's order.
SELECT next_seq FROM customer_state WHERE customer_id = :customer_id

-- group_member_add
-- Add phones that a group does not hold yet after its last position; returns those. In the order of
-- the indexes, so that each of their pages is changed once: many phones take a third less time.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT :customer_id, g.group_seq, p.value, g.position_next + p.key
FROM number_group AS g CROSS JOIN json_each(:phones) AS p
WHERE g.customer_id = :customer_id AND g.group_id = :group_id
ORDER BY p.value
ON CONFLICT DO NOTHING
RETURNING phone

-- group_member_fill
-- Store the phones of a group without any, in the order of the indexes.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT :customer_id, :group_seq, value, key FROM json_each(:phones) ORDER BY value

-- group_member_delete
-- Remove phones from a group; returns those that it held.
DELETE FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone IN (SELECT value FROM json_each(:phones))
RETURNING phone

-- group_member_delete_others
-- Remove all phones but these from a group; returns a row for each.
DELETE FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone NOT IN (SELECT value FROM json_each(:phones))
RETURNING 1

-- group_member_place
-- Store the phones of a group that holds some of them; nothing is written for those in their place.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT :customer_id, :group_seq, value, key FROM json_each(:phones) WHERE true ORDER BY value
ON CONFLICT (customer_id, group_seq, phone) DO UPDATE SET position = excluded.position
WHERE group_member.position <> excluded.position

-- group_member_among
-- Which of these phones the group holds.
SELECT phone FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone IN (SELECT value FROM json_each(:phones))

-- group_member_list_others
-- The phones of a group without these, in the order they were added.
SELECT phone FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone NOT IN (SELECT value FROM json_each(:phones))
ORDER BY position

-- group_phone_chunk_append
-- Append a text to each of these chunks of a long group.
INSERT INTO group_phone_chunk (customer_id, group_seq, chunk, phones)
SELECT :customer_id, :group_seq, c.value, t.value
FROM json_each(:chunks) AS c JOIN json_each(:texts) AS t ON t.key = c.key WHERE true
ON CONFLICT (customer_id, group_seq, chunk) DO UPDATE
SET phones = group_phone_chunk.phones || excluded.phones

-- group_id_taken
-- Which of these group ids are in use.
SELECT group_id FROM number_group
WHERE customer_id = :customer_id AND group_id IN (SELECT value FROM json_each(:group_ids))
