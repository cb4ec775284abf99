-- A hash chain of each customer's audit entries. Entries are added as before and sealed soon after.

-- The place of each entry in the chain of its customer.
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

-- Entries that are not sealed yet, in the order in which they were added.
CREATE TABLE audit_unsealed (
    place INTEGER PRIMARY KEY,
    customer_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    entry_id INTEGER NOT NULL,
    added_ms INTEGER NOT NULL,
    UNIQUE (customer_id, at_ms, entry_id)
) STRICT;

-- The last one that was sealed of the entries from before this migration; no row once all are.
CREATE TABLE audit_backlog (
    only_row INTEGER NOT NULL PRIMARY KEY CHECK (only_row = 1),
    customer_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    entry_id INTEGER NOT NULL
) STRICT;

-- Customers from before the audit trail may have no entry; from here on each has one.
INSERT INTO audit_entry (customer_id, at_ms, entry_id, action, operator, details)
SELECT c.customer_id, CAST(unixepoch('subsec') * 1000 AS INTEGER), 0, 'audit.begin', 'openpns', '{}'
FROM customer AS c
WHERE NOT EXISTS (SELECT 1 FROM audit_entry AS a WHERE a.customer_id = c.customer_id);

INSERT INTO audit_backlog SELECT 1, '', -1, -1 WHERE EXISTS (SELECT 1 FROM audit_entry);

-- In the database, so that entries of servers of an older version are sealed, too.
CREATE TRIGGER audit_entry_queue AFTER INSERT ON audit_entry
BEGIN
    INSERT INTO audit_unsealed (customer_id, at_ms, entry_id, added_ms) VALUES (
        NEW.customer_id, NEW.at_ms, NEW.entry_id, CAST(unixepoch('subsec') * 1000 AS INTEGER)
    );
END;

-- An entry goes after its seal: a version that does not know seals cannot delete entries.
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

CREATE TRIGGER audit_seal_no_update BEFORE UPDATE ON audit_seal
BEGIN
    SELECT RAISE(ABORT, 'audit_seal is append-only');
END;

CREATE TRIGGER audit_seal_no_delete BEFORE DELETE ON audit_seal
WHEN OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms)
BEGIN
    SELECT RAISE(ABORT, 'audit_seal is append-only');
END;

-- INSERT OR REPLACE deletes the old row without the trigger above.
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
