-- usage_find_deliveries
-- How many deliveries each of some customers has, and its own quota of them.
-- cross-customer: the traces of several customers are stored together
SELECT s.customer_id, CAST(coalesce(sum(u.count), 0) AS bigint) AS deliveries, s.delivery_quota
FROM customer_state AS s
LEFT JOIN customer_usage AS u ON
    u.customer_id = s.customer_id AND u.customer_id = ANY(CAST(:customer_ids AS text[]))
    AND u.name = 'deliveries'
WHERE s.customer_id = ANY(CAST(:customer_ids AS text[]))
GROUP BY s.customer_id, s.delivery_quota
