-- One word for one thing; a revision per resource; keys that promise a ts of its own per request.

ALTER TABLE group_counter RENAME TO customer_state;
ALTER TABLE customer_state RENAME COLUMN seq_next TO next_seq;
-- A random number that every change of the customer's groups replaces.
ALTER TABLE customer_state RENAME COLUMN version TO groups_revision;

ALTER TABLE group_gap RENAME TO group_order_gap;

ALTER TABLE group_part RENAME TO group_phone_chunk;
ALTER TABLE group_phone_chunk RENAME COLUMN part TO chunk;

ALTER TABLE number_group RENAME COLUMN name_key TO folded_name;

ALTER TABLE group_gone RENAME TO group_tombstone;
ALTER TABLE group_tombstone RENAME COLUMN name_key TO folded_name;
ALTER TABLE group_tombstone RENAME COLUMN gone_ms TO deleted_ms;
DROP INDEX group_gone_when;
CREATE INDEX group_tombstone_deleted ON group_tombstone (deleted_ms);

ALTER TABLE node_lease RENAME TO worker_lease;
ALTER TABLE worker_lease RENAME COLUMN node_id TO worker_id;
-- The newest migration that the worker knows; a step that it cannot run with waits for its end.
ALTER TABLE worker_lease ADD COLUMN migration INTEGER NOT NULL DEFAULT 0;

ALTER TABLE write_record RENAME TO idempotency_record;
ALTER TABLE idempotency_record RENAME COLUMN record_key TO idempotency_key;
DROP INDEX write_record_expires;
CREATE INDEX idempotency_record_expires ON idempotency_record (expires_ms);
-- Until now only createGroup took a client token.
UPDATE idempotency_record SET idempotency_key = CASE
    WHEN substr(idempotency_key, 1, 7) = 'client:'
    THEN 'token:createGroup:' || substr(idempotency_key, 8)
    ELSE 'signature:' || substr(idempotency_key, 6)
END;

ALTER TABLE access_key RENAME COLUMN secret_sealed TO secret_ciphertext;
ALTER TABLE access_key RENAME COLUMN previous_sealed TO previous_ciphertext;
ALTER TABLE access_key RENAME COLUMN md5_refused_ms TO sha256_only_since_ms;
-- Since when its owner promises that no two requests share a ts; NULL for no promise.
ALTER TABLE access_key ADD COLUMN unique_ts_since_ms INTEGER;

ALTER TABLE master_key_check RENAME COLUMN sealed TO ciphertext;

-- What an entry is about, such as a groupId.
ALTER TABLE audit_entry RENAME COLUMN group_id TO subject;

-- One row per applied step: a migration may have the steps pre and post.
CREATE TABLE schema_migration (
    number INTEGER NOT NULL,
    step TEXT NOT NULL,
    file TEXT NOT NULL,
    -- SHA-256 of the file; a file that has changed since is refused.
    checksum TEXT NOT NULL,
    applied_ms INTEGER NOT NULL,
    PRIMARY KEY (number, step)
) STRICT;
