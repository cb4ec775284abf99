"""The rows of the registry for routing."""

from typing import Final

from openpns.core.actions import Action
from openpns.routing import explain, service, wire

ACTIONS: Final[dict[str, Action]] = {
    "queryAXB": Action(wire.QueryAXB, service.query_axb, answer=wire.CallAnswer),
    "explainCall": Action(wire.ExplainCall, explain.explain_call, answer=wire.Explanation),
}
