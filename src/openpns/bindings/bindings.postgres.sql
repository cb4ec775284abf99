-- binding_order_lock
-- The next seq of the customer's bindings, how many there are, and the customer's own quota; locks
-- the customer's row, so that binds, unbinds and changes of bound groups wait for each other.
SELECT binding_next_seq, binding_count, binding_quota FROM customer_state
WHERE customer_id = :customer_id FOR UPDATE

-- binding_group_taken_find
-- One of these phones that a live binding on a virtual number of a group names, except as A of the
-- group's own bindings, or that is in another group which is bound there. OFFSET 0 keeps the planner
-- from joining whole tables: it cannot know that most often there are few phones.
-- fragments: openpns.bindings.rivals:PARTS
WITH bound AS MATERIALIZED (
    SELECT did FROM binding
    WHERE customer_id = :customer_id AND group_seq = :group_seq AND live_until_ms > :now_ms
), near AS MATERIALIZED (
    SELECT o.group_seq FROM bound AS n CROSS JOIN LATERAL (
        SELECT b.group_seq FROM binding AS b
        WHERE b.customer_id = :customer_id AND b.did = n.did AND b.group_seq IS NOT NULL
            AND b.group_seq <> CAST(:group_seq AS bigint) AND b.live_until_ms > :now_ms
        LIMIT 1000
    ) AS o
    LIMIT 1000
), {rival}
SELECT p.value FROM unnest(CAST(:phones AS text[])) AS p (value)
WHERE ({item_has_seat}) OR ({item_is_in_rival})
UNION ALL
SELECT p.value FROM unnest(CAST(:phones AS text[])) AS p (value) CROSS JOIN LATERAL (
    SELECT g.group_seq FROM group_member AS g
    WHERE g.customer_id = :customer_id AND g.phone = p.value
    OFFSET 0
) AS m
WHERE {many_rivals} AND (m.group_seq IN (
    SELECT d.group_seq FROM (
        SELECT DISTINCT o.group_seq FROM unnest(CAST(:phones AS text[])) AS i (value)
        CROSS JOIN LATERAL (
            SELECT h.group_seq FROM group_member AS h
            WHERE h.customer_id = :customer_id AND h.phone = i.value
                AND h.group_seq <> CAST(:group_seq AS bigint)
            OFFSET 0
        ) AS o
    ) AS d
    WHERE EXISTS (
        SELECT 1 FROM binding AS b
        WHERE b.customer_id = :customer_id AND b.group_seq = d.group_seq
            AND (b.did IN (SELECT did FROM bound)) IS TRUE AND b.live_until_ms > :now_ms
        LIMIT 1 OFFSET 0
    )
)) IS TRUE
LIMIT 1
