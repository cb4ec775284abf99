-- binding_order_lock
-- The next seq of the customer's bindings, how many there are, and the customer's own quota. The
-- writer locks the whole database until the end of the transaction.
SELECT binding_next_seq, binding_count, binding_quota FROM customer_state
WHERE customer_id = :customer_id

-- binding_group_taken_find
-- One of these phones that a live binding on a virtual number of a group names, except as A of the
-- group's own bindings, or that is in another group which is bound there.
WITH bound AS MATERIALIZED (
    SELECT did FROM binding
    WHERE customer_id = :customer_id AND group_seq = :group_seq AND live_until_ms > :now_ms
)
SELECT p.value FROM json_each(:phones) AS p
JOIN seat AS s ON s.customer_id = :customer_id AND s.phone = p.value AND s.live_until_ms > :now_ms
JOIN binding AS h ON h.customer_id = s.customer_id AND h.binding_seq = s.binding_seq
WHERE s.did IN (SELECT did FROM bound) AND (h.group_seq IS NULL OR h.group_seq <> :group_seq)
UNION ALL
SELECT p.value FROM json_each(:phones) AS p
JOIN group_member AS m ON m.customer_id = :customer_id AND m.phone = p.value
    AND m.group_seq <> :group_seq
JOIN binding AS b ON b.customer_id = m.customer_id AND b.group_seq = m.group_seq
    AND b.live_until_ms > :now_ms
WHERE b.did IN (SELECT did FROM bound)
LIMIT 1
