-- binding_list_chosen
-- Some bindings of a customer on a virtual number, or made before a time.
-- fragments: openpns.bindings.operations:CHOSEN
SELECT
    bind_id, customer_bind_id, binding_seq, kind, business_id, did, phone_a, phone_b, extension,
    group_id, group_seq, flag, live_until_ms, created_ms, last_call_ms, body_digest
FROM binding
WHERE customer_id = :customer_id AND {condition}
ORDER BY binding_seq LIMIT CAST(:at_most AS bigint)

-- binding_number_usage
-- How many bindings stand on a virtual number, those that ran out and are not ended yet included.
SELECT count(*) FROM binding WHERE customer_id = :customer_id AND did = :did

-- binding_hold
-- Connect no calls from now on: of a customer, or of all that have bindings. Returns a row for each.
-- cross-customer: after a restore the operator holds all customers
UPDATE customer_state SET bindings_held_ms = CAST(:now_ms AS bigint)
WHERE binding_count > 0
    AND (CAST(:customer_id AS text) IS NULL OR customer_id = CAST(:customer_id AS text))
RETURNING customer_id

-- binding_confirm
-- Connect the calls of a customer again; returns no row if they were connected.
UPDATE customer_state SET bindings_held_ms = NULL
WHERE customer_id = :customer_id AND bindings_held_ms IS NOT NULL
RETURNING customer_id

-- binding_held_count
-- How many customers' calls are held.
-- cross-customer: the operator looks at all customers
SELECT count(*) FROM customer_state WHERE bindings_held_ms IS NOT NULL
