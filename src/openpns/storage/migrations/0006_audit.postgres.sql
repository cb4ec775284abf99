-- The audit trail: who changed what and when. Entries are added and never changed.

CREATE TABLE audit_entry (
    -- Empty where an entry is about no single customer.
    customer_id text NOT NULL,
    at_ms bigint NOT NULL,
    -- A random number, which tells entries of the same moment apart.
    entry_id bigint NOT NULL,
    action text NOT NULL,
    -- Who ran the command; NULL where the access key called.
    operator text,
    -- The key that called, or that the command was about.
    access_key text,
    group_id text,
    -- The id of the request; NULL where a command wrote the entry.
    request_id text,
    -- What changed, as JSON.
    details text NOT NULL,
    PRIMARY KEY (customer_id, at_ms, entry_id)
);

-- The one way to take entries away again: those before this time may be deleted while the row is
-- there, and it is there only inside the transaction that deletes them.
CREATE TABLE audit_pruning (
    only_row bigint NOT NULL PRIMARY KEY CHECK (only_row = 1),
    before_ms bigint NOT NULL
);

CREATE FUNCTION audit_entry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_entry is append-only' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms) THEN
        RAISE EXCEPTION 'audit_entry is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse();

CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse();

CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry
FOR EACH ROW EXECUTE FUNCTION audit_entry_refuse_delete();
