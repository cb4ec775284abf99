-- Count the phones, now that every server counts.

-- Lock the rows: the sum must not be older than the revision.
UPDATE customer_state SET phone_count_revision = -1 WHERE phone_count_revision <> groups_revision;

UPDATE customer_state SET
    phone_count = coalesce((
        SELECT sum(g.phone_count) FROM number_group AS g
        WHERE g.customer_id = customer_state.customer_id
    ), 0),
    phone_count_revision = groups_revision
WHERE phone_count_revision = -1;
