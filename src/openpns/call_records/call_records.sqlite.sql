-- call_record_add
-- Store a record under the next id; returns no row if the call has one. A trigger counts the id.
INSERT INTO call_record (
    customer_id, record_id, call_id, business_id, customer_bind_id, bind_id, did, caller, callee,
    call_status, call_status_msg, start_s, answer_s, hangup_s, hangup_cause, hangup_code, hangup,
    record_file, extension_caller, extension_callee, created_ms, body_digest
)
SELECT
    :customer_id, c.last_id + 1, :call_id, :business_id, :customer_bind_id, :bind_id, :did, :caller,
    :callee, :call_status, :call_status_msg, :start_s, :answer_s, :hangup_s, :hangup_cause,
    :hangup_code, :hangup, :record_file, :extension_caller, :extension_callee, :created_ms,
    :body_digest
FROM call_record_counter AS c WHERE c.only_row = 1
ON CONFLICT (customer_id, call_id) DO NOTHING
RETURNING record_id

-- call_record_skip_ids
-- Use no id up to :count after the last one; returns a row.
-- cross-customer: the ids are of the whole deployment
UPDATE call_record_counter SET last_id = last_id + :count WHERE only_row = 1 RETURNING last_id

-- call_record_last_id
-- The last id that was used.
-- cross-customer: the ids are of the whole deployment
SELECT last_id FROM call_record_counter
