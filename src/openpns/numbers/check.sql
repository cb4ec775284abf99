-- audio_check
-- Every audio, and whether its customer has the virtual number.
-- cross-customer: the check reads the whole database
SELECT
    a.customer_id, a.did,
    CASE WHEN a.did = ''
        THEN EXISTS (SELECT 1 FROM customer AS c WHERE c.customer_id = a.customer_id)
        ELSE EXISTS (
            SELECT 1 FROM virtual_number AS n
            WHERE n.did = a.did AND n.customer_id = a.customer_id AND n.state <> 'resting'
        ) END,
    a.call_fail, a.dtmf_err, a.dtmf_need
FROM call_audio AS a
