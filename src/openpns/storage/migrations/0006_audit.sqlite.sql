-- The audit trail: who changed what and when. Entries are added and never changed.

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
    group_id TEXT,
    -- The id of the request; NULL where a command wrote the entry.
    request_id TEXT,
    -- What changed, as JSON.
    details TEXT NOT NULL,
    PRIMARY KEY (customer_id, at_ms, entry_id)
) STRICT, WITHOUT ROWID;

-- The one way to take entries away again: those before this time may be deleted while the row is
-- there, and it is there only inside the transaction that deletes them.
CREATE TABLE audit_pruning (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    before_ms INTEGER NOT NULL
) STRICT;

CREATE TRIGGER audit_entry_no_update BEFORE UPDATE ON audit_entry
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;

CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry
WHEN OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms)
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;

-- INSERT OR REPLACE takes the old row away without asking the trigger above.
CREATE TRIGGER audit_entry_no_replace BEFORE INSERT ON audit_entry
WHEN EXISTS (
    SELECT 1 FROM audit_entry
    WHERE customer_id = NEW.customer_id AND at_ms = NEW.at_ms AND entry_id = NEW.entry_id
)
BEGIN
    SELECT RAISE(ABORT, 'audit_entry is append-only');
END;
