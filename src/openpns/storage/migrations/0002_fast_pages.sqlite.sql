-- What makes a page cheap whatever its offset, and a long group cheap to add to.

-- A random number that every change of the customer's groups draws anew. Two states never share
-- one, not even where a backup was put back between.
ALTER TABLE group_counter ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
UPDATE group_counter SET version = random();

-- Where groups were deleted, places in the order are empty. A row counts them for a block of
-- places: 64 of level 1, 64 blocks of the level below from level 2 on. So the place of the
-- group at some offset is found in a few steps; where nothing was deleted there is no row.
CREATE TABLE group_gap (
    customer_id TEXT NOT NULL,
    level INTEGER NOT NULL,
    block INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (customer_id, level, block)
) STRICT, WITHOUT ROWID;

WITH RECURSIVE block (customer_id, block, seq_next) AS (
    SELECT customer_id, 0, seq_next FROM group_counter WHERE group_count < seq_next
    UNION ALL
    SELECT customer_id, block + 1, seq_next FROM block WHERE (block + 1) * 64 < seq_next
), live AS (
    SELECT customer_id, group_seq >> 6 AS block, count(*) AS live
    FROM number_group GROUP BY customer_id, group_seq >> 6
)
INSERT INTO group_gap (customer_id, level, block, deleted)
SELECT b.customer_id, 1, b.block, min(64, b.seq_next - b.block * 64) - coalesce(l.live, 0)
FROM block AS b LEFT JOIN live AS l ON l.customer_id = b.customer_id AND l.block = b.block
WHERE min(64, b.seq_next - b.block * 64) > coalesce(l.live, 0);

INSERT INTO group_gap SELECT customer_id, 2, block >> 6, sum(deleted) FROM group_gap
WHERE level = 1 GROUP BY customer_id, block >> 6;
INSERT INTO group_gap SELECT customer_id, 3, block >> 6, sum(deleted) FROM group_gap
WHERE level = 2 GROUP BY customer_id, block >> 6;
INSERT INTO group_gap SELECT customer_id, 4, block >> 6, sum(deleted) FROM group_gap
WHERE level = 3 GROUP BY customer_id, block >> 6;

-- The text of a group's numbers, from the 129th on, 128 to a part; number_group.phones holds
-- those before. A text that is wanted whole is put together; one that grows is not rewritten.
CREATE TABLE group_part (
    customer_id TEXT NOT NULL,
    group_seq INTEGER NOT NULL,
    part INTEGER NOT NULL,
    -- Begins with a comma.
    phones TEXT NOT NULL,
    PRIMARY KEY (customer_id, group_seq, part)
) STRICT, WITHOUT ROWID;

INSERT INTO group_part (customer_id, group_seq, part, phones)
SELECT customer_id, group_seq, place / 128, ',' || group_concat(phone, ',' ORDER BY place)
FROM (
    SELECT m.customer_id, m.group_seq, m.phone,
        row_number() OVER (PARTITION BY m.customer_id, m.group_seq ORDER BY m.position) - 1 AS place
    FROM group_member AS m JOIN number_group AS g
        ON g.customer_id = m.customer_id AND g.group_seq = m.group_seq
    WHERE g.phone_count > 128
)
WHERE place >= 128
GROUP BY customer_id, group_seq, place / 128;

UPDATE number_group SET phones = (
    SELECT group_concat(phone, ',' ORDER BY position) FROM (
        SELECT m.phone, m.position FROM group_member AS m
        WHERE m.customer_id = number_group.customer_id AND m.group_seq = number_group.group_seq
        ORDER BY m.position LIMIT 128
    )
) WHERE phone_count > 128;
