-- binding_order_lock
-- The next seq of the customer's bindings, how many there are, and the customer's own quota; locks
-- the customer's row, so that binds, unbinds and changes of bound groups wait for each other.
SELECT binding_next_seq, binding_count, binding_quota FROM customer_state
WHERE customer_id = :customer_id FOR UPDATE

-- binding_group_taken_find
-- One of these phones that a live binding on a virtual number of a group names, except as A of the
-- group's own bindings, or that is in another group which is bound there. OFFSET 0 keeps the planner
-- from joining whole tables: it cannot know that most often there are few phones.
WITH bound AS MATERIALIZED (
    SELECT did FROM binding
    WHERE customer_id = :customer_id AND group_seq = :group_seq AND live_until_ms > :now_ms
)
SELECT p.phone FROM unnest(CAST(:phones AS text[])) AS p (phone)
WHERE EXISTS (
    SELECT 1 FROM seat AS s
    WHERE s.customer_id = :customer_id AND s.phone = p.phone
        AND s.did = ANY (ARRAY(SELECT did FROM bound)) AND s.live_until_ms > :now_ms
        AND (
            SELECT h.group_seq FROM binding AS h
            WHERE h.customer_id = :customer_id AND h.binding_seq = s.binding_seq
        ) IS DISTINCT FROM CAST(:group_seq AS bigint)
    OFFSET 0
) OR EXISTS (
    SELECT 1 FROM group_member AS m
    WHERE m.customer_id = :customer_id AND m.phone = p.phone
        AND m.group_seq <> CAST(:group_seq AS bigint) AND EXISTS (
            SELECT 1 FROM binding AS b
            WHERE b.customer_id = :customer_id AND b.group_seq = m.group_seq
                AND b.did = ANY (ARRAY(SELECT did FROM bound)) AND b.live_until_ms > :now_ms
            OFFSET 0
        )
    OFFSET 0
)
LIMIT 1
