"""The docs agree with the code: tables, links, names, examples and commands are checked."""

import itertools
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from tools import docs_tables

from openpns.api.counters import Counters
from openpns.api.metrics import CounterCollector
from openpns.api.registry import ACTIONS
from openpns.cli.root import cli
from openpns.deliveries.counters import DeliveryCounters
from openpns.deliveries.metrics import DeliveryCollector
from openpns.errors import WIRE_ERRORS
from openpns.process.admin import _OwnMetrics
from openpns.protocol import signing

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *ROOT.glob("*.md"), ROOT / "bench" / "results" / "README.md"])
SECRET = "abciiiko2k3"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SIGNED_TEXT = re.compile(
    r"accessKey=(.*?)&action=(.*?)&bizType=(.*?)&ts=(.*?)(?:&body=(.*))?&accessSecret=(.*)"
)


def _text(page: Path) -> str:
    return page.read_text("utf-8")


def _fences(text: str, kind: str) -> list[str]:
    return [match[2] for match in FENCE.finditer(text) if match[1] == kind]


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_generated_tables_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert docs_tables.main(["--check"]) == 0, capsys.readouterr().err


def test_every_table_is_on_a_page() -> None:
    markers = re.findall(
        r"<!-- begin generated: (.*?) -->", "".join(_text(page) for page in DOCS.rglob("*.md"))
    )
    assert sorted(markers) == sorted(docs_tables.makers())


def test_stale_table_is_found_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "docs" / "page.md"
    page.parent.mkdir()
    page.write_text("<!-- begin generated: bounds -->\nold\n<!-- end generated -->\n", "utf-8")
    monkeypatch.setattr(docs_tables, "DOCS", page.parent)
    assert docs_tables.main(["--check"]) == 1
    assert "docs/page.md" in capsys.readouterr().err
    assert docs_tables.main([]) == 0
    assert "Phones in a group" in page.read_text("utf-8")
    assert docs_tables.main(["--check"]) == 0


def test_pages_have_good_links_examples_and_commands() -> None:
    """Read each page once, and report everything that is wrong."""
    texts = {page: _text(page) for page in PAGES}
    wrong: list[str] = []
    for page, text in texts.items():
        checks = (
            _wrong_links(page, text),
            _wrong_json(text),
            _wrong_commands(text),
            _ts_in_seconds(text),
        )
        wrong += [f"{page.relative_to(ROOT)}: {what}" for what in itertools.chain(*checks)]
    assert not wrong, "\n".join(wrong)


