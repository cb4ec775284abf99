-- Customers, access keys, number groups, worker numbers.

CREATE TABLE customer (
    customer_id text NOT NULL PRIMARY KEY,
    name text NOT NULL,
    created_ms bigint NOT NULL,
    disabled_ms bigint
);

-- Found by access key alone, before the customer is known.
CREATE TABLE access_key (
    access_key text NOT NULL PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer (customer_id),
    label text NOT NULL,
    secret_sealed bytea NOT NULL,
    previous_sealed bytea,
    previous_until_ms bigint,
    created_ms bigint NOT NULL,
    expires_ms bigint,
    disabled_ms bigint
);

CREATE INDEX access_key_customer ON access_key (customer_id, access_key);

-- One row per customer: the count that listGroup answers as total, and the order of creation.
-- The fill factor leaves room for updates in place: every create and delete changes the row.
CREATE TABLE group_counter (
    customer_id text NOT NULL PRIMARY KEY REFERENCES customer (customer_id),
    group_count bigint NOT NULL,
    seq_next bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE number_group (
    customer_id text NOT NULL,
    group_id text NOT NULL,
    group_seq bigint NOT NULL,
    group_name text NOT NULL,
    remark text NOT NULL,
    phone_count bigint NOT NULL,
    position_next bigint NOT NULL,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    phones text NOT NULL,
    PRIMARY KEY (customer_id, group_id)
);

-- Digits compress badly and are read far more than written: store them as they are.
ALTER TABLE number_group ALTER COLUMN phones SET STORAGE EXTERNAL;

CREATE UNIQUE INDEX number_group_seq ON number_group (customer_id, group_seq);

CREATE TABLE group_member (
    customer_id text NOT NULL,
    group_seq bigint NOT NULL,
    phone text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (customer_id, group_seq, phone)
);

CREATE TABLE node_lease (
    node_id bigint NOT NULL PRIMARY KEY,
    owner text NOT NULL,
    expires_ms bigint NOT NULL
);

-- One row: tells whether a master key is the one that this database was made with.
CREATE TABLE master_key_check (
    only_row bigint NOT NULL PRIMARY KEY CHECK (only_row = 1),
    sealed bytea NOT NULL
);
