"""Parts of SQL that look for phones which a binding on the same virtual numbers names already.

No cost may be a product of counts, because SQLite's writer waits for it: a group has many phones, a
phone many seats and groups, and a group is bound on many virtual numbers. So each phone is looked
up for each virtual number or group of a list, or what holds the phone is looked up in the list,
whichever are fewer.

`(x IN (SELECT …)) IS TRUE` looks x up in the list: neither engine makes a join or a search by index
of it. `LIMIT 1 OFFSET 0` keeps PostgreSQL from reading whole tables for all phones at once.
"""

from typing import Final

_HAS_SEAT: Final = """EXISTS (
        SELECT 1 FROM seat AS s
        WHERE s.customer_id = :customer_id AND s.phone = p.value AND {did}
            AND s.live_until_ms > :now_ms AND NOT EXISTS (
                SELECT 1 FROM binding AS h
                WHERE h.customer_id = :customer_id AND h.binding_seq = s.binding_seq
                    AND h.group_seq = CAST(:group_seq AS bigint)
                LIMIT 1 OFFSET 0
            )
        LIMIT 1 OFFSET 0
    )"""
_IS_SHORT: Final = """(
        SELECT count(*) FROM (
            SELECT 1 FROM seat AS c WHERE c.customer_id = :customer_id AND c.phone = p.value
            LIMIT (SELECT count(*) + 1 FROM bound)
        ) AS held
    ) <= (SELECT count(*) FROM bound)"""
_IN_LIST: Final = _HAS_SEAT.format(did="(s.did IN (SELECT did FROM bound)) IS TRUE")
_FOR_EACH: Final = _HAS_SEAT.format(did="s.did = n.did")
_ITEM_HAS_SEAT: Final = f"""CASE WHEN {_IS_SHORT} THEN {_IN_LIST}
    ELSE EXISTS (SELECT 1 FROM bound AS n WHERE {_FOR_EACH} LIMIT 1 OFFSET 0) END"""  # noqa: S608

_IS_IN_RIVAL: Final = """EXISTS (SELECT 1 FROM rival LIMIT 1 OFFSET 0) AND CASE WHEN (
        SELECT count(*) FROM (
            SELECT 1 FROM group_member AS c WHERE c.customer_id = :customer_id AND c.phone = {phone}
            LIMIT (SELECT count(*) + 1 FROM rival)
        ) AS held
    ) > (SELECT count(*) FROM rival)
    THEN EXISTS (
        SELECT 1 FROM rival AS r WHERE EXISTS (
            SELECT 1 FROM group_member AS o
            WHERE o.customer_id = :customer_id AND o.group_seq = r.group_seq AND o.phone = {phone}
            LIMIT 1 OFFSET 0
        ) LIMIT 1 OFFSET 0
    ) ELSE EXISTS (
        SELECT 1 FROM group_member AS o
        WHERE o.customer_id = :customer_id AND o.phone = {phone}
            AND (o.group_seq IN (SELECT group_seq FROM rival)) IS TRUE
        LIMIT 1 OFFSET 0
    ) END"""

PARTS: Final = {
    "": {
        "rival": """rival AS MATERIALIZED (
    SELECT DISTINCT group_seq FROM near WHERE (SELECT count(*) FROM near) < 1000
)""",
        "many_rivals": "(SELECT count(*) FROM near) = 1000",
        "item_has_seat": _ITEM_HAS_SEAT,
        "item_is_in_rival": _IS_IN_RIVAL.format(phone="p.value"),
        "member_is_in_rival": _IS_IN_RIVAL.format(phone="m.phone"),
    }
}
"""`near` lists the other groups that are bound on the virtual numbers, 1000 at most: of more,
`rival` lists none, and there are `many_rivals`. `bound` lists the virtual numbers of a group."""
