"""The rules of the house that matter, as tests: sizes, who imports whom, names, tenancy."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import openpns
from openpns import limits
from openpns.api.registry import ACTIONS
from openpns.groups import wire
from openpns.storage.statements import load_statements

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "openpns"
MODULES = sorted(SRC.rglob("*.py"))
PYTHON_FILES = sorted(
    path
    for folder in ("src", "tests", "tools", "examples", "bench")
    for path in (ROOT / folder).rglob("*.py")
)

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LINE_CHARS_MAX = 100

# Who may import whom: a layer sees itself and those before it, but for the two notes below.
LAYERS = ("leaf", "wire", "client", "storage", "domain", "server", "testing", "cli")
LAYER_OF = {
    "errors": "leaf",
    "limits": "leaf",
    "clock": "leaf",
    "ids": "leaf",
    "numbers": "leaf",
    "names": "leaf",
    "signing": "wire",
    "signing_mistakes": "wire",
    "protocol": "wire",
    "client": "client",
    "storage": "storage",
    "domain": "domain",
    "server": "server",
    "testing": "testing",
    "cli": "cli",
}
TENANT_TABLES = (
    "number_group", "group_member", "group_phone_chunk", "group_order_gap", "group_tombstone",
    "customer_state", "idempotency_record", "access_key", "customer", "audit_entry",
)  # fmt: skip


def _name(path: Path) -> str:
    return ".".join(path.relative_to(SRC.parent).with_suffix("").parts).removesuffix(".__init__")


def _imports(path: Path) -> set[str]:
    """Every openpns module that a module names in an import, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    modules = {_name(module) for module in MODULES}
    return (found & modules) - {"openpns"}


