-- bindings_revision_change
-- Replace the revision of the customer's bindings, add to their count and take seqs; locks the
-- customer's row. Returns no row if the count would grow past its quota.
-- fragments: openpns.bindings.ending:WITHIN
UPDATE customer_state SET
    binding_count = binding_count + :bindings,
    binding_next_seq = binding_next_seq + :seqs,
    bindings_revision = CAST(:revision AS bigint)
WHERE customer_id = :customer_id AND {within}
RETURNING binding_next_seq

-- bindings_quota_find
-- A row unless the count would grow past its quota.
-- fragments: openpns.bindings.ending:WITHIN
SELECT 1 FROM customer_state WHERE customer_id = :customer_id AND {within}

-- binding_create
-- Store a new binding.
INSERT INTO binding (
    customer_id, binding_seq, bind_id, customer_bind_id, kind, business_id, did, phone_a, phone_b,
    extension, group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
) VALUES (
    :customer_id, :binding_seq, :bind_id, :customer_bind_id, :kind, :business_id, :did, :phone_a,
    :phone_b, :extension, :group_id, :group_seq, :flag, :live_until_ms, :now_ms, 0, :body_digest
)

-- seat_take
-- Give a seat to a binding, or change how long its binding holds it. The check before has found it
-- free; if another one holds it, this fails.
INSERT INTO seat (customer_id, phone, did, binding_seq, live_until_ms, ended_ms)
VALUES (:customer_id, :phone, :did, :binding_seq, :live_until_ms, 0)
ON CONFLICT (customer_id, phone, did) DO UPDATE SET
    binding_seq = excluded.binding_seq, ended_ms = 0,
    live_until_ms = CASE
        WHEN seat.live_until_ms <= :now_ms OR seat.binding_seq = excluded.binding_seq
            THEN excluded.live_until_ms END

-- seat_end
-- End a seat, unless another binding has taken it.
UPDATE seat SET live_until_ms = 0, ended_ms = :ended_ms
WHERE customer_id = :customer_id AND phone = :phone AND did = :did AND binding_seq = :binding_seq

-- ended_binding_add
-- Store a binding as ended.
INSERT INTO ended_binding (
    customer_id, binding_seq, bind_id, kind, did, phone_a, phone_b, extension, group_seq, created_ms,
    ended_ms, ended_by, business_id, customer_bind_id, phone_b_ms
)
SELECT
    customer_id, binding_seq, bind_id, kind, did, phone_a, phone_b, extension, group_seq, created_ms,
    CAST(:ended_ms AS bigint), CAST(:ended_by AS text), business_id, customer_bind_id, phone_b_ms
FROM binding WHERE customer_id = :customer_id AND binding_seq = :binding_seq

-- binding_delete
-- Delete a binding.
DELETE FROM binding WHERE customer_id = :customer_id AND binding_seq = :binding_seq

-- binding_update
-- Change the second phone, flag and end of a binding.
UPDATE binding SET
    phone_b = CAST(:phone_b AS text), flag = :flag, live_until_ms = :live_until_ms,
    phone_b_ms = CASE
        WHEN phone_b = CAST(:phone_b AS text) THEN phone_b_ms ELSE CAST(:now_ms AS bigint) END
WHERE customer_id = :customer_id AND binding_seq = :binding_seq

-- binding_group_count
-- Add to the count of bindings of a group.
UPDATE number_group SET bound_count = bound_count + :bindings
WHERE customer_id = :customer_id AND group_seq = :group_seq

-- binding_find
-- The bindings with one of two ids, also one that ran out; an id that is NULL finds none.
SELECT
    bind_id, customer_bind_id, binding_seq, kind, business_id, did, phone_a, phone_b, extension,
    group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
FROM binding
WHERE customer_id = :customer_id AND bind_id = CAST(:bind_id AS text)
UNION
SELECT
    bind_id, customer_bind_id, binding_seq, kind, business_id, did, phone_a, phone_b, extension,
    group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
FROM binding
WHERE customer_id = :customer_id AND customer_bind_id <> ''
    AND customer_bind_id = CAST(:customer_bind_id AS text)

-- binding_list_expired
-- Some bindings of a customer that ran out.
SELECT
    bind_id, customer_bind_id, binding_seq, kind, business_id, did, phone_a, phone_b, extension,
    group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
