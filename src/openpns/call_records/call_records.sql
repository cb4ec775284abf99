-- call_question_find
-- Whether a call has a record; whether the webhook wants events of a kind; what usage_find returns;
-- and what was asked and answered for the call, NULL if its trace is not stored.
SELECT
    CASE WHEN EXISTS (
        SELECT 1 FROM call_record AS r
        WHERE r.customer_id = :customer_id AND r.call_id = :call_id
    ) THEN 1 ELSE 0 END AS is_stored,
    CASE WHEN EXISTS (
        SELECT 1 FROM webhook AS w
        WHERE w.customer_id = :customer_id
            AND ',' || w.kinds || ',' LIKE '%,' || CAST(:kind AS text) || ',%'
    ) THEN 1 ELSE 0 END AS is_event_wanted,
    (
        SELECT CAST(coalesce(sum(u.count), 0) AS bigint) FROM customer_usage AS u
        WHERE u.customer_id = :customer_id AND u.name = 'callRecords'
    ) AS call_records,
    (
        SELECT CAST(coalesce(sum(v.count), 0) AS bigint) FROM customer_usage AS v
        WHERE v.customer_id = :customer_id AND v.name = 'deliveries'
    ) AS deliveries,
    s.call_record_quota, s.delivery_quota,
    t.bind_id, t.caller, t.callee, t.did, t.extension, n.business_id
FROM customer_state AS s
LEFT JOIN call_trace AS t ON t.customer_id = s.customer_id AND t.call_id = :call_id
LEFT JOIN virtual_number AS n ON n.did = t.did AND n.customer_id = t.customer_id
WHERE s.customer_id = :customer_id

-- call_binding_find
-- A binding, live or ended in the last days, and whether two spellings of a caller are in its group.
SELECT
    b.kind, b.did, b.phone_a, b.phone_b, b.extension, b.business_id, b.customer_bind_id, 0 AS is_ended,
    CASE WHEN EXISTS (
        SELECT 1 FROM group_member AS m
        WHERE m.customer_id = :customer_id AND m.group_seq = b.group_seq AND m.phone = :caller
    ) THEN 1 ELSE 0 END AS is_member,
    CASE WHEN EXISTS (
        SELECT 1 FROM group_member AS m
        WHERE m.customer_id = :customer_id AND m.group_seq = b.group_seq AND m.phone = :caller_abroad
    ) THEN 1 ELSE 0 END AS is_member_abroad,
    b.phone_b_ms
FROM binding AS b WHERE b.customer_id = :customer_id AND b.bind_id = :bind_id
UNION ALL
SELECT
    e.kind, e.did, e.phone_a, e.phone_b, e.extension, e.business_id, e.customer_bind_id, 1,
    CASE WHEN EXISTS (
        SELECT 1 FROM group_member AS m
        WHERE m.customer_id = :customer_id AND m.group_seq = e.group_seq AND m.phone = :caller
    ) THEN 1 ELSE 0 END,
    CASE WHEN EXISTS (
        SELECT 1 FROM group_member AS m
        WHERE m.customer_id = :customer_id AND m.group_seq = e.group_seq AND m.phone = :caller_abroad
    ) THEN 1 ELSE 0 END,
    e.phone_b_ms
FROM ended_binding AS e WHERE e.customer_id = :customer_id AND e.bind_id = :bind_id

-- call_record_report_find
-- What decides whether a report of a call repeats the one that is stored.
SELECT record_id, body_digest, caller, did, bind_id FROM call_record
WHERE customer_id = :customer_id AND call_id = :call_id

-- call_record_clean
-- Delete some records that were stored before a time; returns the customer of each.
-- cross-customer: deletes the old records of all customers
DELETE FROM call_record WHERE (customer_id, record_id) IN (
    SELECT customer_id, record_id FROM (
        SELECT customer_id, record_id FROM call_record
        WHERE created_ms <= CAST(:created_ms AS bigint)
        ORDER BY created_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING customer_id

-- call_record_prune
-- Delete some records of a customer whose calls began before a time; returns a row for each.
DELETE FROM call_record WHERE customer_id = :customer_id AND record_id IN (
    SELECT record_id FROM (
        SELECT record_id FROM call_record
        WHERE customer_id = :customer_id AND start_s < CAST(:start_s AS bigint)
        ORDER BY start_s LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING record_id
