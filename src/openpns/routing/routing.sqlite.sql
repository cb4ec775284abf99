-- routing_sequence_take
-- Take some numbers of a sequence of each customer; returns each customer with its next number.
-- cross-customer: the traces of several customers are stored together
INSERT INTO routing_sequence (customer_id, name, next_seq)
SELECT c.value, :name, n.value
FROM json_each(:customer_ids) AS c JOIN json_each(:counts) AS n ON n.key = c.key WHERE true
ON CONFLICT (customer_id, name) DO UPDATE SET
    next_seq = routing_sequence.next_seq + excluded.next_seq
RETURNING customer_id, next_seq

-- call_trace_drop
-- Delete some traces of customers that are too far behind; returns a row for each.
-- cross-customer: the traces of several customers are stored together
DELETE FROM call_trace WHERE (customer_id, call_id) IN (
    SELECT t.customer_id, t.call_id
    FROM json_each(:customer_ids) AS c JOIN json_each(:last_seqs) AS n ON n.key = c.key
    CROSS JOIN call_trace AS t ON t.customer_id = c.value AND t.trace_seq <= n.value
    LIMIT json_array_length(:customer_ids) * :each
)
RETURNING call_id

-- digit_guard_drop
-- Delete some counts of wrong digits of a customer that are too far behind; returns a row for each.
DELETE FROM digit_guard WHERE (customer_id, did, caller) IN (
    SELECT customer_id, did, caller FROM digit_guard
    WHERE customer_id = :customer_id AND guard_seq <= :last_seq
    ORDER BY guard_seq LIMIT :at_most
)
RETURNING caller
