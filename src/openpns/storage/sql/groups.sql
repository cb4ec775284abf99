-- group_seq_take
-- Take the next place in the customer's order and count the group; locks the counter.
UPDATE group_counter SET group_count = group_count + :groups, seq_next = seq_next + :groups
WHERE customer_id = :customer_id
RETURNING seq_next - :groups

-- group_create
-- Store a new group.
INSERT INTO number_group (
    customer_id, group_id, group_seq, group_name, remark,
    phone_count, position_next, created_ms, updated_ms, phones
) VALUES (
    :customer_id, :group_id, :group_seq, :group_name, :remark,
    :phone_count, :phone_count, :now_ms, :now_ms, :phones
)

-- group_member_insert
-- Store one number of a new group; used for many at once by the import.
INSERT INTO group_member (customer_id, group_seq, phone, position)
VALUES (:customer_id, :group_seq, :phone, :position)

-- group_update_append
-- Write numbers that were added behind those that are there.
UPDATE number_group SET
    phones = CASE WHEN phones = '' THEN :phones ELSE phones || ',' || :phones END,
    phone_count = phone_count + :added, position_next = :position_next, updated_ms = :now_ms
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_update
-- Write a group's numbers anew.
UPDATE number_group SET
    phones = :phones, phone_count = :phone_count, position_next = :position_next,
    updated_ms = :now_ms
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_member_list
-- The numbers of a group in the order they were added.
SELECT phone FROM group_member
WHERE customer_id = :customer_id AND group_seq = :group_seq
ORDER BY position

-- group_member_delete_all
-- Take every number out of a group.
DELETE FROM group_member WHERE customer_id = :customer_id AND group_seq = :group_seq

-- group_delete
-- Delete a group; its row tells which members go with it.
DELETE FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id
RETURNING group_seq

-- group_count_down
-- Count a deleted group; its place in the order is never given again.
UPDATE group_counter SET group_count = group_count - 1 WHERE customer_id = :customer_id

-- group_export
-- Every group of a customer, oldest first.
SELECT group_id, group_name, phones, remark FROM number_group
WHERE customer_id = :customer_id
ORDER BY group_seq
