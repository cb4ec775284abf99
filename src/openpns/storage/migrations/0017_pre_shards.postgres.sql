-- Let Citus distribute every table that belongs to a customer, and let the audit trail's triggers
-- run on its shards.

-- A unique key of a distributed table contains the customer.
ALTER TABLE audit_unsealed
    DROP CONSTRAINT audit_unsealed_pkey,
    DROP CONSTRAINT audit_unsealed_customer_id_at_ms_entry_id_key,
    ADD PRIMARY KEY (customer_id, at_ms, entry_id);
CREATE INDEX audit_unsealed_place ON audit_unsealed (place);

-- A trigger of a shard finds the rows of its customer in the shards beside it, and what is the same on
-- all nodes in the only shard of a reference table. The place there is a time in 1/4096 us: it
-- keeps the order also if the customer is moved to another node.
CREATE OR REPLACE FUNCTION audit_entry_queue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'audit_entry' THEN
        INSERT INTO audit_unsealed (customer_id, at_ms, entry_id, added_ms) VALUES (
            NEW.customer_id, NEW.at_ms, NEW.entry_id,
            CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)
        );
    ELSE
        EXECUTE format(
            'INSERT INTO %I.audit_unsealed_%s (customer_id, at_ms, entry_id, added_ms, place) '
            'SELECT $1, $2, $3, us / 1000, us * 4096 + CAST(floor(random() * 4096) AS bigint) '
            'FROM CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint) AS us',
            TG_TABLE_SCHEMA, get_shard_id_for_distribution_column(
                CAST(format('%I.audit_unsealed', TG_TABLE_SCHEMA) AS regclass), NEW.customer_id
            )
        ) USING NEW.customer_id, NEW.at_ms, NEW.entry_id;
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE FUNCTION audit_entry_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_kept boolean;
BEGIN
    IF TG_TABLE_NAME = 'audit_entry' THEN
        is_kept := OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms) OR EXISTS (
            SELECT FROM audit_seal
            WHERE customer_id = OLD.customer_id AND at_ms = OLD.at_ms AND entry_id = OLD.entry_id
        ) OR EXISTS (
            SELECT FROM audit_unsealed
            WHERE customer_id = OLD.customer_id AND at_ms = OLD.at_ms AND entry_id = OLD.entry_id
        );
    ELSE
        EXECUTE format(
            'SELECT $2 >= coalesce((SELECT before_ms FROM %1$I.audit_pruning_%2$s), $2) OR EXISTS ('
            '    SELECT FROM %1$I.audit_seal_%3$s '
            '    WHERE customer_id = $1 AND at_ms = $2 AND entry_id = $3'
            ') OR EXISTS ('
            '    SELECT FROM %1$I.audit_unsealed_%4$s '
            '    WHERE customer_id = $1 AND at_ms = $2 AND entry_id = $3'
            ')',
            TG_TABLE_SCHEMA,
            get_shard_id_for_distribution_column(
                CAST(format('%I.audit_pruning', TG_TABLE_SCHEMA) AS regclass)
            ),
            get_shard_id_for_distribution_column(
                CAST(format('%I.audit_seal', TG_TABLE_SCHEMA) AS regclass), OLD.customer_id
            ),
            get_shard_id_for_distribution_column(
                CAST(format('%I.audit_unsealed', TG_TABLE_SCHEMA) AS regclass), OLD.customer_id
            )
        ) INTO is_kept USING OLD.customer_id, OLD.at_ms, OLD.entry_id;
    END IF;
    IF is_kept THEN
        RAISE EXCEPTION 'audit_entry is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;

CREATE OR REPLACE FUNCTION audit_seal_refuse_delete() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    is_kept boolean;
BEGIN
    IF TG_TABLE_NAME = 'audit_seal' THEN
        is_kept := OLD.at_ms >= coalesce((SELECT before_ms FROM audit_pruning), OLD.at_ms);
    ELSE
        EXECUTE format(
            'SELECT $1 >= coalesce((SELECT before_ms FROM %I.audit_pruning_%s), $1)',
            TG_TABLE_SCHEMA, get_shard_id_for_distribution_column(
                CAST(format('%I.audit_pruning', TG_TABLE_SCHEMA) AS regclass)
            )
        ) INTO is_kept USING OLD.at_ms;
    END IF;
    IF is_kept THEN
        RAISE EXCEPTION 'audit_seal is append-only' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
