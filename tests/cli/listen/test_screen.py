import threading
from concurrent.futures import CancelledError

import pytest

from openpns.cli.listen.answers import Refused, Shown
from openpns.cli.listen.screen import Screen

ONE = Refused(401, "one")


class Done(Exception):
    pass


def show_in_thread(screen: Screen, results: list[str]) -> threading.Thread:
    def work() -> None:
        try:
            screen.show(ONE)
            results.append("shown")
        except CancelledError:
            results.append("cancelled")

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def run_until(screen: Screen, count: int) -> list[Shown]:
    written: list[Shown] = []

    def write(shown: Shown) -> None:
        written.append(shown)
        if len(written) == count:
            raise Done

    with pytest.raises(Done):
        screen.run(write)
    return written


def test_thread_waits_until_its_delivery_is_shown() -> None:
    screen, results = Screen(), list[str]()
    first = show_in_thread(screen, results)
    second = show_in_thread(screen, results)
    assert run_until(screen, 2) == [ONE, ONE]
    first.join()
    second.join()
    # What could not be written is not shown.
    assert sorted(results) == ["cancelled", "shown"]


def test_nothing_is_shown_after_the_end() -> None:
    screen, results = Screen(), list[str]()
    waiting = show_in_thread(screen, results)
    screen.close()
    waiting.join()
    late = show_in_thread(screen, results)
    late.join()
    assert results == ["cancelled", "cancelled"]


def test_error_of_a_thread_is_raised() -> None:
    screen = Screen()
    screen.fail(Done())
    with pytest.raises(Done):
        screen.run(lambda _: None)
