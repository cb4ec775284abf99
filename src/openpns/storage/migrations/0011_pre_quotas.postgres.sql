-- What a customer may store, and how many bytes it does.

-- The quotas of this customer; NULL: those of the server's settings.
ALTER TABLE customer_state ADD COLUMN group_quota bigint;
ALTER TABLE customer_state ADD COLUMN phone_quota bigint;
ALTER TABLE customer_state ADD COLUMN byte_quota bigint;

-- Bytes of names and remarks, and 16 for each phone; proven as phone_count is.
ALTER TABLE customer_state ADD COLUMN byte_count bigint NOT NULL DEFAULT 0;
ALTER TABLE customer_state ADD COLUMN byte_count_revision bigint NOT NULL DEFAULT -1;
