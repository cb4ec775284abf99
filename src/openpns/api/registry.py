"""The registry: every action and every check of the features, each feature named once.

Source: CONTRIBUTING.md, "How to add an action".
"""

from collections.abc import Awaitable, Callable
from typing import Final

from openpns.accounts import actions as accounts
from openpns.accounts.check import check_accounts
from openpns.core import idempotency
from openpns.core.actions import Action
from openpns.core.audit_check import check_audit, check_audit_times
from openpns.core.context import Services
from openpns.core.verify import Check
from openpns.groups import actions as groups
from openpns.groups.check import check_groups
from openpns.groups.detail import group_limits
from openpns.groups.find import delete_expired_tombstones

ACTIONS: Final[dict[str, Action]] = {
    **groups.ACTIONS,
    **accounts.actions(of_features=[group_limits]),
}
"""Every action by its name on the wire."""

CLEAN_UPS: Final[tuple[Callable[[Services], Awaitable[None]], ...]] = (
    idempotency.clean,
    delete_expired_tombstones,
)
"""What each worker runs periodically: each deletes expired rows."""

CHECKS: Final[tuple[Check, ...]] = (check_accounts, check_groups, check_audit)
"""What `openpns verify`, `backup` and `restore` check."""

JUDGED_CHECKS: Final[tuple[Check, ...]] = (check_audit_times,)
"""What only `openpns verify` checks: what it finds is no reason to refuse a backup."""
