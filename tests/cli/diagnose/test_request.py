import json
import shlex
from pathlib import Path

import pytest
from tests.cli.conftest import Run, SharedServer
from tests.cli.proxy import Proxy
from tests.helpers import on_sqlite_only

LIST = '{"limit":1,  "offset":0}'


def run_curl(command: str, proxy: Proxy) -> dict[str, object]:
    """Run a printed curl command."""
    program, silent, url, *options = shlex.split(command.replace("\\\n", " "))
    assert (program, silent) == ("curl", "-sS")
    assert url == f"http://127.0.0.1:{proxy.port}/api/pns/"
    pairs = list(zip(options[::2], options[1::2], strict=True))
    headers = dict(value.split(": ", 1) for option, value in pairs if option == "-H")
    (body,) = (value for option, value in pairs if option == "--data-raw")
    _, answer = proxy.forward("/api/pns/", body.encode(), headers)
    found: dict[str, object] = json.loads(answer)
    return found


@on_sqlite_only
def test_request_prints_one_line_into_a_pipe(run_anywhere: Run, server: SharedServer) -> None:
    created = run_anywhere("request", "createGroup", "--data", '{"phones":"85211111114"}').json
    assert list(created) == ["code", "msg", "requestId", "groupId"]
    done = run_anywhere("request", "listGroup", "--data", LIST)
    assert done.out.count("\n") == 1
    assert done.out.startswith('{"code":0,"msg":"success","requestId":"')
    assert done.json["data"]["total"] == 1


@on_sqlite_only
def test_request_reads_the_body_from_a_file_or_stdin(
    run_anywhere: Run, server: SharedServer, tmp_path: Path
) -> None:
    (tmp_path / "body.json").write_text(LIST)
    file = f"@{tmp_path / 'body.json'}"
    assert run_anywhere("request", "listGroup", "--data", file).json["code"] == 0
    done = run_anywhere("request", "listGroup", "--data", "-", stdin=LIST.encode())
    assert done.json["code"] == 0


@on_sqlite_only
def test_refused_request_prints_its_envelope_and_fails(
    run_anywhere: Run, server: SharedServer
) -> None:
    done = run_anywhere("request", "listGroup", code=1)
    assert done.json["code"] == 1002
    assert done.err.startswith("openpns: Parameter error: limit is required")
    done = run_anywhere("request", "deleteGroup", "--data", '{"groupId":"x"}', code=3)
    assert list(done.json) == ["code", "msg", "requestId"]


@on_sqlite_only
@pytest.mark.parametrize(
    "body",
    [LIST, '{"limit":1,\n"offset":0}', '{"limit":1,"offset":0,"x":"it\'s \\"$HOME\\" 销售"}'],
)
def test_curl_command_sends_the_given_body(run_anywhere: Run, proxy: Proxy, body: str) -> None:
    done = run_anywhere("request", "listGroup", "--data", body, "--curl")
    assert "secret-of-cus-1" not in done.out
    assert run_curl(done.out, proxy)["msg"] == "success"
    assert run_anywhere("request", "listGroup", "--data", body).json["code"] == 0


@on_sqlite_only
def test_curl_option_sends_nothing(run_anywhere: Run, proxy: Proxy) -> None:
    body = '{"phones":"85211111114"}'
    command = run_anywhere("request", "createGroup", "--data", body, "--curl").out
    assert run_anywhere("groups", "list", "--json").json == []
    group_id = run_curl(command, proxy)["groupId"]
    assert run_anywhere("groups", "list", "-q").out == f"{group_id}\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("[1]", "must be a JSON object in UTF-8"),
        ("{", "must be a JSON object in UTF-8"),
        ("@no-such-file", "cannot read no-such-file"),
    ],
)
def test_request_refuses_a_body_that_is_not_a_json_object(
    run_anywhere: Run, data: str, text: str
) -> None:
    done = run_anywhere("request", "listGroup", "--data", data, code=2)
    assert text in done.err
    assert done.out == ""
