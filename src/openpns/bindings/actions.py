"""The rows of the registry for bindings."""

from typing import Final

from msgspec import UNSET

from openpns import limits
from openpns.bindings import changes, listing, service, wire
from openpns.core.actions import Action

_BINDINGS_EACH: Final = 100
_GROUP_UNITS: Final = 10
_SEARCH_UNITS: Final = 4


def _cost_of_list(request: wire.GetAXBList) -> int:
    filters = (request.phone, request.did, request.group_id, request.kind)
    is_search = any(value is not UNSET for value in filters)
    bindings = request.limit or limits.BINDINGS_IN_PAGE_MAX
    return max(-(-bindings // _BINDINGS_EACH), 1) + is_search * _SEARCH_UNITS


def _cost_of_group(_: wire.BindAXG) -> int:
    return _GROUP_UNITS


ACTIONS: Final[dict[str, Action]] = {
    "bindAXB": Action(wire.BindAXB, service.bind_axb, answer=wire.Bound, is_write=True),
    "bindAXBExtension": Action(
        wire.BindAXBExtension, service.bind_axb_extension, answer=wire.Bound, is_write=True
    ),
    "bindAXG": Action(
        wire.BindAXG, service.bind_axg, answer=wire.Bound, is_write=True, cost=_cost_of_group
    ),
    "unbindAXB": Action(wire.UnbindAXB, changes.unbind_axb, is_write=True),
    "updateBinding": Action(wire.UpdateBinding, changes.update_binding, is_write=True),
    "getAXBList": Action(
        wire.GetAXBList, listing.get_axb_list, answer=wire.BindingPage, cost=_cost_of_list
    ),
    "getBinding": Action(wire.GetBinding, listing.get_binding, answer=wire.BindingDetail),
}
