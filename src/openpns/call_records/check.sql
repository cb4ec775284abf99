-- call_record_check
-- Every call record.
-- cross-customer: the check reads the whole database
SELECT
    customer_id, record_id, call_id, bind_id, did, caller, callee, call_status, start_s, answer_s,
    hangup_s, hangup, extension_caller, extension_callee
FROM call_record

-- call_record_check_shared
-- Ids that two records have.
-- cross-customer: the check reads ids, which are of the whole deployment
SELECT record_id, count(*) FROM call_record GROUP BY record_id HAVING count(*) > 1
ORDER BY record_id LIMIT 20

-- call_record_check_largest
-- The largest id; NULL if there are no records.
-- cross-customer: the check reads ids, which are of the whole deployment
SELECT max(record_id) FROM call_record
