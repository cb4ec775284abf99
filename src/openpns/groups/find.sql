-- group_find_all
-- A page of all groups in one of several orders. Each row holds revision and total and, unless the
-- page is empty, a group. A group with more than :phones_max phones comes without them (NULL).
-- rows: json
-- search: customer_id
-- fragments: openpns.groups.order:FIND_ALL
SELECT
    c.groups_revision,
    c.group_count AS total,
    found.customer_id, found.group_name, found.group_id,
    CASE
        WHEN found.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN found.phone_count <= CAST(:phones_in_chunk AS bigint) THEN found.phones
        ELSE found.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = found.group_seq
        )
    END AS phones,
    found.remark
FROM customer_state AS c
LEFT JOIN (
    SELECT
        customer_id, group_name, group_id, group_seq, folded_name, remark, phone_count, phones
    FROM number_group AS found
    WHERE customer_id = :customer_id
        AND {after}
    ORDER BY {order}
    LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS found ON true
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_find_by_name
-- The groups whose folded name lies between two bounds, by name. :page_from is the lower bound of
-- the page. total ends at :total_max + 1.
-- rows: json
-- search: customer_id
-- fragments: openpns.groups.order:BY_NAME_IN_ITS_ORDER
WITH counted AS MATERIALIZED (
    SELECT CASE
        WHEN EXISTS (
            SELECT 1 FROM number_group
            WHERE customer_id = :customer_id AND folded_name >= :name_from AND folded_name < :name_until
            LIMIT 1 OFFSET CAST(:total_max AS bigint)
        ) THEN CAST(:total_max AS bigint) + 1
        ELSE (
            SELECT count(*) FROM number_group
            WHERE customer_id = :customer_id AND folded_name >= :name_from AND folded_name < :name_until
        )
    END AS total
), page AS MATERIALIZED (
    SELECT group_seq FROM number_group AS found
    WHERE customer_id = :customer_id AND folded_name >= :page_from AND folded_name < :name_until
        AND {after}
    ORDER BY {order}
    LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
)
SELECT
    c.groups_revision, (SELECT total FROM counted) AS total,
    found.customer_id, found.group_name, found.group_id,
    CASE
        WHEN found.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN found.phone_count <= CAST(:phones_in_chunk AS bigint) THEN found.phones
        ELSE found.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = found.group_seq
        )
    END AS phones,
    found.remark
FROM customer_state AS c
LEFT JOIN page ON true
LEFT JOIN number_group AS found
    ON found.customer_id = :customer_id AND found.group_seq = page.group_seq
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_find_by_name_sorted
-- The same in another order. Up to :total_max groups are sorted. Of more, the page is taken from the
-- first :scan groups in the order, and may be incomplete; with a :scan of 0, all are sorted.
-- rows: json
-- search: customer_id
-- fragments: openpns.groups.order:BY_NAME_IN_ANOTHER_ORDER
WITH counted AS MATERIALIZED (
    SELECT CASE
        WHEN EXISTS (
            SELECT 1 FROM number_group
            WHERE customer_id = :customer_id AND folded_name >= :name_from AND folded_name < :name_until
            LIMIT 1 OFFSET CAST(:total_max AS bigint)
        ) THEN CAST(:total_max AS bigint) + 1
        ELSE (
            SELECT count(*) FROM number_group
            WHERE customer_id = :customer_id AND folded_name >= :name_from AND folded_name < :name_until
        )
    END AS total
), page AS MATERIALIZED (
    SELECT * FROM (
        SELECT group_seq FROM number_group AS found
        WHERE customer_id = :customer_id AND folded_name >= :name_from AND folded_name < :name_until
            AND {sorted_after}
        ORDER BY {sorted}
        LIMIT CASE WHEN (SELECT total FROM counted) <= CAST(:total_max AS bigint) OR CAST(:scan AS bigint) = 0
            THEN CAST(:limit AS bigint) ELSE 0 END
        OFFSET CAST(:offset AS bigint)
    ) AS few
    UNION ALL
    SELECT * FROM (
        SELECT group_seq FROM (
            SELECT group_seq, folded_name FROM number_group AS found
            WHERE customer_id = :customer_id AND {after}
            ORDER BY {order}
            LIMIT CASE WHEN (SELECT total FROM counted) > CAST(:total_max AS bigint)
                THEN CAST(:scan AS bigint) ELSE 0 END
        ) AS found
        WHERE folded_name >= :name_from AND folded_name < :name_until
        ORDER BY {order}
        LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
    ) AS many
)
SELECT
    c.groups_revision, (SELECT total FROM counted) AS total,
    found.customer_id, found.group_name, found.group_id,
    CASE
        WHEN found.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN found.phone_count <= CAST(:phones_in_chunk AS bigint) THEN found.phones
        ELSE found.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = found.group_seq
        )
    END AS phones,
    found.remark
