import http.client
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.testing.conftest import CREATE, LIST, PlainClient

from openpns import Group
from openpns.accounts.access_keys import NewSecret
from openpns.errors import ConfigError
from openpns.testing import Emulator, Key

GROUP_ID = "b8c2aaf940d534d3c9ed8b780757f94e"
STATE: dict[str, Any] = {
    "customers": [
        {
            "customerId": "cus_1",
            "accessKeys": [{"accessKey": "key-of-cus-1", "accessSecret": "secret-of-cus-1"}],
            "groups": [
                {
                    "groupId": GROUP_ID,
                    "groupName": "groupA",
                    "phones": "85211111114",
                    "remark": "",
                }
            ],
        }
    ]
}


def test_groups_returns_created_group(pns_server: Emulator, send: PlainClient) -> None:
    created = send("createGroup", CREATE)
    assert created.code == 0
    assert pns_server.groups() == [
        Group(
            created.envelope["groupId"],
            "groupA",
            ["85211111114", "8613800138000"],
            "",
            "emulator-customer",
        )
    ]


def test_add_group_is_listed(pns_server: Emulator, send: PlainClient) -> None:
    group_id = pns_server.add_group(["+85211111114", "8613800138000"], name="骑手", remark="r")
    assert pns_server.add_group(group_id=GROUP_ID) == GROUP_ID
    assert pns_server.add_group("85235753351,85235753311")
    listed = send("listGroup", LIST).envelope["data"]
    assert [group["phones"] for group in listed["groups"]] == [
        "85211111114,8613800138000",
        "",
        "85235753351,85235753311",
    ]
    assert listed["groups"][0] == {
        "customerId": "emulator-customer",
        "groupName": "骑手",
        "groupId": group_id,
        "phones": "85211111114,8613800138000",
        "remark": "r",
    }


def test_add_customer_sees_only_its_groups(pns_server: Emulator, send: PlainClient) -> None:
    key = pns_server.add_customer("cus_2", access_key="cus-2-key", access_secret="cus-2-secret")
    assert key == Key("cus-2-key", "cus-2-secret", "cus_2")
    assert "cus-2-secret" not in repr(key)
    made_up = pns_server.add_customer("cus_3")
    pns_server.add_group(["85211111114"], customer_id="cus_2")
    for used, total in ((key, 1), (made_up, 0)):
        secret = NewSecret(used.access_key, used.access_secret, "")
        assert send("listGroup", LIST, secret).envelope["data"]["total"] == total
    assert send("listGroup", LIST).envelope["data"]["total"] == 0
    assert len(pns_server.groups("cus_2")) == 1


def test_reset_returns_to_initial_state(pns_server: Emulator, send: PlainClient) -> None:
    send("createGroup", CREATE)
    pns_server.add_customer("cus_2")
    pns_server.faults.internal_error(times=None)
    pns_server.clock.advance(seconds=3600)
    base_url = pns_server.base_url
    pns_server.reset()
    assert (pns_server.groups(), pns_server.requests, pns_server.base_url) == ([], [], base_url)
    assert [customer["customerId"] for customer in pns_server.dump()["customers"]] == [
        "emulator-customer"
    ]
    # The connection stays open, and ids are new.
    assert send("createGroup", CREATE).code == 0


