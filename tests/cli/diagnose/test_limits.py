from tests.cli.conftest import Run, SharedServer
from tests.helpers import on_sqlite_only


@on_sqlite_only
def test_limits_prints_every_limit_and_its_usage(run_anywhere: Run, server: SharedServer) -> None:
    server.call("createGroup", {"phones": "85211111114,85235753351"})
    *table, schemes = run_anywhere("limits").out.splitlines()
    assert schemes == "schemes: md5, sha256, hmac-sha256"
    head, *rows = [line.split() for line in table]
    assert head == ["limit", "max", "used"]
    shown = {name: (most, used) for name, most, used in rows}
    assert shown["groups"] == ("2000000", "1")
    assert shown["callsPerSecond"] == ("-", "-")
    assert shown["numbersInGroup"] == ("10000", "2")
    assert shown["groupsInPage"] == ("1000", "-")
    data = run_anywhere("limits", "--json").json
    assert data["schemes"] == ["md5", "sha256", "hmac-sha256"]
    found = data["limits"]
    assert list(found) == list(shown)
    assert found["numbers"] == {"max": 20_000_000, "used": 2}
    assert found["numbersInRequest"] == {"max": 10_000, "used": None}
