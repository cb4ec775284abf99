-- usage_check
-- The counts of customers that differ from their rows, with the number of rows; in one snapshot.
-- cross-customer: the check reads the whole database
SELECT
    t.customer_id, t.name, CAST(sum(t.counted) AS bigint) AS counted, CAST(sum(t.stored) AS bigint) AS stored
FROM (
    SELECT u.customer_id, u.name, u.count AS counted, CAST(0 AS bigint) AS stored
    FROM customer_usage AS u
    UNION ALL
    SELECT r.customer_id, 'callRecords', CAST(0 AS bigint), count(*)
    FROM call_record AS r GROUP BY r.customer_id
    UNION ALL
    SELECT d.customer_id, 'deliveries', CAST(0 AS bigint), count(*)
    FROM delivery AS d GROUP BY d.customer_id
) AS t
GROUP BY t.customer_id, t.name
HAVING sum(t.counted) <> sum(t.stored)

-- usage_recount_find
-- The counts of a customer, the number of its rows, and what commands have counted.
SELECT
    'callRecords' AS name,
    (
        SELECT CAST(coalesce(sum(u.count), 0) AS bigint) FROM customer_usage AS u
        WHERE u.customer_id = :customer_id AND u.name = 'callRecords'
    ) AS counted,
    (SELECT count(*) FROM call_record AS r WHERE r.customer_id = :customer_id) AS stored,
    coalesce((
        SELECT u.count FROM customer_usage AS u
        WHERE u.customer_id = :customer_id AND u.name = 'callRecords' AND u.worker_id = -1
    ), 0) AS by_commands
UNION ALL
SELECT
    'deliveries',
    (
        SELECT CAST(coalesce(sum(u.count), 0) AS bigint) FROM customer_usage AS u
        WHERE u.customer_id = :customer_id AND u.name = 'deliveries'
    ),
    (SELECT count(*) FROM delivery AS d WHERE d.customer_id = :customer_id),
    coalesce((
        SELECT u.count FROM customer_usage AS u
        WHERE u.customer_id = :customer_id AND u.name = 'deliveries' AND u.worker_id = -1
    ), 0)

-- usage_by_commands_find
-- What commands have counted for a customer.
SELECT u.name, u.count FROM customer_usage AS u
WHERE u.customer_id = :customer_id AND u.worker_id = -1
