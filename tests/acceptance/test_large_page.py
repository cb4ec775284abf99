"""A page that is sent in several chunks, through a real socket."""

import csv
import json
from pathlib import Path

from tests.acceptance.conftest import Start, run_openpns, signed

from openpns import limits
from openpns.groups import pages

GROUPS = 40


def test_large_page_is_complete_and_in_order(serve: Start, served_url: str, tmp_path: Path) -> None:
    numbers_each = pages.PHONES_IN_CHUNKED_PAGE_MIN // limits.GROUPS_IN_PAGE_MAX + 1
    file = tmp_path / "groups.csv"
    expected = []
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(["groupName", "phones"])
        for group in range(GROUPS):
            phones = ",".join(f"8613{group:04d}{place:05d}" for place in range(numbers_each))
            rows.writerow([f"Group {group}", phones])
            expected.append((f"Group {group}", phones))
    imported = run_openpns(
        "groups", "import", str(file), "--customer", "cus_1", "--database", served_url
    )
    assert imported.returncode == 0
    server = serve()
    body = b'{"limit":0,"offset":0}'
    connection = server.connect()
    connection.request("POST", "/api/pns/", body, signed("cus_1", "listGroup", body))
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.getheader("transfer-encoding") == "chunked"
    assert answer["requestId"] == response.getheader("x-request-id")
    assert list(answer) == ["code", "msg", "requestId", "data"]
    assert answer["data"]["total"] == GROUPS
    assert [(g["groupName"], g["phones"]) for g in answer["data"]["groups"]] == expected


def test_server_survives_a_client_that_disconnects(serve: Start) -> None:
    server = serve()
    phones = ",".join(f"8613{place:09d}" for place in range(5000))
    for _ in range(60):
        assert server.call("createGroup", {"phones": phones})["code"] == 0
    body = b'{"limit":0,"offset":0}'
    for _ in range(5):
        connection = server.connect()
        connection.request("POST", "/api/pns/", body, signed("cus_1", "listGroup", body))
        connection.getresponse().read(10)
        connection.close()
    assert server.call("listGroup", {"limit": 1, "offset": 59})["data"]["total"] == 60
    assert server.stop() == 0
