"""The index of actions: what a request may name, and what then runs.

A new action is one row here; its struct, its rule and its SQL are files of their own.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from openpns.domain import groups
from openpns.domain.calls import Caller, Services
from openpns.protocol import groups as wire
from openpns.protocol.fields import BodyReader, RequestBody
from openpns.protocol.groups import Fragment


class Action:
    """How one action is read, run and answered.

    Args:
        request: The struct of its body.
        run: The rule in the domain.
        encode: Writes what the rule returned as a member of the envelope.
        answer: The struct of what is returned, for the docs; None for nothing.
        answer_in_data: Whether the answer stands in `data` or at the envelope's top level.
        is_kept: Whether an answer may be sent again while the customer's version is the one that
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
        is_kept: bool = False,
    ) -> None:
        self.request = request
        self.read = BodyReader(request).read
        self.run = run
        self.encode = encode
        self.answer = answer
        self.answer_in_data = answer_in_data
        self.is_kept = is_kept


ACTIONS: Final[dict[str, Action]] = {
    "listGroup": Action(
        wire.ListGroup, groups.list, wire.encode_listed, answer=wire.GroupPage, is_kept=True
    ),
    "createGroup": Action(
        wire.CreateGroup,
        groups.create,
        wire.encode_created,
        answer=wire.GroupCreated,
        answer_in_data=False,
    ),
    "updateGroup": Action(wire.UpdateGroup, groups.update, wire.encode_nothing),
    "deleteGroup": Action(wire.DeleteGroup, groups.delete, wire.encode_nothing),
}
"""Every action by its name on the wire."""