FROM customer_state AS c
LEFT JOIN page ON true
LEFT JOIN number_group AS found
    ON found.customer_id = :customer_id AND found.group_seq = page.group_seq
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_find_by_phone
-- The groups that hold a phone and whose folded name lies between two bounds, by age. total ends at
-- :total_max + 1.
-- rows: json
-- search: customer_id
-- fragments: openpns.groups.order:BY_PHONE_IN_ITS_ORDER
WITH counted AS MATERIALIZED (
    SELECT CASE
        WHEN :name_from <> '' THEN (
            SELECT count(*) FROM (
                SELECT 1 FROM group_member AS m CROSS JOIN number_group AS g
                WHERE m.customer_id = :customer_id AND m.phone = :phone
                    AND g.customer_id = :customer_id AND g.group_seq = m.group_seq
                    AND g.folded_name || '' >= :name_from AND g.folded_name || '' < :name_until
                LIMIT CAST(:total_max AS bigint) + 1
            ) AS matching
        )
        WHEN EXISTS (
            SELECT 1 FROM group_member WHERE customer_id = :customer_id AND phone = :phone
            LIMIT 1 OFFSET CAST(:total_max AS bigint)
        ) THEN CAST(:total_max AS bigint) + 1
        ELSE (SELECT count(*) FROM group_member WHERE customer_id = :customer_id AND phone = :phone)
    END AS total
), page AS MATERIALIZED (
    SELECT found.group_seq FROM group_member AS found CROSS JOIN number_group AS g
    WHERE found.customer_id = :customer_id AND found.phone = :phone
        AND g.customer_id = :customer_id AND g.group_seq = found.group_seq
        AND g.folded_name || '' >= :name_from AND g.folded_name || '' < :name_until
        AND {after}
    ORDER BY {order}
    LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
)
SELECT
    c.groups_revision, (SELECT total FROM counted) AS total,
    found.customer_id, found.group_name, found.group_id,
    CASE
        WHEN found.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN found.phone_count <= CAST(:phones_in_chunk AS bigint) THEN found.phones
        ELSE found.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = found.group_seq
        )
    END AS phones,
    found.remark
