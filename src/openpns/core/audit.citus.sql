-- audit_list
-- Entries of a time span, newest first; a condition that is NULL does not restrict.
-- cross-customer: the operator's own list
SELECT
    a.customer_id, a.at_ms, a.action, a.operator, a.access_key, a.subject, a.request_id, a.details
FROM audit_entry AS a
WHERE (CAST(:customer_id AS text) IS NULL OR a.customer_id = CAST(:customer_id AS text))
    AND a.at_ms >= CAST(:since_ms AS bigint) AND a.at_ms < CAST(:until_ms AS bigint)
    AND (CAST(:access_key AS text) IS NULL OR a.access_key = CAST(:access_key AS text))
    AND (CAST(:action AS text) IS NULL OR a.action = CAST(:action AS text))
    AND (CAST(:subject AS text) IS NULL OR a.subject = CAST(:subject AS text))
ORDER BY a.at_ms DESC, a.entry_id DESC, a.customer_id
LIMIT CAST(:at_most AS bigint)
