"""A test of your own code against openpns: pip install 'openpns[testing]', then pytest.

`numbers_of` stands for your code: it calls listGroup with the standard library alone.
"""

import hashlib
import json
import time
import urllib.error
import urllib.request

import pytest

from openpns.testing import Emulator


def numbers_of(base_url: str, access_key: str, access_secret: str, group: str) -> list[str]:
    """Return the numbers of a group, found by its name among the first 1000 groups."""
    body = json.dumps({"limit": 0, "offset": 0})
    ts = str(int(time.time() * 1000))
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
            if error.code != 503 or is_last:  # unavailable: try once more
                raise
    if answer["code"] != 0:
        raise RuntimeError(answer["msg"])
    for found in answer["data"]["groups"]:
        if found["groupName"] == group:
            return [number for number in found["phones"].split(",") if number]
    raise LookupError(group)


def ask(pns: Emulator, group: str) -> list[str]:
    """Call the code under test."""
    return numbers_of(pns.base_url, pns.access_key, pns.access_secret, group)


def test_the_numbers_of_a_group_are_found(pns_server: Emulator) -> None:
    """The fixture gives each test an empty server."""
    pns_server.add_group(["85211111114", "85235753351"], name="night shift")
    assert ask(pns_server, "night shift") == ["85211111114", "85235753351"]
    assert [call.action for call in pns_server.calls] == ["listGroup"]


def test_a_short_outage_is_got_over(pns_server: Emulator) -> None:
    """A fault switch makes the next call, or the next few, fail."""
    pns_server.add_group(["85211111114"], name="night shift")
    pns_server.faults.unavailable()
    assert ask(pns_server, "night shift") == ["85211111114"]
    assert [call.code for call in pns_server.calls] == [19004, 0]


def test_a_wrong_clock_is_told(pns_server: Emulator) -> None:
    """The server's clock can be moved."""
    pns_server.clock.advance(seconds=120)
    with pytest.raises(RuntimeError, match="Timestamp has expired"):
        ask(pns_server, "night shift")