FROM binding
WHERE customer_id = :customer_id AND live_until_ms <= :now_ms
ORDER BY live_until_ms, binding_seq LIMIT CAST(:at_most AS bigint)

-- binding_customer_list_expired
-- The customers who have bindings that ran out.
-- cross-customer: the sweep ends bindings of all customers
SELECT s.customer_id FROM customer_state AS s
WHERE s.binding_count > 0 AND EXISTS (
    SELECT 1 FROM binding AS b WHERE b.customer_id = s.customer_id AND b.live_until_ms <= :now_ms
)

-- binding_number_find
-- The customer's virtual numbers among three, with state, country and counts.
SELECT n.did, n.state, n.business_id, n.country, l.binding_count, l.extension_count
FROM virtual_number AS n
JOIN number_load AS l ON l.customer_id = :customer_id AND l.did = n.did
WHERE n.did IN (:phone_a, :phone_b, :did) AND n.customer_id = :customer_id
    AND n.state <> 'resting'

-- binding_conflict_find
-- Which of two phones a live binding on a virtual number names, or a group that is bound there;
-- without the binding :binding_seq and the group :group_seq.
SELECT s.phone FROM seat AS s
WHERE s.customer_id = :customer_id AND s.phone IN (:phone_a, :phone_b) AND s.did = :did
    AND s.live_until_ms > :now_ms AND s.binding_seq <> CAST(:binding_seq AS bigint)
UNION
SELECT m.phone FROM group_member AS m
JOIN binding AS b ON b.customer_id = m.customer_id AND b.group_seq = m.group_seq AND b.did = :did
WHERE m.customer_id = :customer_id AND m.phone IN (:phone_a, :phone_b)
    AND b.live_until_ms > :now_ms AND m.group_seq <> CAST(:group_seq AS bigint)

-- binding_group_conflict_find
-- A row if a group cannot be bound on a virtual number: it is bound there, one of its phones has a
-- seat there, or is in another group that is bound there; without the binding :binding_seq.
-- fragments: openpns.bindings.rivals:PARTS
WITH near AS MATERIALIZED (
    SELECT b.group_seq FROM binding AS b
    WHERE b.customer_id = :customer_id AND b.did = :did AND b.group_seq IS NOT NULL
        AND b.group_seq <> CAST(:group_seq AS bigint) AND b.live_until_ms > :now_ms
    LIMIT 1000
), {rival}
SELECT 1 FROM binding AS b
WHERE b.customer_id = :customer_id AND b.group_seq = CAST(:group_seq AS bigint) AND b.did = :did
    AND b.live_until_ms > :now_ms AND b.binding_seq <> CAST(:binding_seq AS bigint)
UNION ALL
SELECT 1 FROM group_member AS m
WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint) AND EXISTS (
    SELECT 1 FROM seat AS s
    WHERE s.customer_id = :customer_id AND s.phone = m.phone AND s.did = :did
        AND s.live_until_ms > :now_ms AND s.binding_seq <> CAST(:binding_seq AS bigint)
    LIMIT 1 OFFSET 0
)
UNION ALL
SELECT 1 FROM group_member AS m
WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint)
    AND {member_is_in_rival}
UNION ALL
SELECT 1 FROM group_member AS m
JOIN group_member AS o ON o.customer_id = m.customer_id AND o.phone = m.phone
    AND o.group_seq <> m.group_seq
WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint)
    AND {many_rivals} AND EXISTS (
        SELECT 1 FROM binding AS b
        WHERE b.customer_id = :customer_id AND b.group_seq = o.group_seq AND b.did = :did
            AND b.live_until_ms > :now_ms
        LIMIT 1 OFFSET 0
    )
LIMIT 1

-- binding_group_country_find
-- A phone of a group that has not a country code, and whether the group holds a phone.
SELECT
    (
        SELECT m.position FROM group_member AS m
        WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint)
            AND (m.phone < :country OR m.phone >= :country_end)
        LIMIT 1
    ),
    (
        SELECT m.position FROM group_member AS m
        WHERE m.customer_id = :customer_id AND m.group_seq = CAST(:group_seq AS bigint)
            AND m.phone = :phone_b
    )

