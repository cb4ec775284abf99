-- number_add
-- Store a virtual number, also one that rests; returns no row if a customer has it, or if it rests
-- since a time after :rested_ms and was another customer's.
INSERT INTO virtual_number (
    did, customer_id, business_id, country, state, added_ms, changed_ms
) VALUES (:did, :customer_id, :business_id, :country, 'active', :now_ms, :now_ms)
ON CONFLICT (did) DO UPDATE SET
    customer_id = excluded.customer_id, business_id = excluded.business_id,
    state = 'active', added_ms = excluded.added_ms, changed_ms = excluded.changed_ms
WHERE virtual_number.state = 'resting' AND (
    virtual_number.customer_id = excluded.customer_id
    OR virtual_number.changed_ms <= CAST(:rested_ms AS bigint)
)
RETURNING did

-- number_load_add
-- Count the bindings of a new virtual number.
INSERT INTO number_load (
    customer_id, did, business_id, country, is_open, binding_count, extension_count
) VALUES (:customer_id, :did, :business_id, :country, 1, 0, 0)

-- number_find
-- A virtual number, with its customer, its counts (NULL if it rests) and its own audios.
-- cross-customer: the operator's command names the virtual number only
SELECT
    n.customer_id, n.business_id, n.state, n.country, n.changed_ms,
    l.binding_count, l.extension_count, a.call_fail, a.dtmf_err, a.dtmf_need
FROM virtual_number AS n
LEFT JOIN number_load AS l ON l.customer_id = n.customer_id AND l.did = n.did
LEFT JOIN call_audio AS a ON a.customer_id = n.customer_id AND a.did = n.did
WHERE n.did = :did

-- number_list_stored
-- Every virtual number, also those that rest, by number; a condition that is NULL does not restrict.
-- cross-customer: the operator's own list
SELECT
    n.did, n.customer_id, n.business_id, n.state, n.country, n.changed_ms,
    l.binding_count, l.extension_count, a.call_fail, a.dtmf_err, a.dtmf_need
FROM virtual_number AS n
LEFT JOIN number_load AS l ON l.customer_id = n.customer_id AND l.did = n.did
LEFT JOIN call_audio AS a ON a.customer_id = n.customer_id AND a.did = n.did
WHERE (CAST(:customer_id AS text) IS NULL OR n.customer_id = CAST(:customer_id AS text))
    AND (CAST(:state AS text) IS NULL OR n.state = CAST(:state AS text))
ORDER BY n.did

-- number_set_state
-- Change the state of a virtual number.
UPDATE virtual_number SET state = :state, changed_ms = :now_ms
WHERE customer_id = :customer_id AND did = :did

-- number_load_set_open
-- Let new bindings take a virtual number, or not.
UPDATE number_load SET is_open = :is_open WHERE customer_id = :customer_id AND did = :did

-- number_load_delete
-- Delete the counts of a virtual number.
DELETE FROM number_load WHERE customer_id = :customer_id AND did = :did

-- number_load_change
-- Add to the counts of a virtual number.
UPDATE number_load SET
    binding_count = binding_count + :bindings, extension_count = extension_count + :extensions
WHERE customer_id = :customer_id AND did = :did

-- number_list
-- A page of virtual numbers with their counts, by number; a condition that is NULL does not restrict.
-- rows: json
SELECT n.did, n.business_id, n.state, n.country, l.binding_count
FROM virtual_number AS n
JOIN number_load AS l ON l.customer_id = :customer_id AND l.did = n.did
WHERE n.customer_id = :customer_id AND n.did > :after
    AND (CAST(:did AS text) IS NULL OR n.did = CAST(:did AS text))
    AND (CAST(:state AS text) IS NULL OR n.state = CAST(:state AS text))
    AND n.state <> 'resting'
ORDER BY n.did LIMIT CAST(:limit AS bigint)

-- number_usage
-- How many virtual numbers a customer has.
SELECT count(*) FROM number_load WHERE customer_id = :customer_id

-- number_export
-- Every virtual number of a customer with its own audios, by number.
SELECT n.did, n.business_id, n.state, a.call_fail, a.dtmf_err, a.dtmf_need
FROM virtual_number AS n
LEFT JOIN call_audio AS a ON a.customer_id = :customer_id AND a.did = n.did
WHERE n.customer_id = :customer_id AND n.state <> 'resting' ORDER BY n.did

-- audio_put
-- Give a virtual number, or a customer (an empty did), all three audios.
INSERT INTO call_audio (customer_id, did, call_fail, dtmf_err, dtmf_need)
VALUES (
    :customer_id, :did, :audio_when_call_fail, :audio_when_dtmf_err, :audio_when_dtmf_need
)
ON CONFLICT (customer_id, did) DO UPDATE SET
    call_fail = excluded.call_fail, dtmf_err = excluded.dtmf_err, dtmf_need = excluded.dtmf_need

-- audio_delete
-- Delete the audios of a virtual number, or of a customer (an empty did).
DELETE FROM call_audio WHERE customer_id = :customer_id AND did = :did
