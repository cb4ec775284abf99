-- Audios of calls; bounds on the traces and wrong digits of a customer; who is held.

-- WAV files that a switch plays: of one virtual number, or of a customer (an empty did). NULL: those
-- of the customer, or the engine's own tone; an empty text: the engine's own tone.
CREATE TABLE call_audio (
    customer_id TEXT NOT NULL,
    did TEXT NOT NULL,
    call_fail TEXT,
    dtmf_err TEXT,
    dtmf_need TEXT,
    PRIMARY KEY (customer_id, did)
) STRICT, WITHOUT ROWID;

-- How many traces (trace) and wrong digits (digits) a customer has had. Rows have their numbers; those
-- too far behind are deleted. Rows of servers from before this migration have none.
CREATE TABLE routing_sequence (
    customer_id TEXT NOT NULL,
    name TEXT NOT NULL,
    next_seq INTEGER NOT NULL,
    PRIMARY KEY (customer_id, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE call_trace ADD COLUMN trace_seq INTEGER;
ALTER TABLE digit_guard ADD COLUMN guard_seq INTEGER;

CREATE INDEX call_trace_seq ON call_trace (customer_id, trace_seq) WHERE trace_seq IS NOT NULL;
CREATE INDEX digit_guard_seq ON digit_guard (customer_id, guard_seq) WHERE guard_seq IS NOT NULL;
CREATE INDEX customer_state_held ON customer_state (customer_id) WHERE bindings_held_ms IS NOT NULL;
