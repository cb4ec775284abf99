CREATE INDEX access_key_customer ON access_key (customer_id, access_key);

CREATE INDEX binding_bound_group ON binding (customer_id, did, group_seq)
WHERE group_seq IS NOT NULL;

CREATE INDEX binding_did ON binding (customer_id, did, binding_seq);

CREATE INDEX binding_digits ON binding (customer_id, did, live_until_ms) WHERE kind = 'extension';

CREATE INDEX binding_extension_a ON binding (customer_id, phone_a) WHERE kind = 'extension';

CREATE INDEX binding_extension_b ON binding (customer_id, phone_b) WHERE kind = 'extension';

CREATE INDEX binding_group ON binding (customer_id, group_seq, did) WHERE group_seq IS NOT NULL;

CREATE INDEX binding_live_until ON binding (customer_id, live_until_ms);

CREATE INDEX call_record_binding ON call_record (customer_id, bind_id, start_s, record_id)
WHERE bind_id <> '';

CREATE INDEX call_record_callee ON call_record (customer_id, callee, start_s, record_id)
WHERE callee <> '';

CREATE INDEX call_record_caller ON call_record (customer_id, caller, start_s, record_id);

CREATE INDEX call_record_created ON call_record (created_ms);

CREATE INDEX call_record_did ON call_record (customer_id, did, start_s, record_id);

CREATE INDEX call_record_start ON call_record (customer_id, start_s, record_id);

CREATE INDEX call_trace_asked ON call_trace (asked_ms);

CREATE INDEX call_trace_seq ON call_trace (customer_id, trace_seq) WHERE trace_seq IS NOT NULL;

CREATE INDEX customer_state_held ON customer_state (customer_id) WHERE bindings_held_ms IS NOT NULL;

CREATE INDEX delivery_created ON delivery (created_ms);

CREATE INDEX delivery_due ON delivery (customer_id, next_ms, delivery_id) WHERE state = 'pending';

CREATE INDEX delivery_pending ON delivery (created_ms) WHERE state = 'pending';

CREATE INDEX delivery_state ON delivery (customer_id, state, delivery_id);

CREATE INDEX digit_guard_seq ON digit_guard (customer_id, guard_seq) WHERE guard_seq IS NOT NULL;

CREATE INDEX digit_guard_since ON digit_guard (since_ms);

CREATE INDEX ended_binding_ended ON ended_binding (ended_ms);

CREATE INDEX ended_binding_group ON ended_binding (customer_id, group_seq, did)
WHERE group_seq IS NOT NULL;

CREATE INDEX group_member_phone ON group_member (customer_id, phone, group_seq);

CREATE INDEX group_tombstone_deleted ON group_tombstone (deleted_ms);

CREATE INDEX idempotency_record_expires ON idempotency_record (expires_ms);

CREATE INDEX number_group_name ON number_group (customer_id, folded_name, group_seq);

CREATE INDEX number_group_size ON number_group ((customer_id || ''), phone_count);

CREATE INDEX number_load_choice ON number_load (customer_id, country, is_open, binding_count, did);

CREATE INDEX seat_ended ON seat (ended_ms) WHERE live_until_ms = 0;

CREATE INDEX virtual_number_customer ON virtual_number (customer_id, did);