def _layer(module: str) -> int | None:
    part = module.split(".")[1] if "." in module else ""
    return LAYERS.index(LAYER_OF[part]) if part in LAYER_OF else None


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_imports_only_layers_below_it(path: Path) -> None:
    own = _layer(_name(path))
    if own is None:
        assert path == SRC / "__init__.py"
        return
    for imported in _imports(path):
        layer = _layer(imported)
        assert layer is not None
        assert layer <= own, f"{_name(path)} imports {imported}"
        assert not (LAYERS[own] == "storage" and LAYERS[layer] == "client")
        if LAYERS[own] == "domain" and LAYERS[layer] == "storage":
            assert imported in ("openpns.storage", "openpns.storage.store")
        if LAYERS[own] == "server" and LAYERS[layer] == "storage" and path.name != "app.py":
            assert imported == "openpns.storage.store"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {_name(path): _imports(path) for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join((*trail, module))
        if module not in done:
            for imported in graph[module]:
                visit(imported, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def _loaded_by(code: str) -> set[str]:
    """The modules that are there after some code ran in a new process."""
    run = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.check_output(run, text=True).split())


def test_importing_openpns_loads_neither_server_nor_client() -> None:
    loaded = _loaded_by("import openpns")
    assert {name for name in loaded if name.startswith("openpns")} == {"openpns", "openpns.errors"}
    assert not {"httpx2", "msgspec", "click", "asyncio"} & loaded


USE_A_CLIENT = """
import httpx2, openpns
page = {"code": 0, "data": {"groups": [], "total": 0}}
transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=page))
with openpns.Client("http://pns.test", "key", "secret", transport=transport) as pns:
    pns.groups.list()
"""


def test_a_client_loads_no_server_and_nothing_that_only_the_server_needs() -> None:
    loaded = _loaded_by(USE_A_CLIENT)
    assert "httpx2" in loaded
    with (ROOT / "pyproject.toml").open("rb") as file:
        extra = tomllib.load(file)["project"]["optional-dependencies"]["server"]
    heavy = {re.split(r"[><=;]", need)[0].replace("-", "_") for need in extra}
    assert {"granian", "apsw", "asyncpg", "cryptography", "prometheus_client"} <= heavy
    assert not (heavy | {"asyncio"}) & loaded
    ours = {name.split(".")[1] for name in loaded if name.startswith("openpns.")}
    assert {LAYER_OF[name] for name in ours} == {"leaf", "wire", "client"}


def test_a_server_has_no_means_to_call_others() -> None:
    loaded = _loaded_by("import openpns.server.run, openpns.server.asgi")
    assert "granian" in loaded
    assert not {"httpx2", "openpns.client", "urllib3", "requests"} & loaded


def test_every_public_name_can_be_had_and_is_listed() -> None:
    assert {name for name in openpns.__all__ if getattr(openpns, name, None) is None} == set()
    assert set(openpns.__all__) <= set(dir(openpns))
    with pytest.raises(AttributeError, match="module 'openpns' has no attribute 'Clinet'"):
        openpns.Clinet  # type: ignore[attr-defined]  # noqa: B018


def test_every_error_that_a_client_can_raise_is_a_public_name() -> None:
    def below(kind: type[Exception]) -> set[str]:
        return {kind.__name__}.union(*map(below, kind.__subclasses__()))

    errors = {name for name in below(openpns.OpenPNSError) if hasattr(openpns.errors, name)}
    # Only a server tells this one from ServiceUnavailable: code and status are the same.
    assert errors - {"Overloaded"} <= set(openpns.__all__)


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_short_enough_to_read(path: Path) -> None:
    text = path.read_text("utf-8")
    lines = text.splitlines()
    assert len(lines) <= MODULE_LINES_MAX
    assert max(map(len, lines), default=0) <= LINE_CHARS_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES_MAX, node.name


@pytest.mark.parametrize("file", sorted((SRC / "storage" / "sql").glob("*.sql")), ids=str)
def test_every_statement_says_what_it_is_for_and_filters_by_customer(file: Path) -> None:
    blocks = re.split(r"^-- (?=[a-z0-9_]+$)", file.read_text("utf-8"), flags=re.MULTILINE)[1:]
    assert blocks
    for block in blocks:
        name, purpose, *rest = block.splitlines()
        assert re.fullmatch(r"-- [A-Z].*[.:;,a-z]", purpose), name
        sql = "\n".join(rest)
        if "-- cross-customer: " in block:
            assert re.search(r"-- cross-customer: \w.{10,}", block), name
        elif re.search(rf"\b({'|'.join(TENANT_TABLES)})\b", sql):
            assert re.search(r"customer_id = :customer_id|VALUES \(\s*:customer_id", sql) or (
                re.search(r"INSERT .*:customer_id", sql, re.DOTALL)
            ), name


@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_every_statement_is_used_and_every_used_one_exists(engine: str) -> None:
    assert engine in ("sqlite", "postgres")
    source = "\n".join(path.read_text("utf-8") for path in MODULES)
    used = set(
        re.findall(
            r'"((?:audit|group|customer|key|node|master_key|idempotency_record)_[a-z_]+)"', source
        )
    )
    loaded = set(load_statements("sqlite" if engine == "sqlite" else "postgres"))
    assert {name.partition(":")[0] for name in loaded} <= used
    statements = re.findall(r'(?:Statement|StatementBatch|fetch|stream)\(\s*"([a-z_]+)"', source)
    assert set(statements) <= loaded


@pytest.mark.parametrize("wire_name", ACTIONS)
def test_an_action_has_one_name_from_the_wire_to_the_database(wire_name: str) -> None:
    verb = re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", wire_name.replace("Group", ""))
    action = ACTIONS[wire_name]
    assert action.request is getattr(wire, wire_name[0].upper() + wire_name[1:])
    assert action.run.__name__ == verb
    assert f"group_{verb}" in load_statements("sqlite")
    assert (ROOT / "docs" / "api" / f"{wire_name}.md").exists()


def test_every_bound_is_used() -> None:
    names = [name for name in vars(limits) if name.isupper()]
    users = [path for path in MODULES if path.name != "limits.py"]
    source = "\n".join(path.read_text("utf-8") for path in users)
    assert [name for name in names if f"limits.{name}" not in source] == []


def test_every_test_file_stands_where_its_module_stands() -> None:
    free = {"contract", "acceptance", "examples", "promises", "simulation"}
    free_files = {
        Path("client/test_against_server.py"),
        Path("client/test_typing.py"),
        Path("storage/test_plans.py"),
    }
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.relative_to(ROOT / "tests").parent
        if folder.parts[:1] in [(name,) for name in free] or path.parent == ROOT / "tests":
            continue
        if path.relative_to(ROOT / "tests") in free_files:
            continue
        root = ROOT if folder.parts[:1] == ("bench",) else SRC
        module = root / folder / f"{path.name.removeprefix('test_')}"
        package = module.with_suffix("") / "__init__.py"
        assert module.exists() or package.exists(), path
