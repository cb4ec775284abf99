-- What was answered to a write, so that the same write sent again is not carried out again.

CREATE TABLE write_record (
    customer_id TEXT NOT NULL,
    -- The signature of the request, or the client token that it brought.
    record_key TEXT NOT NULL,
    -- A digest of what the request asked for, where the key is a client token.
    fingerprint TEXT NOT NULL,
    code INTEGER NOT NULL,
    answer TEXT NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (customer_id, record_key)
) STRICT, WITHOUT ROWID;

CREATE INDEX write_record_expires ON write_record (expires_ms);
