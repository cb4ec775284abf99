"""The operator's commands on audios, and what `openpns verify` finds wrong with them."""

import json

import pytest
from tests import direct
from tests.bindings.actions import Bindings, X, Y
from tests.bindings.conftest import mine, query
from tests.conftest import FakeClock

from openpns.accounts import customers
from openpns.bindings import operations
from openpns.errors import ConfigError
from openpns.numbers import audios, service
from openpns.numbers.audios import Audios
from openpns.numbers.check import check_audios

__all__ = ["mine", "query"]

URL, OTHER = "https://audio.example/busy.wav?key=secret", "http://[::1]:8080/%E4%BD%A0.wav"


async def test_audios_replace_all_those_before(mine: Bindings) -> None:
    store, customer_id = mine.context.store, mine.context.customer_id
    stored = await audios.set_for_number(store, f"+{X}", Audios(URL, None, ""))
    assert stored == await service.get(store, X)
    assert (stored.audio_when_call_fail, stored.audio_when_dtmf_need) == (URL, "")
    stored = await audios.set_for_number(store, X, Audios(audio_when_dtmf_err=OTHER))
    assert (stored.audio_when_call_fail, stored.audio_when_dtmf_err) == (None, OTHER)
    customer = await audios.set_for_customer(store, customer_id, Audios(URL))
    assert customer.audio_when_call_fail == URL
    assert (await service.get(store, Y)).audio_when_call_fail is None
    assert [number.audio_when_dtmf_err for number in await service.list_stored(store)] == [
        OTHER,
        None,
    ]
    assert (await audios.set_for_customer(store, customer_id, Audios())) == (
        await customers.get(store, customer_id)
    )


async def test_audios_are_in_the_audit_trail_without_their_query(
    mine: Bindings, query: direct.Query
) -> None:
    store, customer_id = mine.context.store, mine.context.customer_id
    await audios.set_for_number(store, X, Audios(URL, "", None))
    await audios.set_for_customer(store, customer_id, Audios(OTHER))
    rows = await query(
        "SELECT action, details FROM audit_entry WHERE action LIKE '%.setAudio' ORDER BY action"
    )
    assert [(action, json.loads(details)) for action, details in rows] == [
        (
            "customers.setAudio",
            {"audioWhenCallFail": OTHER, "audioWhenDtmfErr": None, "audioWhenDtmfNeed": None},
        ),
        (
            "numbers.setAudio",
            {
                "number": "85290****01",
                "audioWhenCallFail": "https://audio.example/busy.wav",
                "audioWhenDtmfErr": "",
                "audioWhenDtmfNeed": None,
            },
        ),
    ]


async def test_removed_number_loses_its_audios(
    mine: Bindings, query: direct.Query, clock: FakeClock
) -> None:
    store = mine.context.store
    await audios.set_for_number(store, X, Audios(URL))
    removed = await operations.remove_number(store, clock, X, is_forced=False)
    assert removed.audio_when_call_fail is None
    assert await query("SELECT 1 FROM call_audio") == []
    await mine.add(X)
    assert (await service.get(store, X)).audio_when_call_fail is None


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("busy.wav", "begins with http"),
        ("ftp://audio.example/busy.wav", "begins with http"),
        ("javascript:alert(1)", "begins with http"),
        ("https://", "begins with http"),
        ("https:///busy.wav", "begins with http"),
        ("https://audio.example:0/busy.wav", "begins with http"),
        ("https://audio.example:99999/busy.wav", "not a URL"),
        ("https://[::1/busy.wav", "not a URL"),
        ("https://audio.example/a b.wav", "without spaces"),
        ("https://audio.example/a.wav\r\nX: y", "without spaces"),
        ("https://audio.example/é.wav", "%XX"),
        ("https://user:hunter22@audio.example/a.wav", "must not have a user"),
        ("https://audio.example/" + "a" * 491, "allowed are 512 characters"),
    ],
)
async def test_urls_that_are_not_allowed(mine: Bindings, url: str, why: str) -> None:
    store = mine.context.store
    for name in ("audioWhenCallFail", "audioWhenDtmfErr", "audioWhenDtmfNeed"):
        given = Audios(*[url if one == name else None for one in NAMES])
        with pytest.raises(ConfigError, match=f"^{name}: ") as raised:
            await audios.set_for_number(store, X, given)
        assert why in str(raised.value)
        assert "hunter22" not in str(raised.value)
        with pytest.raises(ConfigError):
            await audios.set_for_customer(store, mine.context.customer_id, given)
    assert audios.find_problem("https://audio.example/" + "a" * 490) is None


NAMES = ("audioWhenCallFail", "audioWhenDtmfErr", "audioWhenDtmfNeed")


async def test_unknown_owners_are_refused(mine: Bindings, clock: FakeClock) -> None:
    store = mine.context.store
    with pytest.raises(ConfigError, match="no customer has it"):
        await audios.set_for_number(store, "85290000009", Audios(URL))
    with pytest.raises(ConfigError, match="not found"):
        await audios.set_for_customer(store, "nobody", Audios(URL))
    await operations.remove_number(store, clock, X, is_forced=False)
    with pytest.raises(ConfigError, match="no customer has it"):
        await audios.set_for_number(store, X, Audios(URL))


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        (f"UPDATE call_audio SET did = '{X}9' WHERE did = '{X}'", "belongs to no virtual number"),
        (f"UPDATE virtual_number SET state = 'resting' WHERE did = '{X}'", "belongs to no"),
        ("UPDATE call_audio SET customer_id = 'nobody' WHERE did = ''", "belongs to no"),
        ("UPDATE call_audio SET dtmf_need = 'busy.wav' WHERE did = ''", "is not a URL"),
    ],
)
async def test_verify_finds_wrong_audios(
    mine: Bindings, database_url: str, sql: str, why: str
) -> None:
    store, found = mine.context.store, list[str]()
    await audios.set_for_number(store, X, Audios(URL, ""))
    await audios.set_for_customer(store, mine.context.customer_id, Audios(OTHER))
    assert await check_audios(store, found.append) == {}
    assert found == []
    await direct.run(database_url, sql)
    await check_audios(store, found.append)
    (text,) = found
    assert why in text
    assert X not in text
