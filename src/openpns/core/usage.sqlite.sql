-- usage_find_deliveries
-- How many deliveries each of some customers has, and its own quota of them.
-- cross-customer: the traces of several customers are stored together
SELECT s.customer_id, coalesce(sum(u.count), 0) AS deliveries, s.delivery_quota
FROM json_each(:customer_ids) AS c
CROSS JOIN customer_state AS s ON s.customer_id = c.value
LEFT JOIN customer_usage AS u ON u.customer_id = s.customer_id AND u.name = 'deliveries'
GROUP BY s.customer_id, s.delivery_quota
