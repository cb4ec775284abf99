"""A test of your own code against openpns: pip install 'openpns[testing]', then pytest.

`phones_of` represents your code: it sends a listGroup with the standard library only.
"""

import hashlib
import json
import time
import urllib.error
import urllib.request

import pytest

from openpns.testing import Emulator


def phones_of(base_url: str, access_key: str, access_secret: str, group: str) -> list[str]:
    """Return the phone numbers of a group, found by its name among the first 1000 groups."""
    body = json.dumps({"limit": 0, "offset": 0})
    ts = str(time.time_ns() // 1_000_000)
    text = f"accessKey={access_key}&action=listGroup&bizType=5&ts={ts}&body={body}"
    signed = hashlib.md5(f"{text}&accessSecret={access_secret}".encode()).hexdigest()
    headers = {
        "accessKey": access_key,
        "action": "listGroup",
        "bizType": "5",
        "ts": ts,
        "sign": signed,
        "Content-Type": "application/json",
    }
    request = urllib.request.Request(f"{base_url}/api/pns/", body.encode(), headers)
    for is_last in (False, True):
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                answer = json.load(response)
                break
        except urllib.error.HTTPError as error:
            if error.code != 503 or is_last:  # unavailable: retry once
                raise
    if answer["code"] != 0:
        raise RuntimeError(answer["msg"])
    for found in answer["data"]["groups"]:
        if found["groupName"] == group:
            return [phone for phone in found["phones"].split(",") if phone]
    raise LookupError(group)


def run(pns: Emulator, group: str) -> list[str]:
    """Run the code under test."""
    return phones_of(pns.base_url, pns.access_key, pns.access_secret, group)


def test_phones_of_finds_group_by_name(pns_server: Emulator) -> None:
    """The fixture gives each test an empty server."""
    pns_server.add_group(["85211111114", "85235753351"], name="night shift")
    assert run(pns_server, "night shift") == ["85211111114", "85235753351"]
    assert [request.action for request in pns_server.requests] == ["listGroup"]


def test_phones_of_retries_after_503(pns_server: Emulator) -> None:
    """A fault makes the next request, or the next few, fail."""
    pns_server.add_group(["85211111114"], name="night shift")
    pns_server.faults.unavailable()
    assert run(pns_server, "night shift") == ["85211111114"]
    assert [request.code for request in pns_server.requests] == [19004, 0]


def test_phones_of_raises_for_wrong_clock(pns_server: Emulator) -> None:
    """The server's clock can be moved."""
    pns_server.clock.advance(seconds=120)
    with pytest.raises(RuntimeError, match="Timestamp has expired"):
        run(pns_server, "night shift")
