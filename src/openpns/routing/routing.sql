-- call_find
-- What decides a call without digits, in one snapshot. First the customer's virtual number: its audios
-- for a failed call, wrong digits and missing digits, whether it connects calls, and whether live
-- bindings hold digits there. If it connects calls, then the live bindings whose seat a caller holds,
-- or of whose group a caller is a member, and whether A and B are virtual numbers of the customer.
-- :caller is the phone as it was given; :national is what may follow the country code, or is empty. At
-- most one live binding on a virtual number names a phone: each is found as a single value, because a
-- join that PostgreSQL plans while the tables are empty may read all bindings of the customer.
-- rows: json
-- batch: customer_id
-- fragments: openpns.routing.members:PARTS
WITH number AS MATERIALIZED (
    SELECT
        n.state IN ('active', 'draining') AND c.bindings_held_ms IS NULL AS takes_calls,
        CASE WHEN CAST(:national AS text) <> '' THEN l.country || CAST(:national AS text) END AS abroad,
        l.extension_count > 0 AND EXISTS (
            SELECT 1 FROM binding AS e
            WHERE e.customer_id = :customer_id AND e.did = :did AND e.kind = 'extension'
                AND e.live_until_ms > :now_ms
        ) AS has_digits,
        coalesce(x.call_fail, y.call_fail, '') AS call_fail,
        coalesce(x.dtmf_err, y.dtmf_err, '') AS dtmf_err,
        coalesce(x.dtmf_need, y.dtmf_need, '') AS dtmf_need
    FROM virtual_number AS n
    JOIN number_load AS l ON l.customer_id = :customer_id AND l.did = n.did
    JOIN customer_state AS c ON c.customer_id = :customer_id
    LEFT JOIN call_audio AS x ON x.customer_id = :customer_id AND x.did = n.did
    LEFT JOIN call_audio AS y ON y.customer_id = :customer_id AND y.did = ''
    WHERE n.did = :did AND n.customer_id = :customer_id AND n.state <> 'resting'
), named AS MATERIALIZED (
    SELECT
        number.abroad,
        (
            SELECT s.binding_seq FROM seat AS s
            WHERE s.customer_id = :customer_id AND s.phone = CAST(:caller AS text) AND s.did = :did
                AND s.live_until_ms > :now_ms
        ) AS seat_given,
        (
            SELECT s.binding_seq FROM seat AS s
            WHERE s.customer_id = :customer_id AND s.phone = number.abroad AND s.did = :did
                AND s.live_until_ms > :now_ms
        ) AS seat_abroad,
        {member_given} AS member_given,
        {member_abroad} AS member_abroad
    FROM number WHERE number.takes_calls
), matched AS MATERIALIZED (
    SELECT
        'seat' AS found, CAST(:caller AS text) AS phone, b.bind_id, b.kind, b.phone_a, b.phone_b,
        b.flag,
        CASE WHEN b.group_seq IS NULL OR EXISTS (
            SELECT 1 FROM group_member AS m
            WHERE m.customer_id = :customer_id AND m.group_seq = b.group_seq AND m.phone = b.phone_b
        ) THEN 1 ELSE 0 END AS is_member
    FROM binding AS b
    WHERE b.customer_id = :customer_id AND b.binding_seq = (SELECT seat_given FROM named)
        AND b.live_until_ms > :now_ms
    UNION ALL
    SELECT
        'seat', (SELECT abroad FROM named), b.bind_id, b.kind, b.phone_a, b.phone_b, b.flag,
        CASE WHEN b.group_seq IS NULL OR EXISTS (
            SELECT 1 FROM group_member AS m
            WHERE m.customer_id = :customer_id AND m.group_seq = b.group_seq AND m.phone = b.phone_b
        ) THEN 1 ELSE 0 END
    FROM binding AS b
    WHERE b.customer_id = :customer_id AND b.binding_seq = (SELECT seat_abroad FROM named)
        AND b.live_until_ms > :now_ms
    UNION ALL
    SELECT 'member', CAST(:caller AS text), b.bind_id, b.kind, b.phone_a, b.phone_b, b.flag, 1
    FROM binding AS b
    WHERE b.customer_id = :customer_id AND b.binding_seq = (SELECT member_given FROM named)
    UNION ALL
    SELECT 'member', (SELECT abroad FROM named), b.bind_id, b.kind, b.phone_a, b.phone_b, b.flag, 1
    FROM binding AS b
    WHERE b.customer_id = :customer_id AND b.binding_seq = (SELECT member_abroad FROM named)
)
SELECT
    'number' AS found, number.call_fail AS phone, number.dtmf_err AS bind_id,
    number.dtmf_need AS kind, '' AS phone_a, '' AS phone_b,
    CASE WHEN number.takes_calls THEN 1 ELSE 0 END AS flag,
    CASE WHEN number.takes_calls AND number.has_digits THEN 1 ELSE 0 END AS is_member, 0 AS is_own_a, 0 AS is_own_b
