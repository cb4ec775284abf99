-- binding_list
-- A page of live bindings, oldest first, with their number: one snapshot. Each row holds the number
-- and, unless the page is empty, a binding.
-- rows: json
-- search-far: customer_id
SELECT
    s.binding_count - (
        SELECT count(*) FROM binding AS e
        WHERE e.customer_id = :customer_id AND e.live_until_ms <= :now_ms
    ) AS total,
    b.business_id, b.bind_id, b.customer_bind_id, b.phone_a, b.phone_b, b.did, b.flag,
    b.live_until_ms, b.extension
FROM customer_state AS s
LEFT JOIN (
    SELECT
        binding_seq, business_id, bind_id, customer_bind_id, phone_a, phone_b, did, flag,
        live_until_ms, extension
    FROM binding
    WHERE customer_id = :customer_id AND binding_seq > :after_seq AND +live_until_ms > :now_ms
    ORDER BY binding_seq LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS b ON true
WHERE s.customer_id = :customer_id
ORDER BY b.binding_seq

-- binding_list_found
-- A page of the live bindings that match filters, and how many do, at most :total_max + 1.
-- rows: json
-- search: customer_id
-- fragments: openpns.bindings.listing:CONDITIONS
SELECT
    (
        SELECT count(*) FROM (
            SELECT 1 FROM binding AS b
            WHERE b.customer_id = :customer_id AND +b.live_until_ms > :now_ms AND {condition}
                AND (CAST(:did AS text) IS NULL OR b.did = CAST(:did AS text))
                AND (CAST(:group_id AS text) IS NULL OR b.group_id = CAST(:group_id AS text))
                AND (CAST(:kind AS text) IS NULL OR b.kind = CAST(:kind AS text))
            LIMIT CAST(:total_max AS bigint) + 1
        ) AS counted
    ) AS total,
    b.business_id, b.bind_id, b.customer_bind_id, b.phone_a, b.phone_b, b.did, b.flag,
    b.live_until_ms, b.extension
FROM customer_state AS s
LEFT JOIN (
    SELECT
        binding_seq, business_id, bind_id, customer_bind_id, phone_a, phone_b, did, flag,
        live_until_ms, extension
    FROM binding AS b
    WHERE b.customer_id = :customer_id AND +b.live_until_ms > :now_ms AND {condition}
        AND (CAST(:did AS text) IS NULL OR b.did = CAST(:did AS text))
        AND (CAST(:group_id AS text) IS NULL OR b.group_id = CAST(:group_id AS text))
        AND (CAST(:kind AS text) IS NULL OR b.kind = CAST(:kind AS text))
        AND b.binding_seq > CAST(:after_seq AS bigint)
    ORDER BY b.binding_seq LIMIT CAST(:limit AS bigint) OFFSET CAST(:offset AS bigint)
) AS b ON true
WHERE s.customer_id = :customer_id
ORDER BY b.binding_seq

-- binding_seq_find
-- The seq of a binding, also of one that ended in the last days.
SELECT binding_seq FROM binding WHERE customer_id = :customer_id AND bind_id = :bind_id
UNION ALL
SELECT binding_seq FROM ended_binding WHERE customer_id = :customer_id AND bind_id = :bind_id

-- binding_usage
-- How many live bindings a customer has, and the customer's own quota.
SELECT
    s.binding_count - (
        SELECT count(*) FROM binding AS e
        WHERE e.customer_id = :customer_id AND e.live_until_ms <= :now_ms
    ),
    s.binding_quota
FROM customer_state AS s WHERE s.customer_id = :customer_id

-- binding_group_usage
-- How many live bindings use a group.
SELECT count(*) FROM binding
WHERE customer_id = :customer_id AND group_seq = :group_seq AND live_until_ms > :now_ms
