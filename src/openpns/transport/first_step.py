"""The first step of a coroutine outside a task: what waits for nothing needs no task."""

import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, TypeVar

ResultT = TypeVar("ResultT")


async def returned(result: ResultT) -> ResultT:
    """Return a result that the first step has returned already."""
    return result


@types.coroutine
def resumed(
    coroutine: Coroutine[Any, Any, ResultT], waits_for: Any
) -> Generator[Any, Any, ResultT]:
    """Continue a coroutine whose first step was taken outside a task, inside one."""
    while True:
        step: Any
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - raised where the coroutine waits
            step = partial(coroutine.throw, error)
        else:
            step = partial(coroutine.send, sent)
        # The traceback of the error refers to this frame, which must not refer to the error.
        waits_for = None
        try:
            waits_for = step()
        except StopIteration as stop:
            result: ResultT = stop.value
            return result
        finally:
            del step