FROM number
UNION ALL
SELECT
    m.found, m.phone, m.bind_id, m.kind, m.phone_a, m.phone_b, m.flag, m.is_member,
    (SELECT count(*) FROM number_load AS l WHERE l.customer_id = :customer_id AND l.did = m.phone_a),
    (SELECT count(*) FROM number_load AS l WHERE l.customer_id = :customer_id AND l.did = m.phone_b)
FROM matched AS m

-- call_find_digits
-- What decides a call with digits on the customer's virtual number: whether it connects calls; if so,
-- the binding that holds the digits (NULL if none does); until when digits are paused for the caller
-- (NULL if no wrong ones of this caller are counted); the audio for a failed call; and whether A and B
-- are virtual numbers of the customer.
SELECT
    CASE WHEN n.state IN ('active', 'draining') AND c.bindings_held_ms IS NULL THEN 1 ELSE 0 END,
    b.bind_id, b.phone_a, b.phone_b, b.flag, l.country, g.paused_until_ms,
    coalesce(x.call_fail, y.call_fail, ''),
    EXISTS (SELECT 1 FROM number_load AS o WHERE o.customer_id = :customer_id AND o.did = b.phone_a),
    EXISTS (SELECT 1 FROM number_load AS o WHERE o.customer_id = :customer_id AND o.did = b.phone_b)
FROM virtual_number AS n
JOIN number_load AS l ON l.customer_id = :customer_id AND l.did = n.did
JOIN customer_state AS c ON c.customer_id = :customer_id
LEFT JOIN call_audio AS x ON x.customer_id = :customer_id AND x.did = n.did
LEFT JOIN call_audio AS y ON y.customer_id = :customer_id AND y.did = ''
LEFT JOIN seat AS s ON s.customer_id = :customer_id AND s.phone = :seat AND s.did = n.did
    AND s.live_until_ms > :now_ms AND n.state IN ('active', 'draining')
    AND c.bindings_held_ms IS NULL
LEFT JOIN binding AS b ON b.customer_id = :customer_id AND b.binding_seq = s.binding_seq
    AND b.live_until_ms > :now_ms
LEFT JOIN digit_guard AS g ON g.customer_id = :customer_id AND g.did = n.did
    AND g.caller = :guarded
WHERE n.did = :did AND n.customer_id = :customer_id AND n.state <> 'resting'

-- digit_guard_find
-- Until when digits are paused for a caller on a virtual number.
SELECT paused_until_ms FROM digit_guard
WHERE customer_id = :customer_id AND did = :did AND caller = :guarded

-- call_explain_number
-- A virtual number of the customer in any state, and since when its calls are held.
SELECT n.state, l.country, c.bindings_held_ms
FROM virtual_number AS n
JOIN number_load AS l ON l.customer_id = :customer_id AND l.did = n.did
JOIN customer_state AS c ON c.customer_id = :customer_id
WHERE n.did = :did AND n.customer_id = :customer_id

-- call_explain_ended
-- The last binding that named a phone, or digits, on a virtual number, if it ended in the last days
-- or has run out.
SELECT e.bind_id, e.ended_ms, e.ended_by FROM seat AS s
JOIN ended_binding AS e ON e.customer_id = s.customer_id AND e.binding_seq = s.binding_seq
WHERE s.customer_id = :customer_id AND s.phone IN (:caller, :caller_abroad) AND s.did = :did
UNION ALL
SELECT b.bind_id, b.live_until_ms, 'expiry' FROM seat AS s
JOIN binding AS b ON b.customer_id = s.customer_id AND b.binding_seq = s.binding_seq
WHERE s.customer_id = :customer_id AND s.phone IN (:caller, :caller_abroad) AND s.did = :did
    AND b.live_until_ms <= :now_ms
