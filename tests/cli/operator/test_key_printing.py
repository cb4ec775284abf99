import errno

import pytest

from openpns.cli.operator.key_printing import undone_if_not_shown
from openpns.cli.streams import OutputFailed
from openpns.errors import ConfigError


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (
            OutputFailed(OSError(errno.ENOSPC, "No space left on device")),
            "stdout: cannot write it (No space left on device)",
        ),
    ],
    ids=["interrupted", "failed"],
)
def test_change_whose_secret_is_not_shown_is_undone(
    error: BaseException, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    undone: list[bool] = []
    with (
        pytest.raises(type(error)),
        undone_if_not_shown(lambda: undone.append(True), done="it is undone", left=""),
    ):
        raise error
    assert undone == [True]
    assert capsys.readouterr().err == f"openpns: {why}; it is undone\n"


def test_undoing_that_fails_says_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    def undo() -> None:
        raise ConfigError("database: is gone")

    with (
        pytest.raises(KeyboardInterrupt),
        undone_if_not_shown(undo, done="", left="disable the key k"),
    ):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == (
        "openpns: interrupted; disable the key k: its new secret is lost, and undoing that failed "
        "(database: is gone)\n"
    )
