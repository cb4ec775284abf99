-- binding_order_lock
-- The next seq of the customer's bindings, how many there are, and the customer's own quota. The
-- writer locks the whole database until the end of the transaction.
SELECT binding_next_seq, binding_count, binding_quota FROM customer_state
WHERE customer_id = :customer_id

-- binding_group_taken_find
-- One of these phones that a live binding on a virtual number of a group names, except as A of the
-- group's own bindings, or that is in another group which is bound there.
-- fragments: openpns.bindings.rivals:PARTS
WITH bound AS MATERIALIZED (
    SELECT did FROM binding
    WHERE customer_id = :customer_id AND group_seq = :group_seq AND live_until_ms > :now_ms
), near AS MATERIALIZED (
    SELECT b.group_seq FROM bound AS n CROSS JOIN binding AS b
    WHERE b.customer_id = :customer_id AND b.did = n.did AND b.group_seq IS NOT NULL
        AND b.group_seq <> CAST(:group_seq AS bigint) AND b.live_until_ms > :now_ms
    LIMIT 1000
), {rival}
SELECT p.value FROM json_each(:phones) AS p
WHERE ({item_has_seat}) OR ({item_is_in_rival})
UNION ALL
SELECT p.value FROM json_each(:phones) AS p
JOIN group_member AS m ON m.customer_id = :customer_id AND m.phone = p.value
WHERE {many_rivals} AND (m.group_seq IN (
    SELECT d.group_seq FROM (
        SELECT DISTINCT o.group_seq FROM json_each(:phones) AS i
        JOIN group_member AS o ON o.customer_id = :customer_id AND o.phone = i.value
        WHERE o.group_seq <> CAST(:group_seq AS bigint)
    ) AS d
    WHERE EXISTS (
        SELECT 1 FROM binding AS b
        WHERE b.customer_id = :customer_id AND b.group_seq = d.group_seq
            AND (b.did IN (SELECT did FROM bound)) IS TRUE AND b.live_until_ms > :now_ms
        LIMIT 1 OFFSET 0
    )
)) IS TRUE
LIMIT 1
