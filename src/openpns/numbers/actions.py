"""The rows of the registry for virtual numbers."""

from typing import Final

from openpns.core.actions import Action
from openpns.numbers import listing, wire

ACTIONS: Final[dict[str, Action]] = {
    "listNumbers": Action(wire.ListNumbers, listing.list_numbers, answer=wire.NumberPage),
}
