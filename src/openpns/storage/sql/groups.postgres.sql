-- group_list
-- A page and the total in one snapshot; each row holds the total and, but for an empty page, a
-- group. A group with more than :numbers_max numbers comes without them (NULL).
SELECT c.group_count, g.customer_id, g.group_name, g.group_id, g.phones, g.remark
FROM group_counter AS c
LEFT JOIN LATERAL (
    SELECT
        customer_id, group_name, group_id, group_seq,
        CASE WHEN phone_count <= CAST(:numbers_max AS bigint) THEN phones END AS phones, remark
    FROM number_group
    WHERE customer_id = :customer_id
    ORDER BY group_seq LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS g ON true
WHERE c.customer_id = :customer_id
ORDER BY g.group_seq

-- group_lock
-- Find a group and hold it until the end of the transaction.
SELECT group_seq, phone_count, position_next FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id
FOR UPDATE

-- group_member_add
-- Add numbers that are not there yet, numbered from :position; returns those that were added.
INSERT INTO group_member (customer_id, group_seq, phone, position)
SELECT CAST(:customer_id AS text), CAST(:group_seq AS bigint), p.phone,
    CAST(:position AS bigint) + p.place - 1
FROM unnest(CAST(:phones AS text[])) WITH ORDINALITY AS p (phone, place)
ON CONFLICT DO NOTHING
RETURNING phone

-- group_member_delete
-- Take numbers out of a group; returns those that were there.
DELETE FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
    AND phone = ANY(CAST(:phones AS text[]))
RETURNING phone

-- group_id_taken
-- Which of these group ids are in use.
SELECT group_id FROM number_group
WHERE customer_id = :customer_id AND group_id = ANY(CAST(:group_ids AS text[]))
