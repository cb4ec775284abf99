-- groups_revision_change
-- Replace the revision of the customer's groups, add to its counts and take seqs; locks its row.
-- Returns the first seq, or no row if a count would grow past its quota. phone_count and byte_count
-- stay proven only if every change since has counted: a server of an older version does not.
-- fragments: openpns.groups.quotas:WITHIN
UPDATE customer_state SET
    group_count = group_count + :groups, next_seq = next_seq + :seqs,
    phone_count = phone_count + :phones,
    phone_count_revision = CASE phone_count_revision
        WHEN groups_revision THEN CAST(:revision AS bigint) ELSE phone_count_revision END,
    byte_count = byte_count + :bytes,
    byte_count_revision = CASE byte_count_revision
        WHEN groups_revision THEN CAST(:revision AS bigint) ELSE byte_count_revision END,
    groups_revision = CAST(:revision AS bigint)
WHERE customer_id = :customer_id AND {within}
RETURNING next_seq - :seqs

-- groups_quota_find
-- A row unless a count would grow past its quota.
-- fragments: openpns.groups.quotas:WITHIN
SELECT 1 FROM customer_state WHERE customer_id = :customer_id AND {within}

-- group_create
-- Store a new group.
INSERT INTO number_group (
    customer_id, group_id, group_seq, group_name, folded_name, remark,
    phone_count, position_next, created_ms, updated_ms, phones
) VALUES (
    :customer_id, :group_id, :group_seq, :group_name, :folded_name, :remark,
    :phone_count, :phone_count, :now_ms, :now_ms, :phones
)

-- group_member_insert
-- Store one phone of a new group; the import runs it for many.
INSERT INTO group_member (customer_id, group_seq, phone, position)
VALUES (:customer_id, :group_seq, :phone, :position)

-- group_update_append
-- Append phones to the first chunk of a group; :phones begins with a comma if one is needed.
UPDATE number_group SET
    phones = phones || :phones, phone_count = phone_count + :added,
    position_next = :position_next, updated_ms = :now_ms
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_phone_chunk_delete_all
-- Delete the chunks of a long group.
DELETE FROM group_phone_chunk WHERE customer_id = :customer_id AND group_seq = :group_seq

-- group_update
-- Replace the first chunk of a group's phones.
UPDATE number_group SET
    phones = :phones, phone_count = :phone_count, position_next = :position_next,
    updated_ms = :now_ms
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_member_delete_all
-- Remove every phone from a group.
DELETE FROM group_member WHERE customer_id = :customer_id AND group_seq = :group_seq

-- group_delete
-- Delete a group; returns its seq, its count of phones, its folded name, the bytes of its name and
-- remark, and its count of bindings.
DELETE FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id
RETURNING
    group_seq, phone_count, folded_name, octet_length(group_name) + octet_length(remark), bound_count

-- group_order_gap_add
-- Count a seq as a gap, in its block of every level.
-- fragments: openpns.groups.order:LEVEL_FRAGMENTS
INSERT INTO group_order_gap (customer_id, level, block, deleted)
SELECT CAST(:customer_id AS text), level, CAST(:group_seq AS bigint) >> ({bits} * level), 1
FROM ({levels}) AS levels
WHERE true
ON CONFLICT (customer_id, level, block) DO UPDATE SET deleted = group_order_gap.deleted + 1

-- group_export
-- Every group of a customer, oldest first.
SELECT
    g.group_id, g.group_name,
    g.phones || coalesce((
        SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
        WHERE p.customer_id = :customer_id AND p.group_seq = g.group_seq
    ), ''),
    g.remark
FROM number_group AS g
WHERE g.customer_id = :customer_id
ORDER BY g.group_seq

-- group_tombstone_add
-- Store the position of a deleted group.
INSERT INTO group_tombstone (customer_id, group_id, group_seq, folded_name, deleted_ms)
VALUES (:customer_id, :group_id, :group_seq, :folded_name, :now_ms)
ON CONFLICT (customer_id, group_id) DO UPDATE SET
    group_seq = excluded.group_seq, folded_name = excluded.folded_name, deleted_ms = excluded.deleted_ms

-- group_tombstone_clean
-- Delete some expired tombstones; returns a row for each.
-- cross-customer: deletes the tombstones of all customers
DELETE FROM group_tombstone WHERE (customer_id, group_id) IN (
    SELECT customer_id, group_id FROM (
        SELECT customer_id, group_id FROM group_tombstone
        WHERE deleted_ms <= CAST(:deleted_ms AS bigint)
        ORDER BY deleted_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING deleted_ms

-- group_text_size
-- The bytes of a group's name and of its remark.
SELECT octet_length(group_name), octet_length(remark) FROM number_group
WHERE customer_id = :customer_id AND group_id = :group_id

-- group_rename
-- Change a group's name, remark or both; NULL leaves one as it is.
UPDATE number_group SET
    group_name = coalesce(CAST(:group_name AS text), group_name),
    folded_name = coalesce(CAST(:folded_name AS text), folded_name),
    remark = coalesce(CAST(:remark AS text), remark),
    updated_ms = :now_ms
WHERE customer_id = :customer_id AND group_id = :group_id
