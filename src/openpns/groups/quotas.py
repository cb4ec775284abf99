"""What a customer may store: groups, phones and bytes.

A customer has quotas of its own, or those of the server's settings. `groups_revision_change` checks
them in the commit, so that writes at once cannot exceed them together; `groups_quota_find` checks
them for a dry run.
"""

from typing import Final

from openpns import limits
from openpns.core.context import Services

NO_QUOTA: Final = limits.QUOTA_MAX
"""A quota that nothing reaches."""

PHONE_BYTES: Final = 16
"""What a phone counts: 15 digits and a comma."""


WITHIN: Final = {
    "": {
        "within": """(
        CAST(:has_quotas AS bigint) = 0 OR (
            (
                CAST(:groups AS bigint) <= 0
                OR group_count + :groups <= coalesce(group_quota, CAST(:group_quota AS bigint))
            ) AND (
                CAST(:phones AS bigint) <= 0 OR phone_count_revision <> groups_revision
                OR phone_count + :phones <= coalesce(phone_quota, CAST(:phone_quota AS bigint))
            ) AND (
                CAST(:bytes AS bigint) <= 0 OR byte_count_revision <> groups_revision
                OR byte_count + :bytes <= coalesce(byte_quota, CAST(:byte_quota AS bigint))
            )
        )
    )"""
    }
}
"""The condition that no count of the row of `customer_state` grows past its quota."""


def text_bytes(*texts: str) -> int:
    """Return how many bytes texts count."""
    return sum(len(text.encode()) for text in texts)


def default_quotas(bounds: Services | None) -> tuple[int, int, int]:
    """Return the quotas of groups, phones and bytes of a customer without quotas of its own."""
    if bounds is None:
        return NO_QUOTA, NO_QUOTA, NO_QUOTA
    return (
        bounds.groups_per_customer_max or NO_QUOTA,
        bounds.phones_per_customer_max or NO_QUOTA,
        bounds.bytes_per_customer_max or NO_QUOTA,
    )


def shown_quotas(bounds: Services, *own: int | None) -> list[int | None]:
    """Return the quotas in force, as getLimits shows them: None for no quota."""
    in_force = (
        default if quota is None else quota
        for quota, default in zip(own, default_quotas(bounds), strict=True)
    )
    return [None if quota == NO_QUOTA else quota for quota in in_force]
