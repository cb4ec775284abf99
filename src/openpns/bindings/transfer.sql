-- binding_export
-- Every live binding of a customer, oldest first.
SELECT
    kind, bind_id, did, phone_a, phone_b, extension, group_id, customer_bind_id, flag, live_until_ms
FROM binding
WHERE customer_id = :customer_id AND live_until_ms > :now_ms
ORDER BY binding_seq

-- binding_list_of_origin
-- The live bindings that were imported from an origin.
SELECT bind_id FROM binding
WHERE customer_id = :customer_id AND body_digest = :origin AND live_until_ms > :now_ms
ORDER BY binding_seq

-- binding_set_origin
-- Let a binding belong to the origin that lists it now.
UPDATE binding SET body_digest = :origin WHERE customer_id = :customer_id AND bind_id = :bind_id

-- ended_binding_forget
-- Delete the ended binding with an id, which is given to a live one again.
DELETE FROM ended_binding WHERE customer_id = :customer_id AND bind_id = :bind_id