FROM customer_state AS c
LEFT JOIN page ON true
LEFT JOIN number_group AS found
    ON found.customer_id = :customer_id AND found.group_seq = page.group_seq
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_find_by_phone_sorted
-- The same by name; as for group_find_by_name_sorted.
-- rows: json
-- search: customer_id
-- fragments: openpns.groups.order:BY_PHONE_IN_ANOTHER_ORDER
WITH counted AS MATERIALIZED (
    SELECT CASE
        WHEN :name_from <> '' THEN (
            SELECT count(*) FROM (
                SELECT 1 FROM group_member AS m CROSS JOIN number_group AS g
                WHERE m.customer_id = :customer_id AND m.phone = :phone
                    AND g.customer_id = :customer_id AND g.group_seq = m.group_seq
                    AND g.folded_name || '' >= :name_from AND g.folded_name || '' < :name_until
                LIMIT CAST(:total_max AS bigint) + 1
            ) AS matching
        )
        WHEN EXISTS (
            SELECT 1 FROM group_member WHERE customer_id = :customer_id AND phone = :phone
            LIMIT 1 OFFSET CAST(:total_max AS bigint)
        ) THEN CAST(:total_max AS bigint) + 1
        ELSE (SELECT count(*) FROM group_member WHERE customer_id = :customer_id AND phone = :phone)
    END AS total
), page AS MATERIALIZED (
    SELECT * FROM (
        SELECT found.group_seq FROM group_member AS m CROSS JOIN number_group AS found
        WHERE m.customer_id = :customer_id AND m.phone = :phone
            AND found.customer_id = :customer_id AND found.group_seq = m.group_seq
            AND found.folded_name || '' >= :name_from AND found.folded_name || '' < :name_until
            AND {sorted_after}
        ORDER BY {sorted}
        LIMIT CASE WHEN (SELECT total FROM counted) <= CAST(:total_max AS bigint) OR CAST(:scan AS bigint) = 0
            THEN CAST(:limit AS bigint) ELSE 0 END
        OFFSET CAST(:offset AS bigint)
    ) AS few
    UNION ALL
    SELECT * FROM (
        SELECT group_seq FROM (
            SELECT group_seq, folded_name FROM number_group AS found
            WHERE customer_id = :customer_id AND folded_name >= :page_from AND folded_name < :name_until
                AND {after}
            ORDER BY {order}
            LIMIT CASE WHEN (SELECT total FROM counted) > CAST(:total_max AS bigint)
                THEN CAST(:scan AS bigint) ELSE 0 END
        ) AS found
        WHERE (  -- EXISTS would become a join, which reads all holders of the phone
            SELECT m.position FROM group_member AS m
            WHERE m.customer_id = :customer_id AND m.group_seq = found.group_seq AND m.phone = :phone
        ) IS NOT NULL
        ORDER BY {order}
        LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
    ) AS many
)
SELECT
    c.groups_revision, (SELECT total FROM counted) AS total,
    found.customer_id, found.group_name, found.group_id,
    CASE
        WHEN found.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN found.phone_count <= CAST(:phones_in_chunk AS bigint) THEN found.phones
        ELSE found.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = found.group_seq
        )
    END AS phones,
    found.remark
FROM customer_state AS c
LEFT JOIN page ON true
LEFT JOIN number_group AS found
    ON found.customer_id = :customer_id AND found.group_seq = page.group_seq
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_find_by_id
-- The group with an id, if it fits the other filters; :phone is NULL for any.
-- rows: json
-- fragments: openpns.groups.order:FIND_BY_ID
SELECT
    c.groups_revision,
    (
        SELECT count(*) FROM number_group AS g
        WHERE customer_id = :customer_id AND group_id = :group_id
            AND folded_name || '' >= :name_from AND folded_name || '' < :name_until
            AND (CAST(:phone AS text) IS NULL OR EXISTS (
                SELECT 1 FROM group_member AS m
                WHERE m.customer_id = :customer_id AND m.group_seq = g.group_seq AND m.phone = :phone
            ))
    ) AS total,
    found.customer_id, found.group_name, found.group_id,
    CASE
        WHEN found.phone_count > CAST(:phones_max AS bigint) THEN NULL
        WHEN found.phone_count <= CAST(:phones_in_chunk AS bigint) THEN found.phones
        ELSE found.phones || (
            SELECT string_agg(p.phones, '' ORDER BY p.chunk) FROM group_phone_chunk AS p
            WHERE p.customer_id = :customer_id AND p.group_seq = found.group_seq
        )
    END AS phones,
    found.remark
FROM customer_state AS c
LEFT JOIN (
    SELECT
        customer_id, group_name, group_id, group_seq, folded_name, remark, phone_count, phones
    FROM number_group AS found
    WHERE customer_id = :customer_id AND group_id = :group_id
        AND folded_name || '' >= :name_from AND folded_name || '' < :name_until
        AND (CAST(:phone AS text) IS NULL OR EXISTS (
            SELECT 1 FROM group_member AS m
            WHERE m.customer_id = :customer_id AND m.group_seq = found.group_seq AND m.phone = :phone
        ))
        AND {after}
    ORDER BY {order}
    LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS found ON true
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_seq_find
-- The position of a group in the orders, also of one that was deleted recently; with the revision.
SELECT g.group_seq, g.folded_name, c.groups_revision
FROM (
    SELECT group_seq, folded_name FROM number_group
    WHERE customer_id = :customer_id AND group_id = :group_id
    UNION ALL
    SELECT group_seq, folded_name FROM group_tombstone
    WHERE customer_id = :customer_id AND group_id = :group_id
) AS g
JOIN customer_state AS c ON c.customer_id = :customer_id
LIMIT 1
