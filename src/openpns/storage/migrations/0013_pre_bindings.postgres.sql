-- Virtual numbers, bindings, and the seats that bindings hold.

-- Which customer a virtual number belongs to; a number that rests belongs to its last one.
CREATE TABLE virtual_number (
    did text COLLATE "C" NOT NULL PRIMARY KEY,
    customer_id text NOT NULL REFERENCES customer (customer_id),
    business_id text NOT NULL,
    country text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'draining', 'disabled', 'resting')),
    added_ms bigint NOT NULL,
    changed_ms bigint NOT NULL
);

CREATE INDEX virtual_number_customer ON virtual_number (customer_id, did);

-- How many bindings stand on a virtual number, those that ran out and are not ended yet included.
CREATE TABLE number_load (
    customer_id text NOT NULL,
    did text COLLATE "C" NOT NULL,
    business_id text NOT NULL,
    country text COLLATE "C" NOT NULL,
    is_open bigint NOT NULL,
    binding_count bigint NOT NULL,
    extension_count bigint NOT NULL,
    PRIMARY KEY (customer_id, did)
);

CREATE INDEX number_load_choice ON number_load (customer_id, country, is_open, binding_count, did);

-- live_until_ms: 2^62 for a binding that never runs out. body_digest: of the request that made it.
CREATE TABLE binding (
    customer_id text NOT NULL,
    binding_seq bigint NOT NULL,
    bind_id text COLLATE "C" NOT NULL,
    customer_bind_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('axb', 'extension', 'axg')),
    business_id text NOT NULL,
    did text COLLATE "C" NOT NULL,
    phone_a text COLLATE "C" NOT NULL,
    phone_b text COLLATE "C" NOT NULL,
    extension text COLLATE "C" NOT NULL,
    group_id text COLLATE "C" NOT NULL,
    group_seq bigint,
    flag bigint NOT NULL,
    live_until_ms bigint NOT NULL,
    created_ms bigint NOT NULL,
    last_call_ms bigint NOT NULL,
    body_digest text NOT NULL,
    PRIMARY KEY (customer_id, binding_seq)
);

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
    customer_id text NOT NULL,
    phone text COLLATE "C" NOT NULL,
    did text COLLATE "C" NOT NULL,
    binding_seq bigint NOT NULL,
    live_until_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    PRIMARY KEY (customer_id, phone, did)
);

CREATE INDEX seat_ended ON seat (ended_ms) WHERE live_until_ms = 0;

-- Bindings of the last days, to explain why a call is not connected any more.
CREATE TABLE ended_binding (
    customer_id text NOT NULL,
    binding_seq bigint NOT NULL,
    bind_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    did text COLLATE "C" NOT NULL,
    phone_a text COLLATE "C" NOT NULL,
    phone_b text COLLATE "C" NOT NULL,
    extension text COLLATE "C" NOT NULL,
    group_seq bigint,
    created_ms bigint NOT NULL,
    ended_ms bigint NOT NULL,
    ended_by text NOT NULL,
    PRIMARY KEY (customer_id, binding_seq)
);

CREATE UNIQUE INDEX ended_binding_id ON ended_binding (customer_id, bind_id);
CREATE INDEX ended_binding_group ON ended_binding (customer_id, group_seq, did)
WHERE group_seq IS NOT NULL;
CREATE INDEX ended_binding_ended ON ended_binding (ended_ms);

-- Wrong digits: of one caller on a virtual number, and of all callers (an empty caller).
CREATE TABLE digit_guard (
    customer_id text NOT NULL,
    did text COLLATE "C" NOT NULL,
    caller text COLLATE "C" NOT NULL,
    count bigint NOT NULL,
    since_ms bigint NOT NULL,
    paused_until_ms bigint NOT NULL,
    PRIMARY KEY (customer_id, did, caller)
);

CREATE INDEX digit_guard_since ON digit_guard (since_ms);

-- What was asked and answered for a call, until its record is made.
CREATE TABLE call_trace (
    customer_id text NOT NULL,
    call_id text COLLATE "C" NOT NULL,
    asked_ms bigint NOT NULL,
    bind_id text COLLATE "C" NOT NULL,
    caller text COLLATE "C" NOT NULL,
    callee text COLLATE "C" NOT NULL,
    did text COLLATE "C" NOT NULL,
    extension text COLLATE "C" NOT NULL,
    flag bigint NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (customer_id, call_id)
);

CREATE INDEX call_trace_asked ON call_trace (asked_ms);

-- How many bindings use a group, those that ran out and are not ended yet included.
ALTER TABLE number_group ADD COLUMN bound_count bigint NOT NULL DEFAULT 0 CHECK (bound_count >= 0);

ALTER TABLE customer_state ADD COLUMN bindings_revision bigint NOT NULL DEFAULT 0;
ALTER TABLE customer_state ADD COLUMN binding_count bigint NOT NULL DEFAULT 0;
ALTER TABLE customer_state ADD COLUMN binding_next_seq bigint NOT NULL DEFAULT 0;
-- The customer's own quota; NULL: that of the server's settings.
ALTER TABLE customer_state ADD COLUMN binding_quota bigint;
-- Since when no call is connected, because a restored backup may revive ended bindings.
ALTER TABLE customer_state ADD COLUMN bindings_held_ms bigint;
