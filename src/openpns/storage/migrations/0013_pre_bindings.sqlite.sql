-- Virtual numbers, bindings, and the seats that bindings hold.

-- Which customer a virtual number belongs to; a number that rests belongs to its last one.
CREATE TABLE virtual_number (
    did TEXT NOT NULL PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customer (customer_id),
    business_id TEXT NOT NULL,
    country TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'draining', 'disabled', 'resting')),
    added_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX virtual_number_customer ON virtual_number (customer_id, did);

-- How many bindings stand on a virtual number, those that ran out and are not ended yet included.
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

CREATE INDEX number_load_choice ON number_load (customer_id, country, is_open, binding_count, did);

-- live_until_ms: 2^62 for a binding that never runs out. body_digest: of the request that made it.
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
    body_digest TEXT NOT NULL,
    PRIMARY KEY (customer_id, binding_seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX binding_id ON binding (customer_id, bind_id);
CREATE UNIQUE INDEX binding_customer_bind_id ON binding (customer_id, customer_bind_id)
WHERE customer_bind_id <> '';
CREATE INDEX binding_did ON binding (customer_id, did, binding_seq);
CREATE INDEX binding_group ON binding (customer_id, group_seq, did) WHERE group_seq IS NOT NULL;
CREATE INDEX binding_digits ON binding (customer_id, did, live_until_ms) WHERE kind = 'extension';
CREATE INDEX binding_live_until ON binding (customer_id, live_until_ms);

-- A phone's place on a virtual number, or that of digits (#123): one live binding at most.
-- live_until_ms is 0 once the binding was ended.
CREATE TABLE seat (
    customer_id TEXT NOT NULL,
    phone TEXT NOT NULL,
    did TEXT NOT NULL,
    binding_seq INTEGER NOT NULL,
    live_until_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, phone, did)
) STRICT, WITHOUT ROWID;

CREATE INDEX seat_ended ON seat (ended_ms) WHERE live_until_ms = 0;

-- Bindings of the last days, to explain why a call is not connected any more.
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
    ended_by TEXT NOT NULL,
    PRIMARY KEY (customer_id, binding_seq)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX ended_binding_id ON ended_binding (customer_id, bind_id);
CREATE INDEX ended_binding_group ON ended_binding (customer_id, group_seq, did)
WHERE group_seq IS NOT NULL;
CREATE INDEX ended_binding_ended ON ended_binding (ended_ms);

-- Wrong digits: of one caller on a virtual number, and of all callers (an empty caller).
CREATE TABLE digit_guard (
    customer_id TEXT NOT NULL,
    did TEXT NOT NULL,
    caller TEXT NOT NULL,
    count INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,
    paused_until_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, did, caller)
) STRICT, WITHOUT ROWID;

CREATE INDEX digit_guard_since ON digit_guard (since_ms);

-- What was asked and answered for a call, until its record is made.
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
    request_id TEXT NOT NULL,
    PRIMARY KEY (customer_id, call_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX call_trace_asked ON call_trace (asked_ms);

-- How many bindings use a group, those that ran out and are not ended yet included.
ALTER TABLE number_group ADD COLUMN bound_count INTEGER NOT NULL DEFAULT 0 CHECK (bound_count >= 0);

ALTER TABLE customer_state ADD COLUMN bindings_revision INTEGER NOT NULL DEFAULT 0;
ALTER TABLE customer_state ADD COLUMN binding_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE customer_state ADD COLUMN binding_next_seq INTEGER NOT NULL DEFAULT 0;
-- The customer's own quota; NULL: that of the server's settings.
ALTER TABLE customer_state ADD COLUMN binding_quota INTEGER;
-- Since when no call is connected, because a restored backup may revive ended bindings.
ALTER TABLE customer_state ADD COLUMN bindings_held_ms INTEGER;

-- Without these figures the planner takes each index for short, and reads all live bindings of a
-- customer. They are rounded ones of large customers; nothing replaces them with counted ones, so
-- that plans do not depend on what the tables hold.
ANALYZE sqlite_schema;
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('binding', 'binding', '1000000 100000 1'),
    ('binding', 'binding_id', '1000000 100000 1'),
    ('binding', 'binding_customer_bind_id', '1000000 100000 1'),
    ('binding', 'binding_did', '1000000 100000 100 1'),
    ('binding', 'binding_group', '100000 10000 10 1'),
    ('binding', 'binding_digits', '100000 10000 100 10'),
    ('binding', 'binding_extension_a', '100000 10000 2'),
    ('binding', 'binding_extension_b', '100000 10000 2'),
    ('binding', 'binding_live_until', '1000000 100000 10'),
    ('seat', 'seat', '2000000 200000 2 1'),
    ('seat', 'seat_ended', '1000000 2'),
    ('ended_binding', 'ended_binding', '1000000 100000 1'),
    ('ended_binding', 'ended_binding_id', '1000000 100000 1'),
    ('ended_binding', 'ended_binding_ended', '1000000 2'),
    ('ended_binding', 'ended_binding_group', '100000 10000 10 1'),
    ('group_member', 'group_member', '10000000 1000000 100 1'),
    ('group_member', 'group_member_phone', '10000000 1000000 10 1'),
    ('number_load', 'number_load', '10000 1000 1'),
    ('number_load', 'number_load_choice', '10000 1000 500 400 10 1');
ANALYZE sqlite_schema;
