-- routing_sequence_take
-- Take some numbers of a sequence of each customer; returns each customer with its next number. Locks
-- the sequences until the end of the transaction, in one order.
-- cross-customer: the traces of several customers are stored together
INSERT INTO routing_sequence AS q (customer_id, name, next_seq)
SELECT t.customer_id, CAST(:name AS text), t.count
FROM unnest(CAST(:customer_ids AS text[]), CAST(:counts AS bigint[])) AS t (customer_id, count)
ORDER BY t.customer_id
ON CONFLICT (customer_id, name) DO UPDATE SET next_seq = q.next_seq + excluded.next_seq
RETURNING customer_id, next_seq

-- call_trace_drop
-- Delete some traces of customers that are too far behind; returns a row for each. What another
-- transaction has locked it is deleting already: this one waits for none, so that no two wait for each
-- other.
-- cross-customer: the traces of several customers are stored together
DELETE FROM call_trace WHERE (customer_id, call_id) IN (
    SELECT t.customer_id, t.call_id
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:last_seqs AS bigint[])) AS c (customer_id, seq)
    CROSS JOIN LATERAL (
        SELECT first.customer_id, first.call_id FROM (
            SELECT s.customer_id, s.call_id FROM call_trace AS s
            WHERE s.customer_id = c.customer_id AND s.trace_seq <= c.seq
            ORDER BY s.trace_seq LIMIT CAST(:each AS bigint)
            FOR UPDATE SKIP LOCKED
        ) AS first LIMIT 2000
    ) AS t
)
RETURNING call_id

-- digit_guard_drop
-- Delete some counts of wrong digits of a customer that are too far behind; returns a row for each.
-- Like call_trace_drop it waits for no other transaction.
DELETE FROM digit_guard WHERE customer_id = :customer_id AND (did, caller) IN (
    SELECT did, caller FROM (
        SELECT did, caller FROM digit_guard
        WHERE customer_id = :customer_id AND guard_seq <= CAST(:last_seq AS bigint)
        ORDER BY guard_seq LIMIT CAST(:at_most AS bigint)
        FOR UPDATE SKIP LOCKED
    ) AS first LIMIT 1000
)
RETURNING caller
