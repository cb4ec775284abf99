"""A part of SQL: the binding of the group that is bound on a virtual number and holds a caller.

A phone may be in very many groups, such as that of a shop, and very many groups may be bound on a
virtual number. The groups of the phone are looked up on the number; if there are many, and few on
the number, the phone is looked up in those.
"""

from typing import Final

_MEMBER: Final = """CASE WHEN (
            SELECT count(*) FROM (
                SELECT 1 FROM group_member AS k
                WHERE k.customer_id = :customer_id AND k.phone = {phone}
                LIMIT 65
            ) AS holding
        ) > 64 AND (
            SELECT count(*) FROM (
                SELECT 1 FROM binding AS k
                WHERE k.customer_id = :customer_id AND k.did = :did AND k.group_seq IS NOT NULL
                LIMIT 1001
            ) AS bound
        ) <= 1000 THEN (
            SELECT max(b.binding_seq) FROM binding AS b
            WHERE b.customer_id = :customer_id AND b.did = :did AND b.group_seq IS NOT NULL
                AND b.live_until_ms > :now_ms AND EXISTS (
                    SELECT 1 FROM group_member AS m
                    WHERE m.customer_id = :customer_id AND m.group_seq = b.group_seq
                        AND m.phone = {phone}
                    LIMIT 1 OFFSET 0
                )
        ) ELSE (
            SELECT max((
                SELECT b.binding_seq FROM binding AS b
                WHERE b.customer_id = :customer_id AND b.group_seq = m.group_seq AND b.did = :did
                    AND b.live_until_ms > :now_ms
                LIMIT 1
            ))
            FROM group_member AS m WHERE m.customer_id = :customer_id AND m.phone = {phone}
        ) END"""

PARTS: Final = {
    "": {
        "member_given": _MEMBER.format(phone="CAST(:caller AS text)"),
        "member_abroad": _MEMBER.format(phone="number.abroad"),
    }
}
