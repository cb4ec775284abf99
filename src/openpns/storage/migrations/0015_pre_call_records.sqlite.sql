-- Records of calls, webhooks, and what is to be delivered to them.

-- record_id: of the whole deployment; JSON numbers are exact below 2^53.
CREATE TABLE call_record (
    customer_id TEXT NOT NULL,
    record_id INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    business_id TEXT NOT NULL,
    customer_bind_id TEXT NOT NULL,
    bind_id TEXT NOT NULL,
    did TEXT NOT NULL,
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    call_status INTEGER NOT NULL,
    call_status_msg TEXT NOT NULL,
    start_s INTEGER NOT NULL,
    answer_s INTEGER NOT NULL,
    hangup_s INTEGER NOT NULL,
    hangup_cause TEXT NOT NULL,
    hangup_code INTEGER NOT NULL,
    hangup INTEGER NOT NULL,
    record_file TEXT NOT NULL,
    extension_caller TEXT NOT NULL,
    extension_callee TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    body_digest TEXT NOT NULL,
    PRIMARY KEY (customer_id, record_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX call_record_call ON call_record (customer_id, call_id);
CREATE INDEX call_record_start ON call_record (customer_id, start_s, record_id);
CREATE INDEX call_record_binding ON call_record (customer_id, bind_id, start_s, record_id)
WHERE bind_id <> '';
CREATE INDEX call_record_did ON call_record (customer_id, did, start_s, record_id);
CREATE INDEX call_record_caller ON call_record (customer_id, caller, start_s, record_id);
CREATE INDEX call_record_callee ON call_record (customer_id, callee, start_s, record_id)
WHERE callee <> '';
CREATE INDEX call_record_created ON call_record (created_ms);

-- The record_id of the last record; one that was deleted is not used again.
CREATE TABLE call_record_counter (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    last_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO call_record_counter (only_row, last_id) VALUES (1, 0);

CREATE TRIGGER call_record_count AFTER INSERT ON call_record
BEGIN
    UPDATE call_record_counter SET last_id = NEW.record_id WHERE last_id < NEW.record_id;
END;

-- The fields of a record that only the binding has; empty for bindings that ended before.
ALTER TABLE ended_binding ADD COLUMN business_id TEXT NOT NULL DEFAULT '';
ALTER TABLE ended_binding ADD COLUMN customer_bind_id TEXT NOT NULL DEFAULT '';

-- Where the events of a customer are delivered; kinds are separated by commas. failing_ms: since when
-- attempts fail; 0 if the last one succeeded.
CREATE TABLE webhook (
    customer_id TEXT NOT NULL PRIMARY KEY REFERENCES customer (customer_id),
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'disabled', 'gone')),
    secret_ciphertext BLOB NOT NULL,
    previous_ciphertext BLOB,
    previous_until_ms INTEGER,
    failing_ms INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Events with the state of their delivery. tries: all; round_tries: since it was last queued.
-- next_ms: when a worker may take a pending one; a worker that takes it moves this ahead, so that
-- another one takes it if that worker ends.
CREATE TABLE delivery (
    customer_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'failed')),
    tries INTEGER NOT NULL,
    round_tries INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    lease_owner TEXT NOT NULL,
    last_ms INTEGER NOT NULL,
    last_status INTEGER NOT NULL,
    last_error TEXT NOT NULL,
    PRIMARY KEY (customer_id, delivery_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX delivery_due ON delivery (customer_id, next_ms, delivery_id) WHERE state = 'pending';
CREATE INDEX delivery_pending ON delivery (created_ms) WHERE state = 'pending';
CREATE INDEX delivery_state ON delivery (customer_id, state, delivery_id);
CREATE INDEX delivery_created ON delivery (created_ms);

-- For the planner; see migration 13.
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('call_record', 'call_record', '10000000 1000000 1'),
    ('call_record', 'call_record_call', '10000000 1000000 1'),
    ('call_record', 'call_record_start', '10000000 1000000 2 1'),
    ('call_record', 'call_record_binding', '10000000 1000000 3 2 1'),
    ('call_record', 'call_record_did', '10000000 1000000 1000 2 1'),
    ('call_record', 'call_record_caller', '10000000 1000000 20 2 1'),
    ('call_record', 'call_record_callee', '10000000 1000000 20 2 1'),
    ('call_record', 'call_record_created', '10000000 2'),
    ('delivery', 'delivery', '1000000 100000 1'),
    ('delivery', 'delivery_due', '100000 10000 2 1'),
    ('delivery', 'delivery_pending', '100000 2'),
    ('delivery', 'delivery_state', '1000000 100000 30000 1'),
    ('delivery', 'delivery_created', '1000000 2');
ANALYZE sqlite_schema;
