"""The command as a real process."""

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.deliveries.hook_server import ThreadedHookServer, until
from tests.processes import Start, run_openpns

from openpns.webhooks import UnboundCall, verify

DID = "85290000001"
STATE = {
    "customers": [
        {
            "customerId": "cus_1",
            "accessKeys": [{"accessKey": "key-of-cus-1", "accessSecret": "secret-of-cus-1"}],
            "groups": [
                {
                    "groupId": "b8c2aaf940d534d3c9ed8b780757f94e",
                    "groupName": "骑手",
                    "phones": "85211111114",
                    "remark": "",
                }
            ],
        }
    ]
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_emulator_prints_its_url_and_exits_with_0(start: Start, number: int) -> None:
    process = start("emulator")
    printed = process.wait_for(r"Serving until Ctrl-C\.").string
    assert f"base URL       http://127.0.0.1:{process.port}\n" in printed
    assert f"API            http://127.0.0.1:{process.port}/api/pns/\n" in printed
    assert "access key     emulator-key\n" in printed
    assert "access secret  emulator-secret\n" in printed
    assert process.stop(number) == 0


def test_nohup_protects_the_emulator_from_a_closed_terminal(start: Start) -> None:
    process = start("emulator", wrapper=["nohup"])
    process.process.send_signal(signal.SIGHUP)
    process.wait_until_it_answers()
    assert process.stop() == 0


def test_second_signal_does_not_spoil_the_exit_code(start: Start, tmp_path: Path) -> None:
    process = start("emulator", "--dump", str(tmp_path / "after.json"))
    for _ in range(20):
        process.process.send_signal(signal.SIGTERM)
    assert process.stop() == 0
    assert json.loads((tmp_path / "after.json").read_text("utf-8"))


def test_emulator_loads_and_dumps_a_file(start: Start, tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(STATE), "utf-8")
    process = start("emulator", "--load", str(before), "--dump", str(after))
    listed = process.call("listGroup", {"limit": 0, "offset": 0})
    assert [group["groupName"] for group in listed["data"]["groups"]] == ["骑手"]
    created = process.call("createGroup", {"phones": "8613800138000"})
    assert not after.exists()
    assert process.stop() == 0
    left = json.loads(after.read_text("utf-8"))
    (customer, own) = left["customers"]
    assert own["customerId"] == "emulator-customer"
    assert customer["accessKeys"] == STATE["customers"][0]["accessKeys"]
    assert [group["groupId"] for group in customer["groups"]] == [
        "b8c2aaf940d534d3c9ed8b780757f94e",
        created["groupId"],
    ]
    assert after.stat().st_mode & 0o777 == 0o600  # it holds secrets
    # Another emulator starts with the dumped state.
    process = start("emulator", "--load", str(after))
    assert process.call("listGroup", {"limit": 0, "offset": 0})["data"]["total"] == 2


def test_emulator_names_the_place_of_an_error_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text('{"customers": [{"customerId": "cus_1", "groups": [{"phones": "1"}]}]}')
    done = run_openpns("emulator", "--load", str(file))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"openpns: {file}: $.customers[0].groups[0]: phones: item 1 must be 5 to 15 digits that "
        "begin with a country code, not with 0; it has 1 digit\n"
    )


def test_emulator_reports_a_port_in_use(start: Start, run_anywhere: Run) -> None:
    port = str(start("emulator").port)
    done = run_anywhere("emulator", "--port", port, code=2)
    assert done.err.startswith(f"openpns: port: cannot listen on '127.0.0.1' port {port}: ")


def test_emulator_refuses_a_dump_file_it_cannot_write(run_anywhere: Run, tmp_path: Path) -> None:
    done = run_anywhere("emulator", "--dump", str(tmp_path / "no" / "state.json"), code=2)
    assert done.err.startswith("openpns: --dump: cannot write in the folder of ")
    assert run_anywhere("emulator", "--port", "65536", code=2).err


def test_dump_refuses_a_fifo(run_anywhere: Run, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    done = run_anywhere("emulator", "--dump", str(pipe), code=2)
    assert done.err == (
        f"openpns: --dump: {pipe} is a FIFO, which may have no reader; allowed is a file\n"
    )


def test_emulator_delivers_by_itself_to_a_webhook(start: Start, tmp_path: Path) -> None:
    keys = STATE["customers"][0]["accessKeys"]
    own = {"customerId": "emulator-customer", "accessKeys": keys, "numbers": [{"did": DID}]}
    state = {"customers": [own]}
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(state), "utf-8")
    with ThreadedHookServer() as hook:
        url = hook.receiver.url
        process = start("emulator", "--load", str(before), "--webhook", url, "--dump", str(after))
        secret = process.wait_for(r"webhook secret (whsec_\S+)")[1]
        process.wait_for(r"Serving until Ctrl-C\.")
        asked = process.call("queryAXB", {"caller": "85211111111", "did": DID})
        assert asked["code"] == 10013
        asyncio.run(until(lambda: hook.receiver.received))
        (received,) = hook.receiver.received
        event = verify(received.body, received.headers, secret)
        assert isinstance(event, UnboundCall)
        assert event.request_id == asked["requestId"]
        assert process.stop() == 0
    (customer,) = json.loads(after.read_text("utf-8"))["customers"]
    assert customer["webhook"]["url"] == url
    assert customer["webhook"]["secret"] == secret


def test_emulator_refuses_a_wrong_webhook(run_anywhere: Run) -> None:
    done = run_anywhere("emulator", "--webhook", "ftp://127.0.0.1/", code=2)
    assert done.err.startswith("openpns: --webhook: url: its scheme must be http or https; allowed")
