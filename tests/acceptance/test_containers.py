"""The Containerfile and samples/kubernetes.yaml name only what exists; the probes are answered.

No engine for containers runs here: decision 0060 has the steps that were run by hand.
"""

import http.client
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.processes import MASTER_KEY, Start, fill

from openpns.cli.root import cli
from openpns.server.config import load_settings, unknown_variables
from openpns.server.settings import Settings

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "kubernetes.yaml"
SERVICE = {
    "OPENPNS_SERVICE_HOST": "10.96.12.7",
    "OPENPNS_SERVICE_PORT": "80",
    "OPENPNS_SERVICE_PORT_API": "80",
    "OPENPNS_PORT": "tcp://10.96.12.7:80",
    "OPENPNS_PORT_80_TCP": "tcp://10.96.12.7:80",
    "OPENPNS_PORT_80_TCP_PORT": "80",
    "OPENPNS_PORT_80_TCP_ADDR": "10.96.12.7",
}
"""What Kubernetes sets for the Service of the sample, unless `enableServiceLinks` is false."""


def parsed(command: list[str]) -> dict[str, Any]:
    """Return the arguments of a command line of openpns; fail if it has none such."""
    with cli.make_context("openpns", [*command]) as context:
        name, found, rest = cli.resolve_command(context, [*command])
        assert found is not None, name
        with found.make_context(name, rest, parent=context) as inner:
            return dict(inner.params)


# -- the image -----------------------------------------------------------------------------------


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage of the Containerfile."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Containerfile").read_text("utf-8"), flags=re.M)
    found: list[list[tuple[str, str]]] = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found.append([])
        found[-1].append((name, " ".join(rest.split())))
    return found


def values(stage: list[tuple[str, str]], name: str) -> list[str]:
    return [rest for instruction, rest in stage if instruction == name]


def test_image_is_built_from_files_that_exist_and_packages_with_known_hashes() -> None:
    build, _ = stages()
    copied: set[str] = set()
    for rest in values(build, "COPY"):
        copied |= set(rest.split()[:-1])
    assert all((ROOT / path).exists() for path in copied)
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", project["project"]["readme"], *wheel["force-include"]}
    needed |= {*project["project"]["license-files"]}
    assert needed | {"src", "requirements/build.txt", "requirements/server.txt"} == copied
    locked = (ROOT / "requirements" / "server.txt").read_text("utf-8")
    extra = project["project"]["optional-dependencies"]["server"]
    for requirement in [*extra, *project["project"]["dependencies"]]:
        assert f"\n{re.split('[>;]', requirement)[0]}==" in f"\n{locked}"
    installs = re.findall(r"\binstall (?!--yes)([^&]*)", " ".join(values(build, "RUN")))
    assert len(installs) == 3
    assert all("--require-hashes" in one or "--no-deps --no-index" in one for one in installs)


