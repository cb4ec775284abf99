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
ALTER INDEX group_gone_when RENAME TO group_tombstone_deleted;

ALTER TABLE node_lease RENAME TO worker_lease;
ALTER TABLE worker_lease RENAME COLUMN node_id TO worker_id;
-- The newest migration that the worker knows; a step that it cannot run with waits for its end.
ALTER TABLE worker_lease ADD COLUMN migration bigint NOT NULL DEFAULT 0;

ALTER TABLE write_record RENAME TO idempotency_record;
ALTER TABLE idempotency_record RENAME COLUMN record_key TO idempotency_key;
ALTER INDEX write_record_expires RENAME TO idempotency_record_expires;
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
ALTER TABLE access_key ADD COLUMN unique_ts_since_ms bigint;

ALTER TABLE master_key_check RENAME COLUMN sealed TO ciphertext;

-- What an entry is about, such as a groupId.
ALTER TABLE audit_entry RENAME COLUMN group_id TO subject;

ALTER INDEX group_counter_pkey RENAME TO customer_state_pkey;
ALTER INDEX group_gap_pkey RENAME TO group_order_gap_pkey;
ALTER INDEX group_part_pkey RENAME TO group_phone_chunk_pkey;
ALTER INDEX group_gone_pkey RENAME TO group_tombstone_pkey;
ALTER INDEX node_lease_pkey RENAME TO worker_lease_pkey;
ALTER INDEX write_record_pkey RENAME TO idempotency_record_pkey;
ALTER TABLE customer_state RENAME CONSTRAINT group_counter_customer_id_fkey TO customer_state_customer_id_fkey;

-- One row per applied step: a migration may have the steps pre and post.
ALTER TABLE schema_migration
    ADD COLUMN step text NOT NULL DEFAULT 'stop',
    ADD COLUMN file text NOT NULL DEFAULT '',
    -- SHA-256 of the file; a file that has changed since is refused.
    ADD COLUMN checksum text NOT NULL DEFAULT '',
    ADD COLUMN applied_ms bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT schema_migration_pkey,
    ADD PRIMARY KEY (number, step);
UPDATE schema_migration SET applied_ms = CAST(extract(epoch FROM applied_at) * 1000 AS bigint);
ALTER TABLE schema_migration DROP COLUMN applied_at;
