import sys

import pytest

from openpns.cli import main


def test_interrupt_of_the_start_is_silent_and_exit_code_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Importer:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "openpns.cli.run":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "openpns.cli.run", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Importer(), *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 130
    assert capsys.readouterr() == ("", "")
