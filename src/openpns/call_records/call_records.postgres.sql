-- call_record_add
-- Store a record under the next id; returns no row if the call has one.
INSERT INTO call_record (
    customer_id, call_id, business_id, customer_bind_id, bind_id, did, caller, callee, call_status,
    call_status_msg, start_s, answer_s, hangup_s, hangup_cause, hangup_code, hangup, record_file,
    extension_caller, extension_callee, created_ms, body_digest
) VALUES (
    :customer_id, :call_id, :business_id, :customer_bind_id, :bind_id, :did, :caller, :callee,
    :call_status, :call_status_msg, :start_s, :answer_s, :hangup_s, :hangup_cause, :hangup_code,
    :hangup, :record_file, :extension_caller, :extension_callee, :created_ms, :body_digest
)
ON CONFLICT (customer_id, call_id) DO NOTHING
RETURNING record_id

-- call_record_skip_ids
-- Use no id up to :count after the last one; returns a row.
-- cross-customer: the ids are of the whole deployment
SELECT setval(
    'call_record_record_id_seq', nextval('call_record_record_id_seq') + CAST(:count AS bigint)
)

-- call_record_last_id
-- The last id that was used; 0 if none was.
-- cross-customer: the ids are of the whole deployment
SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END FROM call_record_record_id_seq AS s
