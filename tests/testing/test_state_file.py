import json
from pathlib import Path
from typing import Any

import pytest

from openpns.client.http import Client
from openpns.errors import ConfigError
from openpns.testing import Emulator
from openpns.testing.state_file import GroupState, KeyState, parse, read_file, to_text

KEY = '{"accessKey": "key-1", "accessSecret": "secret-1"}'
BINDING = {
    "kind": "extension",
    "did": "85290000001",
    "phoneA": "85211111111",
    "extension": "042",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1, column 1: not JSON: Expecting value"),
        ('{\n  "customers": [,]}', "line 2, column 17: not JSON: Expecting value"),
        ("[]", "$: Expected `object`, got `array`"),
        ('{"customer": []}', "$: Object contains unknown field `customer`"),
        (
            '{"customers": [{"customerId": 1}]}',
            "$.customers[0].customerId: Expected `str`, got `int`",
        ),
        (
            '{"customers": [{"customerId": "a", "accessKeys": [{"accessKey": "key-1"}]}]}',
            "$.customers[0].accessKeys[0]: Object missing required field `accessSecret`",
        ),
    ],
)
def test_wrong_file_raises_with_its_place(file: Path, text: str, why: str) -> None:
    file.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as raised:
        read_file(file)
    assert str(raised.value) == f"{file}: {why}"


@pytest.mark.parametrize("text", [b"\xff", b"[" * 100_000])
def test_file_that_is_not_text_raises(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    with pytest.raises(ConfigError, match="not JSON in UTF-8"):
        read_file(file)


def test_missing_file_raises(file: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        Emulator(state=file)
    assert str(raised.value) == f"{file}: cannot read the state (No such file or directory)"


@pytest.mark.parametrize(
    ("customer", "why"),
    [
        ({"customerId": "no way"}, "$.customers[0]: customer id 'no way': allowed are"),
        (
            {"customerId": "a", "accessKeys": [{"accessKey": "key-1", "accessSecret": "s"}]},
            "$.customers[0].accessKeys[0]: access secret: allowed are 8 to 128",
        ),
        (
            {"customerId": "a", "accessKeys": [json.loads(KEY), json.loads(KEY)]},
            "$.customers[0].accessKeys[1]: access key key-1 exists already",
        ),
        (
            {"customerId": "a", "groups": [{"phones": "85211111114"}, {"phones": "85211111114,1"}]},
            "$.customers[0].groups[1]: phones: item 2 must be 5 to 15 digits",
        ),
        (
            {"customerId": "a", "bindings": [BINDING | {"extension": "42"}]},
            "$.customers[0].bindings[0]: Parameter error: extension must be three digits",
        ),
        (
            {"customerId": "a", "bindings": [BINDING | {"phoneA": "8521"}]},
            "$.customers[0].bindings[0]: Parameter error: phoneA must be 5 to 15 digits",
        ),
        (
            {"customerId": "a", "numbers": [{"did": "85290000001"}, {"did": "85290000001"}]},
            "$.customers[0].numbers[1]: virtual number 1 (85290****01) belongs to this customer",
        ),
    ],
)
def test_value_that_is_not_allowed_raises_with_its_place(
    file: Path, customer: dict[str, object], why: str
) -> None:
    file.write_text(json.dumps({"customers": [customer]}), "utf-8")
    with pytest.raises(ConfigError) as raised:
        Emulator(state=file).start()
    assert str(raised.value).startswith(f"{file}: {why}")


def test_group_needs_no_field(file: Path) -> None:
    file.write_text('{"customers": [{"customerId": "cus_1", "groups": [{}]}]}', "utf-8")
    with Emulator(state=file) as pns:
        (group,) = pns.groups("cus_1")
    assert (group.name, group.phones, group.remark) == (group.group_id, [], "")


def test_dump_has_virtual_numbers(file: Path) -> None:
    numbers = [
        {"did": "85290000001", "businessId": "default", "state": "active"},
        {"did": "85290000002", "businessId": "shop", "state": "draining"},
    ]
    given = [numbers[0] | {"did": "+85290000001"}, numbers[1]]
    file.write_text(json.dumps({"customers": [{"customerId": "a", "numbers": given}]}), "utf-8")
    with Emulator(state=file) as pns:
        assert pns.dump()["customers"][0]["numbers"] == numbers


def test_dump_has_audios(file: Path) -> None:
    url = "https://audio.example/busy.wav"
    customer = {
        "customerId": "a",
        "audioWhenCallFail": url,
        "numbers": [
            {"did": "85290000001", "audioWhenCallFail": "", "audioWhenDtmfNeed": url},
            {"did": "85290000002"},
        ],
    }
    file.write_text(json.dumps({"customers": [customer]}), "utf-8")
    with Emulator(state=file) as pns:
        state = pns.dump()
        dumped = state["customers"][0]
    assert dumped["audioWhenCallFail"] == url
    assert "audioWhenDtmfErr" not in dumped
    (first, second) = dumped["numbers"]
    assert (first["audioWhenCallFail"], first["audioWhenDtmfNeed"]) == ("", url)
    assert "audioWhenCallFail" not in second
    with Emulator(state=state) as pns:
        assert pns.dump() == state


@pytest.mark.parametrize(
    ("customer", "place"),
    [
        ({"audioWhenDtmfErr": "x"}, "$.customers[0]: audioWhenDtmfErr: "),
        (
            {"numbers": [{"did": "85290000001", "audioWhenDtmfErr": "x"}]},
            "$.customers[0].numbers[0]: a",
        ),
    ],
)
def test_wrong_audio_is_named_with_its_place(customer: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Emulator(state={"customers": [{"customerId": "a", **customer}]}).start()
    assert str(raised.value).startswith(f"state: {place}")


def test_to_text_is_readable() -> None:
    text = to_text({"customers": [{"customerId": "cus_1", "name": "骑手"}]})
    assert "骑手" in text
    assert text.endswith("}\n")
    assert parse(json.loads(text)).customers[0].name == "骑手"


def test_reprs_show_no_secret_and_no_phones() -> None:
    assert (
        repr(KeyState(access_key="key-1", access_secret="secret-1"))
        == "KeyState(access_key='key-1')"
    )
    assert "8521" not in repr(GroupState(phones="85211111114"))


def test_dump_of_a_group_binding_whose_second_phone_left_is_read() -> None:
    with Emulator() as pns:
        pns.add_numbers("85290000001")
        with Client(pns.base_url, pns.access_key, pns.access_secret) as client:
            group_id = client.groups.create(["85222222222", "85233333333"])
            client.bindings.bind_axg("85211111111", group_id, expire_s=0, phone_b="85222222222")
            client.groups.remove_phones(group_id, ["85222222222"])
        state = pns.dump()
    with Emulator(state=state) as pns:
        assert pns.dump() == state
