-- The groups that are bound on a virtual number, among any number of other bindings there.

CREATE INDEX binding_bound_group ON binding (customer_id, did, group_seq)
WHERE group_seq IS NOT NULL;

-- See migration 13 for these figures.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('binding', 'binding_bound_group', '100000 10000 10 1');
ANALYZE sqlite_schema;