CREATE TABLE "customer_state" (
    customer_id TEXT NOT NULL PRIMARY KEY REFERENCES customer (customer_id),
    group_count INTEGER NOT NULL,
    next_seq INTEGER NOT NULL
, groups_revision INTEGER NOT NULL DEFAULT 0, phone_count INTEGER NOT NULL DEFAULT 0, phone_count_revision INTEGER NOT NULL DEFAULT -1, group_quota INTEGER, phone_quota INTEGER, byte_quota INTEGER, byte_count INTEGER NOT NULL DEFAULT 0, byte_count_revision INTEGER NOT NULL DEFAULT -1, bindings_revision INTEGER NOT NULL DEFAULT 0, binding_count INTEGER NOT NULL DEFAULT 0, binding_next_seq INTEGER NOT NULL DEFAULT 0, binding_quota INTEGER, bindings_held_ms INTEGER, call_record_quota INTEGER, delivery_quota INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE "group_order_gap" (
    customer_id TEXT NOT NULL,
    level INTEGER NOT NULL,
    block INTEGER NOT NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (customer_id, level, block)
) STRICT, WITHOUT ROWID;

CREATE TABLE "group_phone_chunk" (
    customer_id TEXT NOT NULL,
    group_seq INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    -- Begins with a comma.
    phones TEXT NOT NULL,
    PRIMARY KEY (customer_id, group_seq, chunk)
) STRICT, WITHOUT ROWID;

CREATE TABLE "group_tombstone" (
    customer_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    group_seq INTEGER NOT NULL,
    folded_name TEXT NOT NULL,
    deleted_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, group_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE "idempotency_record" (
    customer_id TEXT NOT NULL,
    -- The signature of the request, or the client token that it brought.
    idempotency_key TEXT NOT NULL,
    -- A digest of what the request asked for, where the key is a client token.
    fingerprint TEXT NOT NULL,
    code INTEGER NOT NULL,
    answer TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, idempotency_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE "worker_lease" (
    worker_id INTEGER NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    expires_ms INTEGER NOT NULL
, migration INTEGER NOT NULL DEFAULT 0) STRICT;

CREATE TABLE access_key (
    access_key TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customer (customer_id),
    label TEXT NOT NULL,
    secret_ciphertext BLOB NOT NULL,
    previous_ciphertext BLOB,
    previous_until_ms INTEGER,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    disabled_ms INTEGER
, sha256_only_since_ms INTEGER, rate_per_s INTEGER, rate_burst INTEGER, read_only_ms INTEGER, unique_ts_since_ms INTEGER, hmac_only_since_ms INTEGER, allowed_addresses TEXT, allowed_actions TEXT, last_used_ms INTEGER) STRICT, WITHOUT ROWID;

CREATE TABLE audit_backlog (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    customer_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    entry_id INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_entry (
    -- Empty where an entry is about no single customer.
    customer_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    -- A random number, which tells entries of the same moment apart.
    entry_id INTEGER NOT NULL,
    action TEXT NOT NULL,
    -- Who ran the command; NULL where the access key called.
    operator TEXT,
    -- The key that called, or that the command was about.
    access_key TEXT,
    subject TEXT,
    -- The id of the request; NULL where a command wrote the entry.
    request_id TEXT,
    -- What changed, as JSON.
    details TEXT NOT NULL,
    PRIMARY KEY (customer_id, at_ms, entry_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_pruning (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    before_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE audit_seal (
    customer_id TEXT NOT NULL,
    -- 1 for the first entry of the customer.
    seq INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    -- When the entry was added, by the clock of the database; NULL if it is older than the chain.
    added_ms INTEGER,
    -- SHA-256 of the content of the entry and of the digest before.
    digest BLOB NOT NULL,
    PRIMARY KEY (customer_id, seq),
    UNIQUE (customer_id, at_ms, entry_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit_unsealed (
    place INTEGER PRIMARY KEY,
    customer_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    added_ms INTEGER NOT NULL,
    UNIQUE (customer_id, at_ms, entry_id)
) STRICT;

CREATE TABLE binding (
    customer_id TEXT NOT NULL,
    binding_seq INTEGER NOT NULL,
    bind_id TEXT NOT NULL,
    customer_bind_id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('axb', 'extension', 'axg')),
    business_id TEXT NOT NULL,
    did TEXT NOT NULL,
    phone_a TEXT NOT NULL,
    phone_b TEXT NOT NULL,
    extension TEXT NOT NULL,
    group_id TEXT NOT NULL,
    group_seq INTEGER,
    flag INTEGER NOT NULL,
    live_until_ms INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    last_call_ms INTEGER NOT NULL,
    body_digest TEXT NOT NULL, phone_b_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, binding_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE call_audio (
    customer_id TEXT NOT NULL,
    did TEXT NOT NULL,
    call_fail TEXT,
    dtmf_err TEXT,
    dtmf_need TEXT,
    PRIMARY KEY (customer_id, did)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE call_record_counter (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    last_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE call_trace (
    customer_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    asked_ms INTEGER NOT NULL,
    bind_id TEXT NOT NULL,
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    did TEXT NOT NULL,
    extension TEXT NOT NULL,
    flag INTEGER NOT NULL,
    request_id TEXT NOT NULL, trace_seq INTEGER,
    PRIMARY KEY (customer_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE customer (
    customer_id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    disabled_ms INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE customer_usage (
    customer_id TEXT NOT NULL,
    name TEXT NOT NULL,
    worker_id INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (customer_id, name, worker_id)
) STRICT, WITHOUT ROWID;

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

CREATE TABLE digit_guard (
    customer_id TEXT NOT NULL,
    did TEXT NOT NULL,
    caller TEXT NOT NULL,
    count INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    paused_until_ms INTEGER NOT NULL, guard_seq INTEGER,
    PRIMARY KEY (customer_id, did, caller)
) STRICT, WITHOUT ROWID;

CREATE TABLE ended_binding (
    customer_id TEXT NOT NULL,
    binding_seq INTEGER NOT NULL,
    bind_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    did TEXT NOT NULL,
    phone_a TEXT NOT NULL,
    phone_b TEXT NOT NULL,
    extension TEXT NOT NULL,
    group_seq INTEGER,
    created_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    ended_by TEXT NOT NULL, business_id TEXT NOT NULL DEFAULT '', customer_bind_id TEXT NOT NULL DEFAULT '', phone_b_ms INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (customer_id, binding_seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_member (
    customer_id TEXT NOT NULL,
    group_seq INTEGER NOT NULL,
    phone TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (customer_id, group_seq, phone)
) STRICT, WITHOUT ROWID;

CREATE TABLE master_key_check (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    ciphertext BLOB NOT NULL
) STRICT;

CREATE TABLE number_group (
    customer_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    group_seq INTEGER NOT NULL,
    group_name TEXT NOT NULL,
    remark TEXT NOT NULL,
    phone_count INTEGER NOT NULL,
    position_next INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    -- Last, so that reading the columns before it never touches its overflow pages.
    phones TEXT NOT NULL, folded_name TEXT NOT NULL DEFAULT '', bound_count INTEGER NOT NULL DEFAULT 0 CHECK (bound_count >= 0),
    PRIMARY KEY (customer_id, group_id)
) STRICT;

CREATE TABLE number_load (
    customer_id TEXT NOT NULL,
    did TEXT NOT NULL,
    business_id TEXT NOT NULL,
    country TEXT NOT NULL,
    is_open INTEGER NOT NULL,
    binding_count INTEGER NOT NULL,
    extension_count INTEGER NOT NULL,
    PRIMARY KEY (customer_id, did)
) STRICT, WITHOUT ROWID;

CREATE TABLE routing_sequence (
    customer_id TEXT NOT NULL,
    name TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    PRIMARY KEY (customer_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE schema_migration (
    number INTEGER NOT NULL,
    step TEXT NOT NULL,
    file TEXT NOT NULL,
    -- SHA-256 of the file; a file that has changed since is refused.
    checksum TEXT NOT NULL,
    applied_ms INTEGER NOT NULL,
    PRIMARY KEY (number, step)
) STRICT;

CREATE TABLE seat (
    customer_id TEXT NOT NULL,
    phone TEXT NOT NULL,
    did TEXT NOT NULL,
    binding_seq INTEGER NOT NULL,
    live_until_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, phone, did)
) STRICT, WITHOUT ROWID;

CREATE TABLE sqlite_stat1(tbl,idx,stat);

CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample);

CREATE TABLE virtual_number (
    did TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customer (customer_id),
    business_id TEXT NOT NULL,
    country TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'draining', 'disabled', 'resting')),
    added_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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

CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry
WHEN OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms)
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;

CREATE TRIGGER audit_entry_no_delete_of_sealed BEFORE DELETE ON audit_entry
WHEN EXISTS (
    SELECT 1 FROM audit_seal
    WHERE customer_id = OLD.customer_id AND at_ms = OLD.at_ms AND entry_id = OLD.entry_id
) OR EXISTS (
    SELECT 1 FROM audit_unsealed
    WHERE customer_id = OLD.customer_id AND at_ms = OLD.at_ms AND entry_id = OLD.entry_id
)
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;

CREATE TRIGGER audit_entry_no_replace BEFORE INSERT ON audit_entry
WHEN EXISTS (
    SELECT 1 FROM audit_entry
    WHERE customer_id = NEW.customer_id AND at_ms = NEW.at_ms AND entry_id = NEW.entry_id
)
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;

CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;

CREATE TRIGGER audit_entry_queue AFTER INSERT ON audit_entry
BEGIN
    INSERT INTO audit_unsealed (customer_id, at_ms, entry_id, added_ms) VALUES (
        NEW.customer_id, NEW.at_ms, NEW.entry_id, CAST(unixepoch('subsec') * 1000 AS INTEGER)
    );
END;

CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal
WHEN OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms)
BEGIN
    SELECT RAISE(ABORT, 'audit_seal is append-only');
END;

CREATE TRIGGER audit_seal_no_replace BEFORE INSERT ON audit_seal
WHEN EXISTS (
    SELECT 1 FROM audit_seal WHERE customer_id = NEW.customer_id AND seq = NEW.seq
) OR EXISTS (
    SELECT 1 FROM audit_seal
    WHERE customer_id = NEW.customer_id AND at_ms = NEW.at_ms AND entry_id = NEW.entry_id
)
BEGIN
    SELECT RAISE(ABORT, 'audit_seal is append-only');
END;

CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal
BEGIN
    SELECT RAISE(ABORT, 'audit_seal is append-only');
END;

CREATE TRIGGER call_record_count AFTER INSERT ON call_record
BEGIN
    UPDATE call_record_counter SET last_id = NEW.record_id WHERE last_id < NEW.record_id;
END;

CREATE UNIQUE INDEX binding_customer_bind_id ON binding (customer_id, customer_bind_id)
WHERE customer_bind_id <> '';

CREATE UNIQUE INDEX binding_id ON binding (customer_id, bind_id);

CREATE UNIQUE INDEX call_record_call ON call_record (customer_id, call_id);

CREATE UNIQUE INDEX ended_binding_id ON ended_binding (customer_id, bind_id);

CREATE UNIQUE INDEX number_group_seq ON number_group (customer_id, group_seq)
