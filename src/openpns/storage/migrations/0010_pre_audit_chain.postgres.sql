-- A hash chain of each customer's audit entries. Entries are added as before and sealed soon after.

-- The place of each entry in the chain of its customer.
CREATE TABLE audit_seal (
    customer_id text NOT NULL,
    -- 1 for the first entry of the customer.
    seq bigint NOT NULL,
    at_ms bigint NOT NULL,
    entry_id bigint NOT NULL,
    -- When the entry was added, by the clock of the database; NULL if it is older than the chain.
    added_ms bigint,
    -- SHA-256 of the content of the entry and of the digest before.
    digest bytea NOT NULL,
    PRIMARY KEY (customer_id, seq),
    UNIQUE (customer_id, at_ms, entry_id)
);

-- Entries that are not sealed yet, in the order in which they were added.
CREATE TABLE audit_unsealed (
    place bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL,
    at_ms bigint NOT NULL,
    entry_id bigint NOT NULL,
    added_ms bigint NOT NULL,
    UNIQUE (customer_id, at_ms, entry_id)
);

-- The last one that was sealed of the entries from before this migration; no row once all are.
CREATE TABLE audit_backlog (
    only_row bigint NOT NULL PRIMARY KEY CHECK (only_row = 1),
    customer_id text NOT NULL,
    at_ms bigint NOT NULL,
    entry_id bigint NOT NULL
);

CREATE FUNCTION audit_entry_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unsealed (customer_id, at_ms, entry_id, added_ms) VALUES (
        NEW.customer_id, NEW.at_ms, NEW.entry_id,
        CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)
    );
    RETURN NULL;
END
$$;

-- An entry goes after its seal: a version that does not know seals cannot delete entries.
CREATE OR REPLACE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms) OR EXISTS (
        SELECT FROM audit_seal
        WHERE customer_id = OLD.customer_id AND at_ms = OLD.at_ms AND entry_id = OLD.entry_id
    ) OR EXISTS (
        SELECT FROM audit_unsealed
        WHERE customer_id = OLD.customer_id AND at_ms = OLD.at_ms AND entry_id = OLD.entry_id
    ) THEN
        RAISE EXCEPTION 'audit_entry is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE FUNCTION audit_seal_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_seal is append-only' USING ERRCODE = 'restrict_violation';
END
$$;

CREATE FUNCTION audit_seal_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms) THEN
        RAISE EXCEPTION 'audit_seal is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal
FOR EACH STATEMENT EXECUTE FUNCTION audit_seal_refuse();

CREATE TRIGGER audit_seal_no_truncate BEFORE TRUNCATE ON audit_seal
FOR EACH STATEMENT EXECUTE FUNCTION audit_seal_refuse();

CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal
FOR EACH ROW EXECUTE FUNCTION audit_seal_refuse_delete();

-- Wait for writes: whatever entry was added without the trigger below can be seen from here on.
LOCK TABLE audit_entry IN SHARE ROW EXCLUSIVE MODE;

-- Customers from before the audit trail may have no entry; from here on each has one.
INSERT INTO audit_entry (customer_id, at_ms, entry_id, action, operator, details)
SELECT
    c.customer_id, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint), 0, 'audit.begin',
    'openpns', '{}'
FROM customer AS c
WHERE NOT EXISTS (SELECT FROM audit_entry AS a WHERE a.customer_id = c.customer_id);

-- In the database, so that entries of servers of an older version are sealed, too.
CREATE TRIGGER audit_entry_queue AFTER INSERT ON audit_entry
FOR EACH ROW EXECUTE FUNCTION audit_entry_queue();

INSERT INTO audit_backlog SELECT 1, '', -1, -1 WHERE EXISTS (SELECT FROM audit_entry);