-- binding_group_country_list
-- The country codes of the virtual numbers that a group is bound on.
SELECT DISTINCT l.country FROM binding AS b
JOIN number_load AS l ON l.customer_id = b.customer_id AND l.did = b.did
WHERE b.customer_id = :customer_id AND b.group_seq = :group_seq AND b.live_until_ms > :now_ms

-- number_choose
-- The open virtual number with the fewest bindings on which two phones are free, and those of a group;
-- first those on which no binding named the two after :cool_ms. Those on which one did after :rest_ms
-- are left out. `:take` also counts a binding on it.
-- fragments: openpns.bindings.choice:CHOOSING
WITH {held}blocked AS MATERIALIZED (
    SELECT s.did FROM seat AS s
    WHERE s.customer_id = :customer_id AND s.phone IN (:phone_a, :phone_b)
        AND (s.live_until_ms > :now_ms OR s.live_until_ms > :rest_ms OR s.ended_ms > :rest_ms)
    UNION ALL
    SELECT b.did FROM group_member AS m
    JOIN binding AS b ON b.customer_id = m.customer_id AND b.group_seq = m.group_seq
    WHERE m.customer_id = :customer_id AND m.phone IN (:phone_a, :phone_b)
        AND b.live_until_ms > :now_ms{blocked}
), recent AS MATERIALIZED (
    SELECT s.did FROM seat AS s
    WHERE s.customer_id = :customer_id AND s.phone IN (:phone_a, :phone_b)
        AND (s.live_until_ms > :cool_ms OR s.ended_ms > :cool_ms)
)
{take}SELECT cool.did, cool.business_id FROM (
    SELECT l.did, l.business_id FROM number_load AS l
    WHERE l.customer_id = :customer_id AND l.country = :country AND l.is_open = 1
        AND l.binding_count < :bindings_max
        AND (CAST(:business_id AS text) IS NULL OR l.business_id = CAST(:business_id AS text))
        AND l.did NOT IN (SELECT did FROM blocked) AND l.did NOT IN (SELECT did FROM recent)
    ORDER BY l.binding_count, l.did LIMIT 1
) AS cool
UNION ALL
SELECT warm.did, warm.business_id FROM (
    SELECT l.did, l.business_id FROM number_load AS l
    WHERE l.customer_id = :customer_id AND l.country = :country AND l.is_open = 1
        AND l.binding_count < :bindings_max
        AND (CAST(:business_id AS text) IS NULL OR l.business_id = CAST(:business_id AS text))
        AND l.did NOT IN (SELECT did FROM blocked)
    ORDER BY l.binding_count, l.did LIMIT 1
) AS warm
LIMIT 1{taken}

-- number_pool_find
-- Whether the customer has a virtual number of a country that is not disabled, and one that takes
-- more bindings.
SELECT
    EXISTS (
        SELECT 1 FROM number_load AS l
        JOIN virtual_number AS n ON n.did = l.did AND n.customer_id = l.customer_id
        WHERE l.customer_id = :customer_id AND l.country = :country AND n.state <> 'disabled'
            AND (CAST(:business_id AS text) IS NULL OR l.business_id = CAST(:business_id AS text))
    ),
    EXISTS (
        SELECT 1 FROM number_load AS l
        WHERE l.customer_id = :customer_id AND l.country = :country AND l.is_open = 1
            AND l.binding_count < :bindings_max
            AND (CAST(:business_id AS text) IS NULL OR l.business_id = CAST(:business_id AS text))
    )

-- seat_clean
-- Delete some seats that ended before a time; returns a row for each.
-- cross-customer: deletes the ended seats of all customers
DELETE FROM seat WHERE (customer_id, phone, did) IN (
    SELECT customer_id, phone, did FROM (
        SELECT customer_id, phone, did FROM seat
        WHERE live_until_ms = 0 AND ended_ms <= CAST(:ended_ms AS bigint)
        ORDER BY ended_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING phone

-- ended_binding_clean
-- Delete some bindings that ended before a time; returns a row for each.
-- cross-customer: deletes the ended bindings of all customers
DELETE FROM ended_binding WHERE (customer_id, binding_seq) IN (
    SELECT customer_id, binding_seq FROM (
        SELECT customer_id, binding_seq FROM ended_binding
        WHERE ended_ms <= CAST(:ended_ms AS bigint) ORDER BY ended_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING binding_seq
