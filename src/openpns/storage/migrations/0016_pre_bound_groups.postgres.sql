-- The groups that are bound on a virtual number, among any number of other bindings there.

CREATE INDEX binding_bound_group ON binding (customer_id, did, group_seq)
WHERE group_seq IS NOT NULL;
