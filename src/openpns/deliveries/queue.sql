-- delivery_due_customers
-- Customers after a given one, in order, that have pending deliveries to an active webhook: how they
-- are to be sent, and whether any is due. Each row costs a few look-ups, however many are pending:
-- not with EXISTS, for which PostgreSQL may read all pending rows.
-- cross-customer: a worker delivers for all customers
WITH RECURSIVE found (customer_id, place) AS (
    SELECT (
        SELECT d.customer_id FROM delivery AS d
        WHERE d.state = 'pending' AND d.customer_id > CAST(:after AS text)
        ORDER BY d.customer_id LIMIT 1
    ), CAST(1 AS bigint)
    UNION ALL
    SELECT (
        SELECT d.customer_id FROM delivery AS d
        WHERE d.state = 'pending' AND d.customer_id > found.customer_id
        ORDER BY d.customer_id LIMIT 1
    ), found.place + 1
    FROM found
    WHERE found.customer_id IS NOT NULL AND found.place < CAST(:at_most AS bigint)
)
SELECT
    found.customer_id, w.url, w.secret_ciphertext, w.previous_ciphertext,
    coalesce(w.previous_until_ms, 0), w.changed_ms, w.failing_ms,
    CASE WHEN w.state = 'active' AND (
        SELECT d.next_ms FROM delivery AS d
        WHERE d.customer_id = found.customer_id AND d.state = 'pending'
        ORDER BY d.next_ms LIMIT 1
    ) <= CAST(:now_ms AS bigint) THEN 1 ELSE 0 END
FROM found
LEFT JOIN webhook AS w ON w.customer_id = found.customer_id
WHERE found.customer_id IS NOT NULL
ORDER BY found.place

-- delivery_finish
-- Store the result of an attempt, if the delivery is still leased to who made it; only pending ones
-- are leased. That is not a condition, or PostgreSQL could take an index of all pending rows.
UPDATE delivery SET
    state = :state, tries = tries + 1, round_tries = round_tries + 1, next_ms = :next_ms,
    lease_owner = '', last_ms = :last_ms, last_status = :last_status, last_error = :last_error
WHERE customer_id = :customer_id AND delivery_id = :delivery_id AND lease_owner = :owner

-- delivery_release
-- Give a lease back before its end; the delivery is due at once.
UPDATE delivery SET next_ms = :now_ms, lease_owner = ''
WHERE customer_id = :customer_id AND delivery_id = :delivery_id AND lease_owner = :owner

-- webhook_failing
-- Store since when the attempts of a webhook fail; 0 if the last one succeeded.
UPDATE webhook SET failing_ms = CAST(:failing_ms AS bigint)
WHERE customer_id = :customer_id AND changed_ms = :changed_ms
    AND (failing_ms = 0) <> (CAST(:failing_ms AS bigint) = 0)

-- webhook_gone
-- Stop a webhook whose receiver has answered that it is gone, unless it was changed meanwhile;
-- returns the customer if it was active.
UPDATE webhook SET state = 'gone', changed_ms = CAST(:now_ms AS bigint)
WHERE customer_id = :customer_id AND state = 'active' AND changed_ms = :changed_ms
RETURNING customer_id

-- delivery_backlog
-- How many of the oldest pending deliveries are of active webhooks, and when the first of them was
-- added.
-- cross-customer: counts those of all customers
SELECT count(*), min(oldest.created_ms)
FROM (
    SELECT d.customer_id, d.created_ms FROM delivery AS d
    WHERE d.state = 'pending' ORDER BY d.created_ms LIMIT CAST(:at_most AS bigint)
) AS oldest
WHERE (SELECT w.state FROM webhook AS w WHERE w.customer_id = oldest.customer_id) = 'active'

-- delivery_clean
-- Delete some deliveries from before a time that are not pending; returns the customer of each. The
-- state is judged again: PostgreSQL waits for whoever changes a row, and does not look for other rows then.
-- cross-customer: deletes those of all customers
DELETE FROM delivery WHERE state <> 'pending' AND (customer_id, delivery_id) IN (
    SELECT customer_id, delivery_id FROM (
        SELECT customer_id, delivery_id FROM delivery
        WHERE created_ms <= CAST(:created_ms AS bigint) AND state <> 'pending'
        ORDER BY created_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING customer_id

-- delivery_give_up
-- Let some pending deliveries from before a time fail that no worker tries at the moment; returns a
-- row for each. They are judged again, as in delivery_clean; by the two other states, or PostgreSQL
-- could take an index of all pending rows.
-- cross-customer: of all customers
UPDATE delivery SET state = 'failed', lease_owner = '', last_error = 'not delivered in time'
WHERE state <> 'delivered' AND state <> 'failed'
    AND (lease_owner = '' OR next_ms <= CAST(:now_ms AS bigint)) AND (customer_id, delivery_id) IN (
    SELECT customer_id, delivery_id FROM (
        SELECT customer_id, delivery_id FROM delivery
        WHERE state = 'pending' AND created_ms <= CAST(:created_ms AS bigint)
            AND (lease_owner = '' OR next_ms <= CAST(:now_ms AS bigint))
        ORDER BY created_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING delivery_id
