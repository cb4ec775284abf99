"""The index of actions: what a request may name, and what then runs.

A new action is one row here; its struct, its rule and its SQL are files of their own.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from openpns.core.context import Caller, Services
from openpns.groups import answers, detail, listing, service, update, wire
from openpns.groups.answers import Fragment
from openpns.protocol.fields import BodyReader, RequestBody


class Action:
    """How one action is read, run and answered.

    Args:
        request: The struct of its body.
        run: The rule in the domain.
        encode: Writes what the rule returned as a member of the envelope.
        answer: The struct of what is returned, for the docs; None for nothing.
        answer_in_data: Whether the answer stands in `data` or at the envelope's top level.
        is_write: Whether it changes anything, so that a key that may only read is refused.
        is_cached: Whether an answer may be sent again while the customer's version is the one that
            `run` returned with it.
    """

    def __init__(
        self,
        request: type[RequestBody],
        run: Callable[[Services, Caller, Any], Awaitable[Any]],
        encode: Callable[[Any], Fragment],
        *,
        answer: type | None = None,
        answer_in_data: bool = True,
        is_write: bool = False,
        is_cached: bool = False,
    ) -> None:
        self.request = request
        self.read = BodyReader(request).read
        self.run = run
        self.encode = encode
        self.answer = answer
        self.answer_in_data = answer_in_data
        self.is_write = is_write
        self.is_cached = is_cached


def _encode_versioned(found: detail.Versioned[Any]) -> Fragment:
    return answers.encode_data(found.data)


ACTIONS: Final[dict[str, Action]] = {
    "listGroup": Action(
        wire.ListGroup,
        listing.list,
        answers.encode_listed,
        answer=answers.GroupPage,
        is_cached=True,
    ),
    "createGroup": Action(
        wire.CreateGroup,
        service.create,
        answers.encode_created,
        answer=answers.GroupCreated,
        answer_in_data=False,
        is_write=True,
    ),
    "updateGroup": Action(
        wire.UpdateGroup,
        update.update,
        answers.encode_change,
        answer=answers.GroupChange,
        is_write=True,
    ),
    "deleteGroup": Action(wire.DeleteGroup, service.delete, answers.encode_nothing, is_write=True),
    "getGroup": Action(
        wire.GetGroup, detail.get, _encode_versioned, answer=answers.ShownGroup, is_cached=True
    ),
    "listGroupPhones": Action(
        wire.ListGroupPhones,
        detail.list_phones,
        _encode_versioned,
        answer=answers.PhonePage,
        is_cached=True,
    ),
    "getLimits": Action(
        wire.GetLimits, detail.get_limits, answers.encode_data, answer=answers.LimitList
    ),
}
"""Every action by its name on the wire."""
