-- Count the bytes, now that every server counts.

-- Lock the rows: the sum must not be older than the revision.
UPDATE customer_state SET byte_count_revision = -1 WHERE byte_count_revision <> groups_revision;

UPDATE customer_state SET
    byte_count = coalesce((
        SELECT sum(octet_length(g.group_name) + octet_length(g.remark) + 16 * g.phone_count)
        FROM number_group AS g
        WHERE g.customer_id = customer_state.customer_id
    ), 0),
    byte_count_revision = groups_revision
WHERE byte_count_revision = -1;
