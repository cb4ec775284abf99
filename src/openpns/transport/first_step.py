"""The first step of a coroutine outside a task: what waits for nothing needs no task."""

import types
from collections.abc import Coroutine, Generator
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
            step, argument = coroutine.throw, error
        else:
            step, argument = coroutine.send, sent
        try:
            waits_for = step(argument)
        except StopIteration as stop:
            result: ResultT = stop.value
            return result
