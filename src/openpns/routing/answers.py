"""The data of an answer to a question: whom to call, and what to play.

Source: docs/decisions/0042-audios.md.
"""

import msgspec

from openpns.errors import BindingNotFound
from openpns.routing.wire import CallAnswer, DigitsAnswer


class Audios(msgspec.Struct, frozen=True):
    """The URLs of WAV files of a virtual number; empty for the engine's own tone."""

    call_fail: str = ""
    dtmf_err: str = ""
    dtmf_need: str = ""


def answer(callee: str, call_id: str, flag: int, bind_type: int, audios: Audios) -> CallAnswer:
    """Return the data of a question without digits; an empty callee is nobody."""
    return CallAnswer(
        callee, call_id, flag, audios.call_fail, bind_type, audios.dtmf_err, audios.dtmf_need
    )


def answer_digits(
    callee: str, call_id: str, extension: str, flag: int, audios: Audios
) -> DigitsAnswer:
    """Return the data of a question with digits; an empty callee is nobody."""
    return DigitsAnswer(callee, call_id, extension, flag, audios.call_fail)


def refusal(audios: Audios, data: CallAnswer | DigitsAnswer) -> BindingNotFound:
    """Return the error for a call that reaches nobody; with data if there is an audio for it."""
    error = BindingNotFound()
    error.data = data if audios.call_fail else None
    return error