UNION ALL
SELECT e.bind_id, e.ended_ms, e.ended_by FROM group_member AS m
JOIN ended_binding AS e ON e.customer_id = m.customer_id AND e.group_seq = m.group_seq
    AND e.did = :did
WHERE m.customer_id = :customer_id AND m.phone IN (:caller, :caller_abroad)
ORDER BY 2 DESC LIMIT 1

-- call_explain_elsewhere
-- Virtual numbers on which a live binding names a phone.
SELECT s.did FROM seat AS s
WHERE s.customer_id = :customer_id AND s.phone IN (:caller, :caller_abroad)
    AND s.live_until_ms > :now_ms
ORDER BY s.did LIMIT 3

-- call_trace_add
-- Store what was asked and answered for a call.
INSERT INTO call_trace (
    customer_id, call_id, asked_ms, bind_id, caller, callee, did, extension, flag, request_id,
    trace_seq
) VALUES (
    :customer_id, :call_id, :asked_ms, :bind_id, :caller, :callee, :did, :extension, :flag,
    :request_id, :trace_seq
)
ON CONFLICT DO NOTHING

-- binding_note_call
-- Store when a binding was last asked for.
UPDATE binding SET last_call_ms = :asked_ms
WHERE customer_id = :customer_id AND bind_id = :bind_id AND last_call_ms < :asked_ms

-- call_trace_clean
-- Delete some traces from before a time; returns a row for each.
-- cross-customer: deletes the traces of all customers
DELETE FROM call_trace WHERE (customer_id, call_id) IN (
    SELECT customer_id, call_id FROM (
        SELECT customer_id, call_id FROM call_trace
        WHERE asked_ms <= CAST(:asked_ms AS bigint) ORDER BY asked_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING call_id

-- digit_guard_count
-- Count wrong digits of a caller; from :wrong_max on they are paused, unless :paused_until_ms is 0.
-- What is counted during a pause does not extend it. Returns the count.
INSERT INTO digit_guard AS g (
    customer_id, did, caller, count, since_ms, paused_until_ms, guard_seq
) VALUES (
    :customer_id, :did, :caller, 1, CAST(:now_ms AS bigint),
    CASE WHEN CAST(:wrong_max AS bigint) <= 1 THEN CAST(:paused_until_ms AS bigint) ELSE 0 END,
    CAST(:guard_seq AS bigint)
)
ON CONFLICT (customer_id, did, caller) DO UPDATE SET
    count = CASE WHEN g.since_ms > CAST(:since_ms AS bigint) THEN g.count + 1 ELSE 1 END,
    since_ms = CASE
        WHEN g.since_ms > CAST(:since_ms AS bigint) THEN g.since_ms ELSE CAST(:now_ms AS bigint) END,
    paused_until_ms = CASE
        WHEN g.paused_until_ms > CAST(:now_ms AS bigint) THEN g.paused_until_ms
        WHEN g.since_ms > CAST(:since_ms AS bigint) AND g.count + 1 >= CAST(:wrong_max AS bigint)
            THEN CAST(:paused_until_ms AS bigint)
        ELSE g.paused_until_ms END,
    guard_seq = excluded.guard_seq
RETURNING count

-- digit_guard_clean
-- Delete some counts whose window and pause are over; returns a row for each.
-- cross-customer: deletes the counts of all customers
DELETE FROM digit_guard WHERE (customer_id, did, caller) IN (
    SELECT customer_id, did, caller FROM (
        SELECT customer_id, did, caller FROM digit_guard
        WHERE since_ms <= CAST(:since_ms AS bigint) AND paused_until_ms <= CAST(:now_ms AS bigint)
        ORDER BY since_ms LIMIT CAST(:at_most AS bigint)
    ) AS first LIMIT 1000
)
RETURNING caller
