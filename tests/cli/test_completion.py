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
def test_each_shell_has_its_script(run_anywhere: Run, shell: str, text: str) -> None:
    script = run_anywhere("completion", shell).out
    assert text in script
    assert f"_OPENPNS_COMPLETE={shell}_complete" in script


def test_bash_accepts_its_script(run_anywhere: Run) -> None:
    script = run_anywhere("completion", "bash").out
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)


def test_the_script_completes_commands_and_options(run_anywhere: Run) -> None:
    script = run_anywhere("completion", "bash").out
    program = f"openpns() {{ '{sys.executable}' -c '{_MAIN}'; }}\n"
    ask = (
        "COMP_WORDS=(openpns sign --acc); COMP_CWORD=2; _openpns_completion openpns\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    # The script asks through env, which runs files only: here a function stands in for the file.
    asked = script.replace("env COMP_WORDS", "COMP_WORDS")
    done = subprocess.run(
        ["bash", "-c", program + asked + ask], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["--access-key", "--access-secret"]


_MAIN = 'import sys; sys.argv = ["openpns"]; from openpns.cli.main import main; main()'


def test_another_shell_is_a_usage_error(run_anywhere: Run) -> None:
    assert (
        "'csh' is not one of 'bash', 'zsh', 'fish'" in run_anywhere("completion", "csh", code=2).err
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_help_has_a_line_to_install_it(run_anywhere: Run, shell: str) -> None:
    assert f"openpns completion {shell}" in run_anywhere("completion", "--help").out
