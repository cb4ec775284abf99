import asyncio
import json

import pytest
from tests import direct
from tests.cli.conftest import Run
from tests.helpers import on_sqlite_only


def test_create_show_and_list_a_customer(openpns: Run) -> None:
    made = openpns("customers", "create", "cus_2", "--name", "例子公司", "--json").json
    fields = ["customerId", "name", "createdMs", "disabledMs", "groupCount"]
    fields += ["groupQuota", "phoneQuota", "byteQuota", "bindingQuota"]
    fields += ["callRecordQuota", "deliveryQuota"]
    audios = ["audioWhenCallFail", "audioWhenDtmfErr", "audioWhenDtmfNeed"]
    assert list(made) == [*fields, *audios]
    assert (made["customerId"], made["name"], made["groupCount"]) == ("cus_2", "例子公司", 0)
    assert openpns("customers", "show", "cus_2", "--json").json == made
    listed = openpns("customers", "list", "--json").json
    assert [customer["customerId"] for customer in listed] == ["cus_1", "cus_2"]


def test_json_does_not_escape_chinese_names(openpns: Run) -> None:
    assert "例子" in openpns("customers", "create", "cus_2", "--name", "例子", "--json").out


def test_disable_and_enable_a_customer(openpns: Run) -> None:
    assert openpns("customers", "disable", "cus_1", "--json").json["disabledMs"] > 0
    assert "disabled" in openpns("customers", "show", "cus_1").out
    assert openpns("customers", "enable", "cus_1", "--json").json["disabledMs"] is None
    assert "active" in openpns("customers", "show", "cus_1").out


def test_list_prints_one_line_per_customer(openpns: Run) -> None:
    openpns("customers", "create", "cus_2", "--name", "中文客户")
    head, first, second = openpns("customers", "list").out.splitlines()
    assert head.split() == ["customer", "groups", "created", "state", "name"]
    assert first.split()[:2] == ["cus_1", "0"]
    assert second.split()[-2:] == ["active", "中文客户"]


def test_empty_list_says_how_to_create_a_customer(run: Run) -> None:
    run("migrate")
    done = run("customers", "list")
    assert done.out == ""
    assert "openpns customers create" in done.err
    assert run("customers", "list", "--json").json == []


@on_sqlite_only
@pytest.mark.parametrize("customer_id", ["", "a b", "-x", "é", "c" * 65, "../x"])
def test_create_refuses_wrong_ids(openpns: Run, customer_id: str) -> None:
    done = openpns("customers", "create", "--", customer_id, code=2)
    assert "allowed are 1 to 64 letters, digits" in done.err


@on_sqlite_only
@pytest.mark.parametrize("name", ["n" * 129, "a\nb", "\x1b[31m"])
def test_create_refuses_wrong_names(openpns: Run, name: str) -> None:
    done = openpns("customers", "create", "cus_2", "--name", name, code=2)
    assert "name: allowed are at most 128 printable characters" in done.err


def test_create_refuses_an_existing_id(openpns: Run) -> None:
    done = openpns("customers", "create", "cus_1", code=2)
    assert "customer cus_1 exists already" in done.err


@on_sqlite_only
@pytest.mark.parametrize("command", ["show", "disable", "enable"])
def test_commands_name_an_unknown_customer(openpns: Run, command: str) -> None:
    done = openpns("customers", command, "cus_9", code=3)
    assert "'cus_9'" in done.err
    assert "openpns customers list" in done.err


def test_set_quota_of_a_customer(openpns: Run) -> None:
    def quotas(*arguments: str) -> list[int | None]:
        changed = openpns("customers", "set-quota", "cus_1", *arguments, "--json").json
        assert openpns("customers", "show", "cus_1", "--json").json == changed
        names = ("groupQuota", "phoneQuota", "byteQuota", "bindingQuota")
        names += ("callRecordQuota", "deliveryQuota")
        return [changed[name] for name in names]

    assert quotas("--groups", "7", "--phones", "50") == [7, 50, *[None] * 4]
    assert quotas("--bytes", "0", "--bindings", "9") == [None, None, 2**62, 9, None, None]
    assert quotas("--call-records", "5", "--deliveries", "0") == [*[None] * 4, 5, 2**62]
    assert quotas("--default") == [None] * 6
    names = ("groups", "phones", "bytes", "bindings", "callRecords", "deliveries")
    none = dict.fromkeys(names)
    lines = openpns("audit", "--customer", "cus_1", "--json").out.splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["details"] for entry in entries if entry["action"] == "customers.setQuota"] == [
        none,
        none | {"callRecords": 5, "deliveries": 0},
        none | {"bytes": 0, "bindings": 9},
        none | {"groups": 7, "phones": 50},
    ]


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "give either --default or some of --groups, --phones, --bytes, --bindings, "),
        (("--default", "--groups", "1"), "give either --default or some of"),
        (("--groups", "-1"), "quota: allowed are 0 to 4611686018427387904; 0 for no quota"),
    ],
)
def test_set_quota_refuses_wrong_quotas(
    openpns: Run, arguments: tuple[str, ...], text: str
) -> None:
    assert text in openpns("customers", "set-quota", "cus_1", *arguments, code=2).err


@on_sqlite_only
def test_set_quota_refuses_an_unknown_customer(openpns: Run) -> None:
    done = openpns("customers", "set-quota", "cus_9", "--groups", "1", code=3)
    assert "customer 'cus_9': not found" in done.err


@on_sqlite_only
def test_recount_corrects_what_verify_reports(openpns: Run, database_url: str) -> None:
    wrong = "INSERT INTO customer_usage VALUES ('cus_1', 'deliveries', 3, 5)"
    asyncio.run(direct.run(database_url, wrong))
    assert "openpns customers recount" in openpns("verify", code=1).err
    assert openpns("customers", "recount", "cus_1").out == "corrected: deliveries -5\n"
    again = openpns("customers", "recount", "cus_1", "--json")
    assert again.json == {"callRecords": 0, "deliveries": 0}
    openpns("verify")
    changes = [json.loads(line) for line in openpns("audit", "--json").out.splitlines()]
    details = [one["details"] for one in changes if one["action"] == "customers.recount"]
    assert details == [{"callRecords": 0, "deliveries": -5}]


def test_set_audio_of_a_customer(openpns: Run) -> None:
    def audios(*arguments: str) -> list[str | None]:
        changed = openpns("customers", "set-audio", "cus_1", *arguments, "--json").json
        assert openpns("customers", "show", "cus_1", "--json").json == changed
        names = ("audioWhenCallFail", "audioWhenDtmfErr", "audioWhenDtmfNeed")
        return [changed[name] for name in names]

    url = "https://a.example/busy.wav"
    assert audios("--call-fail", url) == [url, None, None]
    shown = openpns("customers", "show", "cus_1").out
    assert shown.endswith(f"audio call-fail: {url}\n")
    assert audios("--dtmf-err", url, "--dtmf-need", "") == [None, url, ""]
    assert audios("--default") == [None, None, None]


@on_sqlite_only
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "give either --default or some of --call-fail, --dtmf-err, --dtmf-need"),
        (("--default", "--call-fail", ""), "give either --default or some of"),
        (("--call-fail", "busy.wav"), "audioWhenCallFail: allowed is a URL that begins with http"),
    ],
)
def test_set_audio_refuses_wrong_audios(
    openpns: Run, arguments: tuple[str, ...], text: str
) -> None:
    assert text in openpns("customers", "set-audio", "cus_1", *arguments, code=2).err
