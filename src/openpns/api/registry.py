"""The registry: every action and every check of the features, each feature named once.

Source: CONTRIBUTING.md, "How to add an action".
"""

from collections.abc import Awaitable, Callable
from typing import Final

from openpns.accounts import actions as accounts
from openpns.accounts.check import check_accounts
from openpns.accounts.master_key import ReencryptSecrets
from openpns.bindings import actions as bindings
from openpns.bindings.check import check_bindings
from openpns.bindings.ending import delete_ended, end_expired
from openpns.bindings.group_guard import BoundGroupGuard
from openpns.bindings.listing import binding_limits
from openpns.call_records import actions as call_records
from openpns.call_records import retention as call_records_retention
from openpns.call_records.check import check_call_records
from openpns.call_records.counts import check_counts
from openpns.call_records.listing import call_record_limits
from openpns.core import idempotency
from openpns.core.actions import Action
from openpns.core.audit_check import check_audit, check_audit_times
from openpns.core.context import Services
from openpns.core.verify import Check
from openpns.deliveries import actions as deliveries
from openpns.deliveries import retention as deliveries_retention
from openpns.deliveries.check import check_deliveries
from openpns.deliveries.rows import reencrypt_secrets
from openpns.groups import actions as groups
from openpns.groups.check import check_groups
from openpns.groups.detail import group_limits
from openpns.groups.find import delete_expired_tombstones
from openpns.numbers import actions as numbers
from openpns.numbers.check import check_audios
from openpns.numbers.listing import number_limits
from openpns.routing import actions as routing
from openpns.routing import digits, traces

ACTIONS: Final[dict[str, Action]] = {
    **groups.actions(BoundGroupGuard()),
    **numbers.ACTIONS,
    **bindings.ACTIONS,
    **routing.ACTIONS,
    **call_records.actions(traces.store),
    **deliveries.ACTIONS,
    **accounts.actions(
        of_features=[group_limits, number_limits, binding_limits, call_record_limits]
    ),
}
"""Every action by its name on the wire."""

CLEAN_UPS: Final[tuple[Callable[[Services], Awaitable[None]], ...]] = (
    idempotency.clean,
    delete_expired_tombstones,
    end_expired,
    delete_ended,
    traces.delete_old,
    digits.delete_old,
    call_records_retention.delete_old,
    deliveries_retention.delete_old,
)
"""What each worker runs periodically: each deletes expired rows."""

CHECKS: Final[tuple[Check, ...]] = (
    *(check_accounts, check_groups, check_audios, check_bindings, check_call_records),
    *(check_deliveries, check_audit),
)
"""What `openpns verify`, `backup` and `restore` check."""

JUDGED_CHECKS: Final[tuple[Check, ...]] = (check_audit_times, check_counts)
"""What only `openpns verify` checks: what it finds is no reason to refuse a backup."""

SECRETS: Final[tuple[ReencryptSecrets, ...]] = (reencrypt_secrets,)
"""What a rotation of the master key encrypts again, besides the secrets of access keys."""
