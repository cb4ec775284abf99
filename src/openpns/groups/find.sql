-- group_find_all
-- A page of all groups in one of several orders. Each row holds revision and total and, unless the
-- page is empty, a group. A group with more than :phones_max phones comes without them (NULL).
-- rows: json
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
-- The groups whose folded name lies between two bounds. :page_from is the lower bound of the page.
-- rows: json
-- fragments: openpns.groups.order:FIND_BY_NAME
SELECT
    c.groups_revision,
    (
        SELECT count(*) FROM number_group
        WHERE customer_id = :customer_id AND folded_name >= :name_from AND folded_name < :name_until
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
    WHERE customer_id = :customer_id AND folded_name >= :page_from AND folded_name < :name_until
        AND {after}
    ORDER BY {order}
    LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS found ON true
WHERE c.customer_id = :customer_id
ORDER BY {order}

-- group_find_by_phone
-- The groups that hold a phone and whose folded name lies between two bounds.
-- rows: json
-- fragments: openpns.groups.order:FIND_BY_PHONE
SELECT
    c.groups_revision,
    (
        SELECT count(*) FROM group_member AS m CROSS JOIN number_group AS g
        WHERE m.customer_id = :customer_id AND m.phone = :phone
            AND g.customer_id = :customer_id AND g.group_seq = m.group_seq
            AND g.folded_name || '' >= :name_from AND g.folded_name || '' < :name_until
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
        g.customer_id, g.group_name, g.group_id, found.group_seq, g.folded_name, g.remark,
        g.phone_count, g.phones
    FROM group_member AS found CROSS JOIN number_group AS g
    WHERE found.customer_id = :customer_id AND found.phone = :phone
        AND g.customer_id = :customer_id AND g.group_seq = found.group_seq
        AND g.folded_name || '' >= :name_from AND g.folded_name || '' < :name_until
        AND {after}
    ORDER BY {order}
    LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS found ON true
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