def test_image_runs_a_command_that_exists_as_a_user_without_rights() -> None:
    _, final = stages()
    run = " ".join(values(final, "RUN"))
    assert "pip" not in run
    assert re.findall(r"apt-get install (?:--\S+ )*([^&]*)", run) == ["ca-certificates python3 "]
    user = values(final, "USER")
    assert user == ["10001:10001"]
    assert "--uid 10001 --gid 10001" in run
    (folder,) = values(final, "VOLUME")
    assert values(final, "WORKDIR") == [folder]
    assert f"install -d -m 0700 -o openpns -g openpns {folder}" in run
    assert values(final, "STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(*values(final, "ENTRYPOINT")) == ["openpns"]
    assert parsed(json.loads(*values(final, "CMD")))
    pairs = [word.split("=", 1) for word in shlex.split(*values(final, "ENV"))]
    environ = {name: value for name, value in pairs if name.startswith("OPENPNS_")}
    assert unknown_variables(environ) == {}
    settings = load_settings({"database": "sqlite:///x.db"}, environ)
    assert settings.host == "0.0.0.0"
    assert values(final, "EXPOSE") == [f"{settings.port} {admin_port()}"]


# -- Kubernetes ----------------------------------------------------------------------------------


def objects() -> dict[str, Any]:
    """Return the objects of the sample by their kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(SAMPLE.read_text("utf-8"))}


def container(kind: str) -> dict[str, Any]:
    (found,) = objects()[kind]["spec"]["template"]["spec"]["containers"]
    return dict(found)


def environment(kind: str) -> dict[str, str]:
    """Return the variables of a container; those from a secret have an example's value."""
    secrets = {
        "database": "postgresql://openpns_serve@db/openpns",
        "owner-database": "postgresql://openpns@db/openpns",
        "master-key": MASTER_KEY,
    }
    comment = SAMPLE.read_text("utf-8").partition("apiVersion")[0]
    assert set(re.findall(r"--from-literal=([\w-]+)=", comment)) == set(secrets)
    environ = {}
    for one in container(kind)["env"]:
        if "value" in one:
            environ[one["name"]] = one["value"]
        else:
            reference = one["valueFrom"]["secretKeyRef"]
            assert reference["name"] == "openpns"
            environ[one["name"]] = secrets[reference["key"]]
    return environ


def served() -> Settings:
    """Return the settings with which the sample serves."""
    arguments = parsed(container("Deployment")["args"])
    assert arguments.pop("no_cache") is False
    config = arguments.pop("config")
    return load_settings(arguments, environment("Deployment"), config)


def admin_port() -> int:
    port = served().admin_port
    assert port is not None
    return port


def test_kubernetes_names_only_what_openpns_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("Job", "Deployment"):
        assert unknown_variables(environment(kind)) == {}
    settings, serving = served(), container("Deployment")
    ports = {port["name"]: port["containerPort"] for port in serving["ports"]}
    assert ports == {"api": settings.port, "admin": settings.admin_port}
    assert settings.workers * 1000 >= int(serving["resources"]["requests"]["cpu"]) * 1000
    pod = objects()["Deployment"]["spec"]["template"]["spec"]
    (_, sleep_s) = serving["lifecycle"]["preStop"]["exec"]["command"]
    # After the grace time the parent ends its workers within 2 s.
    least_s = int(sleep_s) + settings.shutdown_grace_s + 2
    assert pod["terminationGracePeriodSeconds"] > least_s
    assert serving["readinessProbe"]["timeoutSeconds"] * 1000 > settings.readiness_timeout_ms
    for name, value in environment("Job").items():
        monkeypatch.setenv(name, value)
    migrated = parsed(container("Job")["args"])
    assert migrated["serving_role"] == "openpns_serve"
    assert migrated["serving_role"] in environment("Deployment")["OPENPNS_DATABASE"]


def test_kubernetes_objects_fit_each_other_and_the_image() -> None:
    found = objects()
    pods = {kind: found[kind]["spec"]["template"] for kind in ("Job", "Deployment")}
    labels = pods["Deployment"]["metadata"]["labels"]
    selectors = [
        found["Deployment"]["spec"]["selector"]["matchLabels"],
        found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        found["Service"]["spec"]["selector"],
    ]
    assert selectors == [labels] * 3
    assert pods["Job"]["metadata"]["labels"] != labels, "a Service must not reach a migration"
    assert (
        found["PodDisruptionBudget"]["spec"]["minAvailable"]
        < found["Deployment"]["spec"]["replicas"]
    )
    names = {port["name"] for port in container("Deployment")["ports"]}
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} == {"api"} < names
    assert container("Job")["image"] == container("Deployment")["image"]
    uid, gid = map(int, values(stages()[1], "USER")[0].split(":"))
    for kind, template in pods.items():
        security = template["spec"]["securityContext"]
        assert security["runAsNonRoot"] is True
        assert (security["runAsUser"], security["runAsGroup"]) == (uid, gid)
        assert container(kind)["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert template["spec"]["enableServiceLinks"] is False


async def test_kubernetes_probes_are_answered_in_spite_of_service_links(
    postgres_url: str, start: Start
) -> None:
    """Run the sample's command line, with free ports, and with the variables of its Service."""
    await fill(postgres_url)
    changes = {"8080": "0", "9090": "0", "0.0.0.0": "127.0.0.1"}
    serving = container("Deployment")
    command = [changes.get(word, word) for word in serving["args"]]
    environ = environment("Deployment") | SERVICE | {"OPENPNS_DATABASE": postgres_url}
    server = start(*command, **environ)
    admin = int(server.wait_for(r":([0-9]+)/healthz")[1])
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = serving[probe]["httpGet"]
        assert asked["port"] == "admin"
        assert status(admin, asked["path"]) == 200, probe
    assert server.call("listGroup", {"limit": 1, "offset": 0})["code"] == 0
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.read_text("utf-8").splitlines()]
    assert lines
    assert not [line for line in lines if "OPENPNS_" in str(line)], "no variable is unknown"


def status(port: int, path: str) -> int:
    """Return the status that a probe gets, which names the address of the pod."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path, headers={"Host": "10.244.0.7:9090"})
        return connection.getresponse().status
    finally:
        connection.close()
