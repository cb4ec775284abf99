-- What was answered to a write, so that the same write sent again is not carried out again.

CREATE TABLE write_record (
    customer_id text NOT NULL,
    -- The signature of the request, or the client token that it brought.
    record_key text COLLATE "C" NOT NULL,
    -- A digest of what the request asked for, where the key is a client token.
    fingerprint text NOT NULL,
    code bigint NOT NULL,
    answer text NOT NULL,
    expires_ms bigint NOT NULL,
    PRIMARY KEY (customer_id, record_key)
);

CREATE INDEX write_record_expires ON write_record (expires_ms);
