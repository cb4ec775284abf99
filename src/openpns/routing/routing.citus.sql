-- call_trace_drop
-- Delete some traces of customers that are too far behind; returns a row for each.
-- cross-customer: the traces of several customers are stored together
DELETE FROM call_trace
WHERE customer_id = ANY(CAST(:customer_ids AS text[])) AND (customer_id, call_id) IN (
    SELECT s.customer_id, s.call_id
    FROM unnest(CAST(:customer_ids AS text[]), CAST(:last_seqs AS bigint[])) AS c (customer_id, seq)
    JOIN call_trace AS s ON s.customer_id = c.customer_id AND s.trace_seq <= c.seq
    WHERE s.customer_id = ANY(CAST(:customer_ids AS text[]))
    ORDER BY s.trace_seq LIMIT CAST(:each AS bigint)
)
RETURNING call_id
