import pytest

from openpns.kit import environment

SETTINGS = {
    "OPENPNS_PORT": "8080",
    "OPENPNS_ADMIN_PORT": "9090",
    "OPENPNS_PROFILE": "tcp",
    "OPENPNS_DATABASE": "postgresql://u@tcp/n",
    "PATH": " /bin\n",
}


def test_tidy_keeps_settings_and_the_variables_of_others() -> None:
    environ = dict(SETTINGS)
    environment.tidy(environ)
    assert environ == SETTINGS


@pytest.mark.parametrize("service", ["OPENPNS", "OPENPNS_ADMIN", "OPENPNS_DATABASE"])
def test_tidy_removes_what_kubernetes_sets_for_a_service(service: str) -> None:
    injected = {
        f"{service}_SERVICE_HOST": "10.96.12.7",
        f"{service}_SERVICE_PORT": "8080",
        f"{service}_SERVICE_PORT_HTTP": "8080",
        f"{service}_PORT": "tcp://10.96.12.7:8080",
        f"{service}_PORT_8080_TCP": "tcp://10.96.12.7:8080",
        f"{service}_PORT_8080_TCP_PROTO": "tcp",
        f"{service}_PORT_8080_TCP_PORT": "8080",
        f"{service}_PORT_8080_TCP_ADDR": "10.96.12.7",
        f"{service}_PORT_53_UDP": "udp://10.96.12.7:53",
    }
    linked = {f"{service}_NAME": "/web/openpns", f"{service}_ENV_LANG": "C.UTF-8"}
    environ = injected | linked | {"OPENPNS_HOST": "::"}
    environment.tidy(environ)
    assert environ == {"OPENPNS_HOST": "::"}


@pytest.mark.parametrize("value", ["json\n", "json\r\n", " json\t"])
def test_tidy_removes_the_end_of_a_line(value: str) -> None:
    environ = {"OPENPNS_LOG_FORMAT": value, "OPENPNS_HOST": "\n", "OPENPNS_PORT": ""}
    environment.tidy(environ)
    assert environ == {"OPENPNS_LOG_FORMAT": "json"}


def test_find_unknown_names_the_most_similar_one() -> None:
    environ = {"OPENPNS_WORKER": "4", "OPENPNS_HOST": "x", "OPENPNS_ZZ": "1", "WORKER": "1"}
    assert environment.find_unknown(environ, ["WORKERS", "OPENPNS_HOST"]) == {
        "OPENPNS_WORKER": "OPENPNS_WORKERS",
        "OPENPNS_ZZ": None,
    }
