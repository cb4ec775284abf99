-- call_record_list
-- A page of records, newest first, of those that match filters. Of the records that the index of the
-- first filter finds, it looks at :examined_max at most. Each row holds how many it looked at, the
-- place of the last of them and, unless none matches, a record.
-- rows: json
-- fragments: openpns.call_records.listing:SOURCES
WITH examined AS MATERIALIZED ({source})
SELECT
    s.examined, s.start_s, s.record_id,
    r.record_id, r.business_id, r.customer_bind_id, r.bind_id, r.call_id, r.did, r.caller, r.callee,
    r.call_status, r.call_status_msg, r.start_s, r.answer_s, r.hangup_s, r.hangup_cause,
    r.hangup_code, r.hangup, r.record_file, r.extension_caller, r.extension_callee
FROM (
    SELECT
        (SELECT count(*) FROM examined AS c) AS examined,
        (
            SELECT l.start_s FROM examined AS l ORDER BY l.start_s, l.record_id LIMIT 1
        ) AS start_s,
        (
            SELECT l.record_id FROM examined AS l ORDER BY l.start_s, l.record_id LIMIT 1
        ) AS record_id
) AS s
LEFT JOIN (
    SELECT * FROM examined AS e
    WHERE (CAST(:did AS text) IS NULL OR e.did = CAST(:did AS text))
        AND (CAST(:bind_id AS text) IS NULL OR e.bind_id = CAST(:bind_id AS text))
    ORDER BY e.start_s DESC, e.record_id DESC LIMIT CAST(:limit AS bigint)
) AS r ON true
ORDER BY r.start_s DESC, r.record_id DESC

-- call_record_find
-- The record of a call.
SELECT
    record_id, business_id, customer_bind_id, bind_id, call_id, did, caller, callee, call_status,
    call_status_msg, start_s, answer_s, hangup_s, hangup_cause, hangup_code, hangup, record_file,
    extension_caller, extension_callee
FROM call_record WHERE customer_id = :customer_id AND call_id = :call_id
