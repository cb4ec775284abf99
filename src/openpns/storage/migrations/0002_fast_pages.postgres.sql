-- What makes a page cheap whatever its offset, and a long group cheap to add to.

-- A random number that every change of the customer's groups draws anew. Two states never share
-- one, not even where a backup was put back between.
ALTER TABLE group_counter ADD COLUMN version bigint NOT NULL DEFAULT 0;
UPDATE group_counter SET version = CAST(random() * 9007199254740992 AS bigint);

-- Where groups were deleted, places in the order are empty. A row counts them for a block of
-- places: 64 of level 1, 64 blocks of the level below from level 2 on. So the place of the
-- group at some offset is found in a few steps; where nothing was deleted there is no row.
CREATE TABLE group_gap (
    customer_id text NOT NULL,
    level bigint NOT NULL,
    block bigint NOT NULL,
    deleted bigint NOT NULL,
    PRIMARY KEY (customer_id, level, block)
) WITH (fillfactor = 70);

WITH block AS (
    SELECT customer_id, block, least(64, seq_next - block * 64) AS places
    FROM group_counter, generate_series(0, (seq_next - 1) / 64) AS block
    WHERE group_count < seq_next
), live AS (
    SELECT customer_id, group_seq >> 6 AS block, count(*) AS live
    FROM number_group GROUP BY customer_id, group_seq >> 6
)
INSERT INTO group_gap (customer_id, level, block, deleted)
SELECT b.customer_id, 1, b.block, b.places - coalesce(l.live, 0)
FROM block AS b LEFT JOIN live AS l ON l.customer_id = b.customer_id AND l.block = b.block
WHERE b.places > coalesce(l.live, 0);

INSERT INTO group_gap SELECT customer_id, 2, block >> 6, sum(deleted) FROM group_gap
WHERE level = 1 GROUP BY customer_id, block >> 6;
INSERT INTO group_gap SELECT customer_id, 3, block >> 6, sum(deleted) FROM group_gap
WHERE level = 2 GROUP BY customer_id, block >> 6;
INSERT INTO group_gap SELECT customer_id, 4, block >> 6, sum(deleted) FROM group_gap
WHERE level = 3 GROUP BY customer_id, block >> 6;

-- The text of a group's numbers, from the 129th on, 128 to a part; number_group.phones holds
-- those before. A text that is wanted whole is put together; one that grows is not rewritten.
CREATE TABLE group_part (
    customer_id text NOT NULL,
    group_seq bigint NOT NULL,
    part bigint NOT NULL,
    -- Begins with a comma.
    phones text NOT NULL,
    PRIMARY KEY (customer_id, group_seq, part)
);

ALTER TABLE group_part ALTER COLUMN phones SET STORAGE EXTERNAL;

INSERT INTO group_part (customer_id, group_seq, part, phones)
SELECT customer_id, group_seq, place / 128, ',' || string_agg(phone, ',' ORDER BY place)
FROM (
    SELECT m.customer_id, m.group_seq, m.phone,
        row_number() OVER (PARTITION BY m.customer_id, m.group_seq ORDER BY m.position) - 1 AS place
    FROM group_member AS m JOIN number_group AS g
        ON g.customer_id = m.customer_id AND g.group_seq = m.group_seq
    WHERE g.phone_count > 128
) AS placed
WHERE place >= 128
GROUP BY customer_id, group_seq, place / 128;

UPDATE number_group SET phones = (
    SELECT string_agg(phone, ',' ORDER BY position) FROM (
        SELECT m.phone, m.position FROM group_member AS m
        WHERE m.customer_id = number_group.customer_id AND m.group_seq = number_group.group_seq
        ORDER BY m.position LIMIT 128
    ) AS first_ones
) WHERE phone_count > 128;