def _wrong_links(page: Path, text: str) -> Iterator[str]:
    for link in LINK.findall(FENCE.sub("", text)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or not target.is_relative_to(ROOT):
            yield f"{link} leads to no file of the repository"
        elif anchor and anchor not in _anchors(_text(target)):
            yield f"{link} leads to no heading"


def _wrong_json(text: str) -> Iterator[str]:
    for example in _fences(text, "json"):
        try:
            json.loads(example)
        except ValueError as error:
            yield f"a JSON example does not parse: {error}: {example[:60]}"


def _ts_in_seconds(text: str) -> Iterator[str]:
    # Two equal requests within a second would be byte-identical.
    for match in re.finditer(r"date \+%s\)|int\(time\.time\(\)\) \* 1000|time\(\) \. '000'", text):
        yield f"signs with a ts in whole seconds: {match[0]}"


def _wrong_commands(text: str) -> Iterator[str]:
    for script in _fences(text, "sh"):
        for line in script.replace("\\\n", " ").splitlines():
            if line.startswith("openpns "):
                try:
                    _parse(shlex.split(line, comments=True)[1:])
                except (ValueError, click.ClickException) as error:
                    yield f"{line}: {error}"


def _returned(answer: dict[str, Any], *, in_data: bool) -> dict[str, Any] | None:
    if in_data:
        return answer.get("data")
    return {name: value for name, value in answer.items() if name == "groupId"}


@pytest.mark.parametrize("name", ACTIONS)
def test_action_has_a_page_with_a_signed_request_and_its_response(name: str) -> None:
    page = _text(DOCS / "api" / f"{name}.md")
    (example,) = _fences(page, "http")
    head, _, body = example.rstrip("\n").partition("\n\n")
    sent = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    assert sent["action"] == name
    assert sent["sign"] == signing.sign(
        sent["accessKey"], name, sent["bizType"], sent["ts"], body.encode(), SECRET
    )
    action = ACTIONS[name]
    assert action.read(body.encode(), sent["Content-Type"])
    answers = [json.loads(example) for example in _fences(page, "json")]
    assert all(list(answer)[:3] == ["code", "msg", "requestId"] for answer in answers)
    returned = [_returned(answer, in_data=action.answer_in_data) for answer in answers]
    assert any(returned) == (action.answer is not None)
    for data in filter(None, returned):  # updateGroup returns data only on request
        assert msgspec.to_builtins(msgspec.convert(data, action.answer)) == data
    for index in (DOCS / "api" / "README.md", ROOT / "README.md"):
        assert f"{name}.md" in _text(index)


def test_every_code_is_in_errors_and_in_the_api_pages() -> None:
    errors = _text(DOCS / "errors.md")
    assert [code for code in WIRE_ERRORS if f"`{code}`" not in errors] == []
    pages = "".join(_text(page) for page in (DOCS / "api").glob("*.md"))
    assert [code for code in WIRE_ERRORS if str(code) not in pages] == []


def test_every_decision_is_in_the_index_and_numbered() -> None:
    records = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    linked = re.findall(r"^\| \[(\d+)\]\((.*?)\)", _text(DOCS / "decisions" / "README.md"), re.M)
    assert linked == [(record.name[:4], record.name) for record in records]
    for number, record in enumerate(records, start=1):
        assert record.name.startswith(f"{number:04}-")
        assert _text(record).startswith(f"# {number:04}: ")
        headings = re.findall(r"^## (.*)$", _text(record), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences", "Alternatives"]


def test_audit_page_documents_every_write() -> None:
    page = _text(DOCS / "operating" / "audit.md")
    for name, action in ACTIONS.items():
        assert not action.is_write or re.search(rf"`{name}[.`]", page), name


def test_serving_page_documents_every_metric() -> None:
    page = _text(DOCS / "operating" / "serving.md")
    own = [*_OwnMetrics(0).collect(), *DeliveryCollector(DeliveryCounters().total()).collect()]
    for metric in (*CounterCollector(Counters().total()).collect(), *own):
        suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
        assert f"`{metric.name}{suffix}`" in page


def test_worked_examples_have_right_signatures() -> None:
    page = _text(DOCS / "api" / "signing.md")
    found = 0
    for block in re.finditer(r"```text\n(.*)\n```\n\n((?:- .*\n)+)", page):
        parts = SIGNED_TEXT.fullmatch(block[1])
        assert parts is not None
        access_key, action, biz_type, ts, body, secret = parts.groups("")
        for algorithm, signature in re.findall(r"- (\w+): `([0-9a-f]+)`", block[2]):
            assert signature == signing.sign(
                access_key, action, biz_type, ts, body.encode(), secret, algorithm
            )
            found += 1
    assert found == 4


@pytest.mark.parametrize("language", ["python", "sh", "js", "go", "php", "java"])
def test_example_in_each_language_shows_its_output(language: str) -> None:
    page = _text(DOCS / "api" / "signing.md")
    example = _fences(page, language)[0]
    printed = re.findall(r"(?:#|//) ([0-9a-f]{32})$", example, re.MULTILINE)
    assert len(printed) == 1
    assert f"`{printed[0]}`" in page


def test_python_example_prints_the_documented_output() -> None:
    examples = _fences(_text(DOCS / "api" / "signing.md"), "python")
    assert len(examples) == 2
    for example in examples:
        # In UTF-8 mode, as most machines are set up.
        command = [sys.executable, "-X", "utf8", "-c", example]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"# {run.stdout.strip()}\n" in example


def _parse(words: list[str]) -> None:
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"no command {name}")
        command, context = found, click.Context(found, parent=context)
    command.make_parser(context).parse_args(words)


def test_every_command_is_in_the_docs() -> None:
    written = "".join(_text(page) for page in PAGES)
    for name in cli.commands:
        command = cli.get_command(click.Context(cli), name)
        verbs = command.commands if isinstance(command, click.Group) else [""]
        missing = [verb for verb in verbs if f"openpns {name} {verb}".strip() not in written]
        assert missing == [], name