def test_request_ids_are_unique_across_resets(pns_server: Emulator, send: PlainClient) -> None:
    pns_server.clock.freeze()
    at = pns_server.clock()
    seen = set()
    for _ in range(3):
        pns_server.reset()
        pns_server.clock.freeze()
        pns_server.clock.set(at)
        seen |= {send("listGroup", LIST).envelope["requestId"] for _ in range(3)}
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda pns: pns.add_group(["12"]), "group: phones: item 1 must be 5 to 15 digits"),
        (lambda pns: pns.add_group(group_id="short"), "group: groupId must be empty or 32"),
        (lambda pns: pns.add_group(customer_id="x"), "'x': does not exist; there are"),
        (lambda pns: pns.groups("x"), "'x': does not exist"),
        (lambda pns: pns.add_customer("no way"), "customer id 'no way': allowed are"),
        (lambda pns: pns.add_customer("emulator-customer"), "exists already"),
        (lambda pns: pns.add_customer("cus_2", access_key="a b"), "access key 'a b': allowed"),
    ],
)
def test_wrong_argument_raises_config_error(
    pns_server: Emulator, wrong: Callable[[Emulator], object], why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        wrong(pns_server)


def test_concurrent_requests_all_succeed(
    pns_server: Emulator, new_client: Callable[[Emulator], PlainClient]
) -> None:
    codes: list[int] = []

    def work(client: PlainClient, thread: int) -> None:
        for number in range(40):
            codes.append(client("createGroup", {"phones": f"861380013{thread}{number:03}"}).code)
            codes.append(client("listGroup", LIST).code)

    threads = [
        threading.Thread(target=work, args=(new_client(pns_server), thread)) for thread in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [0] * 320
    assert len(pns_server.groups()) == 160


def test_state_is_loaded_at_start_and_reset(
    new_client: Callable[[Emulator], PlainClient],
) -> None:
    with Emulator(state=STATE) as pns:
        for _ in range(2):
            (group,) = pns.groups("cus_1")
            assert (group.group_id, group.phones) == (GROUP_ID, ["85211111114"])
            # Its own key exists in addition.
            send = new_client(pns)
            assert send("listGroup", LIST).envelope["data"]["total"] == 0
            key = NewSecret("key-of-cus-1", "secret-of-cus-1", "cus_1")
            assert send("deleteGroup", {"groupId": GROUP_ID}, key).code == 0
            assert pns.groups("cus_1") == []
            pns.reset()


def test_state_with_own_key_or_customer_replaces_it() -> None:
    with Emulator(state=STATE, access_key="key-of-cus-1") as pns:
        assert (pns.access_secret, pns.customer_id) == ("secret-of-cus-1", "cus_1")
        assert pns.dump() == STATE
        assert "secret" not in repr(pns)
    with Emulator(state=STATE, customer_id="cus_1") as pns:
        (customer,) = pns.dump()["customers"]
        keys = [key["accessKey"] for key in customer["accessKeys"]]
        assert keys == ["key-of-cus-1", "emulator-key"]


def test_dump_is_a_state(tmp_path: Path) -> None:
    state = {
        "customers": [
            STATE["customers"][0],
            {
                "customerId": "cus_2",
                "name": "第二",
                "disabled": True,
                "accessKeys": [
                    {
                        "accessKey": "old-key",
                        "accessSecret": "old-secret",
                        "expiresMs": 1000,
                        "uniqueTs": True,
                    },
                    {"accessKey": "cut-key", "accessSecret": "cut-secret", "disabled": True},
                ],
            },
        ]
    }
    with Emulator(state=state) as pns:
        dumped = pns.dump()
    assert dumped["customers"][:2] == state["customers"]
    with Emulator(state=dumped) as pns:
        assert pns.dump() == dumped


def test_bounds_are_arguments(new_client: Callable[[Emulator], PlainClient]) -> None:
    with Emulator(phones_in_group_max=1, body_bytes_max=1024) as pns:
        send = new_client(pns)
        assert send("createGroup", CREATE).code == 19002
        assert send("createGroup", {"phones": "1" * 2000}).status == 413
    with Emulator(groups_per_customer_max=1) as pns:
        send = new_client(pns)
        assert [send("createGroup", CREATE).code for _ in range(2)] == [0, 19012]


def test_rate_is_an_argument(new_client: Callable[[Emulator], PlainClient]) -> None:
    with Emulator(rate_per_s=1, rate_burst=2) as pns:
        send = new_client(pns)
        page = {"limit": 10, "offset": 0}
        assert [send("listGroup", page).code for _ in range(3)] == [0, 0, 19003]
        pns.reset()
        assert send("listGroup", page).code == 0


def test_wrong_state_raises_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"state: \$.customers: Expected `array`, got `int`"):
        Emulator(state={"customers": 1})
    state = {"customers": [STATE["customers"][0], STATE["customers"][0]]}
    with pytest.raises(ConfigError, match=r"state: \$.customers\[1\]: customer cus_1 exists"):
        Emulator(state=state).start()


def test_taken_port_raises_config_error(pns_server: Emulator) -> None:
    port = int(pns_server.base_url.rpartition(":")[2])
    other = Emulator(port=port)
    with pytest.raises(ConfigError, match=f"cannot listen on '127.0.0.1' port {port}: "):
        other.start()
    other.stop()  # nothing to do


def test_start_and_stop_state_is_checked(pns_server: Emulator) -> None:
    with pytest.raises(RuntimeError, match="is already running"):
        pns_server.start()
    with pytest.raises(RuntimeError, match="is not running"):
        Emulator().reset()


def test_emulator_can_be_started_again(new_client: Callable[[Emulator], PlainClient]) -> None:
    pns = Emulator(host="localhost")
    for _ in range(2):
        with pns:
            assert new_client(pns)("createGroup", CREATE).code == 0
            assert len(pns.groups()) == 1


def test_base_url_of_wildcard_address_is_loopback() -> None:
    with Emulator(host="0.0.0.0") as pns:
        assert pns.base_url.startswith("http://127.0.0.1:")


def test_emulator_loads_no_server_and_no_postgres_driver() -> None:
    code = (
        "import sys; from openpns.testing import Emulator\n"
        "with Emulator() as pns: pns.add_group(['85211111114'])\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    unwanted = (
        "asyncpg",
        "uvloop",
        "openpns.storage.postgres.store",
        "openpns.server.run",
    )
    assert [name for name in loaded if name.startswith(unwanted)] == []
    assert "apsw" in loaded


def test_package_exports_only_its_names() -> None:
    import openpns.testing

    for name in openpns.testing.__all__:
        assert getattr(openpns.testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Emulater'"):
        _ = openpns.testing.Emulater


def test_emulator_has_the_extensions(send: PlainClient, pns_server: Emulator) -> None:
    group_id = pns_server.add_group(["85211111114", "8613800138000"], name="groupA")
    body = {"limit": 1, "after": "", "phone": "8613800138000", "order": "newest"}
    found = send("listGroup", body).envelope["data"]
    assert [group["groupId"] for group in found["groups"]] == [group_id]
    assert found["next"] is None
    change = {"groupId": group_id, "operateType": 1, "phones": "85211111114", "dryRun": True}
    assert send("updateGroup", change).envelope["data"]["removed"] == 1
    assert send("getGroup", {"groupId": group_id}).envelope["data"]["count"] == 2
    assert send("getLimits", {}).code == 0


def test_read_only_key_may_only_read(send: PlainClient, pns_server: Emulator) -> None:
    key = pns_server.add_customer("cus_1", read_only=True)
    pns_server.add_group(["85211111114"], customer_id="cus_1")
    reader = NewSecret(key.access_key, key.access_secret, "")
    assert send("listGroup", LIST, key=reader).envelope["data"]["total"] == 1
    assert send("createGroup", CREATE, key=reader).code == 1005
    dumped = pns_server.dump()
    assert [
        key["readOnly"]
        for customer in dumped["customers"]
        if customer["customerId"] == "cus_1"
        for key in customer["accessKeys"]
    ] == [True]
    with Emulator(state=dumped) as again:
        assert again.dump() == dumped


def test_refused_body_is_recorded_without_it(send: PlainClient, pns_server: Emulator) -> None:
    answer = send.send_raw("POST", "/api/pns/", b"x" * 2_000_000, {"action": "createGroup"})
    assert (answer.status, answer.code) == (413, 1002)
    (received,) = pns_server.requests
    assert (received.action, received.body, received.http_status) == ("createGroup", None, 413)


def test_large_page_is_sent_in_chunks(pns_server: Emulator, send: PlainClient) -> None:
    phones = [str(8613800138000 + number) for number in range(300)]
    for _ in range(20):
        pns_server.add_group(phones)
    answer = send("listGroup", LIST)
    assert answer.headers["Transfer-Encoding"] == "chunked"
    data = answer.envelope["data"]
    assert [group["phones"] for group in data["groups"]] == [",".join(phones)] * 20
    assert data["total"] == 20
    assert pns_server.requests[-1].code == 0


def test_response_that_breaks_off_is_incomplete(
    pns_server: Emulator, send: PlainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        pns_server.add_group([str(8613800138000 + number) for number in range(300)])
    store = pns_server._service._store
    plain = store.stream

    async def stream(*arguments: object) -> object:
        async for rows in plain(*arguments):  # type: ignore[arg-type]
            yield rows
            raise RuntimeError("in its middle")

    monkeypatch.setattr(store, "stream", stream)
    with pytest.raises(http.client.IncompleteRead):
        send("listGroup", LIST)


def test_start_names_an_address_of_no_machine() -> None:
    for host in ("192.0.2.1", "no such host", "x" * 64):
        with pytest.raises(ConfigError, match=f"cannot listen on '{host}' port 0: "):
            Emulator(host=host).start()
