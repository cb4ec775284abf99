import subprocess
import sys

import pytest
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("shell", "text"),
    [
        ("bash", "complete -o nosort -F _openpns_completion openpns"),
        ("zsh", "#compdef openpns"),
        ("fish", "complete --no-files --command openpns"),
    ],
)
def test_completion_prints_a_script_for_each_shell(
    run_anywhere: Run, shell: str, text: str
) -> None:
    script = run_anywhere("completion", shell).out
    assert text in script
    assert f"_OPENPNS_COMPLETE={shell}_complete" in script


def test_bash_accepts_the_script(run_anywhere: Run) -> None:
    script = run_anywhere("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_script_completes_commands_and_options(run_anywhere: Run) -> None:
    script = run_anywhere("completion", "bash").out
    program = f"openpns() {{ '{sys.executable}' -c '{_MAIN}'; }}\n"
    complete = (
        "COMP_WORDS=(openpns sign --acc); COMP_CWORD=2; _openpns_completion openpns\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    # The script runs the program with env, which cannot run the function `openpns`.
    without_env = script.replace("env COMP_WORDS", "COMP_WORDS")
    done = subprocess.run(
        ["bash", "-c", program + without_env + complete], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["--access-key", "--access-secret"]


_MAIN = 'import sys; sys.argv = ["openpns"]; from openpns.cli.main import main; main()'


def test_completion_refuses_another_shell(run_anywhere: Run) -> None:
    assert (
        "'csh' is not one of 'bash', 'zsh', 'fish'" in run_anywhere("completion", "csh", code=2).err
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_help_shows_how_to_install_the_script(run_anywhere: Run, shell: str) -> None:
    assert f"openpns completion {shell}" in run_anywhere("completion", "--help").out
