-- binding_check_number
-- Virtual numbers in use that have no counts, and the other way round.
-- cross-customer: the check reads the whole database
SELECT n.customer_id, n.did
FROM (SELECT customer_id, did FROM virtual_number WHERE state <> 'resting' OFFSET 0) AS n
LEFT JOIN (SELECT customer_id, did FROM number_load OFFSET 0) AS l
    ON l.customer_id = n.customer_id AND l.did = n.did
WHERE l.did IS NULL
UNION ALL
SELECT l.customer_id, l.did FROM number_load AS l
WHERE NOT EXISTS (
    SELECT 1 FROM virtual_number AS n
    WHERE n.did = l.did AND n.customer_id = l.customer_id AND n.state <> 'resting'
)
