-- usage_add
-- Add to a count of a customer; returns no row.
INSERT INTO customer_usage AS u (customer_id, name, worker_id, count)
VALUES (
    :customer_id, CAST(:name AS text), CAST(:worker_id AS bigint), CAST(:count AS bigint)
)
ON CONFLICT (customer_id, name, worker_id) DO UPDATE SET count = u.count + excluded.count

-- usage_find
-- How many call records and deliveries a customer has, and the quotas of its own.
SELECT
    (
        SELECT CAST(coalesce(sum(u.count), 0) AS bigint) FROM customer_usage AS u
        WHERE u.customer_id = :customer_id AND u.name = 'callRecords'
    ) AS call_records,
    (
        SELECT CAST(coalesce(sum(v.count), 0) AS bigint) FROM customer_usage AS v
        WHERE v.customer_id = :customer_id AND v.name = 'deliveries'
    ) AS deliveries,
    s.call_record_quota, s.delivery_quota
FROM customer_state AS s WHERE s.customer_id = :customer_id
