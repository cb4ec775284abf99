-- What finds groups by name, by number, and after one that is gone.

-- The name as it is compared: folded, so that upper and lower case are the same in any script.
-- PostgreSQL's own folding depends on its version and locale, so openpns fills in what is there.
ALTER TABLE number_group ADD COLUMN name_key text COLLATE "C" NOT NULL DEFAULT '';

CREATE INDEX number_group_name ON number_group (customer_id, name_key, group_seq);

CREATE INDEX group_member_phone ON group_member (customer_id, phone, group_seq);

-- Where a deleted group stood, for those who page and saw it last.
CREATE TABLE group_gone (
    customer_id text NOT NULL,
    group_id text NOT NULL,
    group_seq bigint NOT NULL,
    name_key text COLLATE "C" NOT NULL,
    gone_ms bigint NOT NULL,
    PRIMARY KEY (customer_id, group_id)
);

CREATE INDEX group_gone_when ON group_gone (gone_ms);

-- Keys that may only read: from when on they do.
ALTER TABLE access_key ADD COLUMN read_only_ms bigint;
