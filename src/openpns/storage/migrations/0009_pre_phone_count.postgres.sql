-- How many phones the groups of a customer hold in all, and an index of its largest group.

-- Wait for writes here and not at the end: they lock customer_state after number_group. Reads go on.
LOCK TABLE customer_state IN SHARE ROW EXCLUSIVE MODE;

-- The expression keeps it out of the plans of other statements.
CREATE INDEX number_group_size ON number_group ((customer_id || ''), phone_count);

ALTER TABLE customer_state ADD COLUMN phone_count bigint NOT NULL DEFAULT 0;
-- The groups_revision at which phone_count was right. A server of an older version changes
-- groups_revision alone; phone_count is not used then.
ALTER TABLE customer_state ADD COLUMN phone_count_revision bigint NOT NULL DEFAULT -1;
