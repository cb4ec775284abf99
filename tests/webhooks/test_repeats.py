import asyncio
import multiprocessing
import threading
from typing import Any

import pytest

from openpns.errors import ConfigError
from openpns.webhooks import Repeats, SeenInMemory, WebhookInProgress


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def fail(repeats: Repeats, message_id: str, failure: type[BaseException]) -> None:
    with repeats.once(message_id):
        raise failure


def handle(repeats: Repeats, message_id: str) -> bool:
    with repeats.once(message_id) as is_new:
        return is_new


def test_second_delivery_is_a_repeat() -> None:
    repeats = Repeats()
    assert [handle(repeats, name) for name in ("msg_1", "msg_2", "msg_1")] == [True, True, False]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, asyncio.CancelledError])
def test_event_whose_handling_failed_is_new_again(failure: type[BaseException]) -> None:
    repeats = Repeats()
    with pytest.raises(failure):
        fail(repeats, "msg_1", failure)
    assert handle(repeats, "msg_1")
    assert not handle(repeats, "msg_1")


def test_repeat_that_fails_stays_a_repeat() -> None:
    repeats = Repeats()
    handle(repeats, "msg_1")
    with pytest.raises(RuntimeError):
        fail(repeats, "msg_1", RuntimeError)
    assert not handle(repeats, "msg_1")


def test_event_in_progress_is_refused_until_its_result_is_known() -> None:
    repeats = Repeats()
    with repeats.once("msg_1"):
        with pytest.raises(WebhookInProgress, match="try again later") as caught:
            handle(repeats, "msg_1")
        assert caught.value.http_status == 503
        assert handle(repeats, "msg_2")
    assert not handle(repeats, "msg_1")


def test_one_of_many_threads_handles_an_event() -> None:
    repeats, results = Repeats(), []
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        for number in range(200):
            try:
                results.append((number, handle(repeats, f"msg_{number}")))
            except WebhookInProgress:
                results.append((number, False))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(number for number, is_new in results if is_new) == list(range(200))
    assert len(results) == 1600


def test_ids_are_forgotten_after_their_time() -> None:
    clock = Clock()
    repeats = Repeats(SeenInMemory(kept_s=10, clock=clock))
    handle(repeats, "msg_1")
    clock.now_s += 9.9
    assert not handle(repeats, "msg_1")
    clock.now_s += 0.2
    assert handle(repeats, "msg_1")


def test_oldest_id_is_forgotten_above_the_bound() -> None:
    repeats = Repeats(SeenInMemory(ids_max=2))
    for name in ("msg_1", "msg_2", "msg_3"):
        handle(repeats, name)
    assert not handle(repeats, "msg_2")
    assert not handle(repeats, "msg_3")
    assert handle(repeats, "msg_1")


def test_bound_does_not_forget_an_event_in_progress() -> None:
    repeats = Repeats(SeenInMemory(ids_max=1))
    with repeats.once("msg_1"):
        for number in range(2, 5):
            handle(repeats, f"msg_{number}")
        with pytest.raises(WebhookInProgress):
            handle(repeats, "msg_1")


def _exit_with_state(seen: SeenInMemory) -> None:
    raise SystemExit(["new", "busy", "done"].index(seen.begin("msg_1")))


def test_forked_child_waits_for_no_lock_of_its_parent() -> None:
    seen = SeenInMemory()
    assert seen.begin("msg_1") == "new"
    with seen._lock:
        child = multiprocessing.get_context("fork").Process(target=_exit_with_state, args=(seen,))
        child.start()
    child.join()
    assert child.exitcode == 0


def test_own_store_is_used_in_this_order() -> None:
    steps: list[tuple[str, str]] = []

    class Store:
        state: Any = "new"

        def begin(self, message_id: str) -> Any:
            steps.append(("begin", message_id))
            return self.state

        def finish(self, message_id: str) -> None:
            steps.append(("finish", message_id))

        def abandon(self, message_id: str) -> None:
            steps.append(("abandon", message_id))

    store = Store()
    repeats = Repeats(store)
    assert handle(repeats, "msg_1")
    with pytest.raises(RuntimeError):
        fail(repeats, "msg_2", RuntimeError)
    store.state = "done"
    assert not handle(repeats, "msg_3")
    assert steps == [
        ("begin", "msg_1"),
        ("finish", "msg_1"),
        ("begin", "msg_2"),
        ("abandon", "msg_2"),
        ("begin", "msg_3"),
    ]


@pytest.mark.parametrize(
    "options", [{"kept_s": 0}, {"kept_s": float("nan")}, {"ids_max": 0}, {"ids_max": 1.5}]
)
def test_argument_out_of_bounds_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(options))}: allowed is"):
        SeenInMemory(**options)
