"""The rules of the house that matter, as tests: sizes, who imports whom, names, tenancy."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from openpns import limits
from openpns.domain import groups
from openpns.protocol import groups as wire
from openpns.server.actions import ACTIONS
from openpns.storage.statements import load_statements

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "openpns"
MODULES = sorted(SRC.rglob("*.py"))
PYTHON_FILES = sorted(
    path for folder in ("src", "tests", "tools") for path in (ROOT / folder).rglob("*.py")
)

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LINE_CHARS_MAX = 100

# Who may import whom: a layer sees itself and those before it, but for the two notes below.
LAYERS = ("leaf", "wire", "client", "storage", "domain", "server", "cli")
LAYER_OF = {
    "errors": "leaf",
    "limits": "leaf",
    "clock": "leaf",
    "ids": "leaf",
    "numbers": "leaf",
    "signing": "wire",
    "protocol": "wire",
    "client": "client",
    "storage": "storage",
    "domain": "domain",
    "server": "server",
    "cli": "cli",
}
TENANT_TABLES = ("number_group", "group_member", "group_counter", "access_key", "customer")


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


def test_importing_openpns_loads_no_server_and_no_driver() -> None:
    code = "import sys, openpns; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    heavy = ("apsw", "asyncpg", "granian", "cryptography", "phonenumbers", "structlog")
    ours = ("openpns.server", "openpns.storage", "openpns.domain")
    assert not [name for name in loaded if name.startswith((*heavy, *ours))]


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
    used = set(re.findall(r'"((?:group|customer|key|node|master_key)_[a-z_]+)"', source))
    loaded = set(load_statements("sqlite" if engine == "sqlite" else "postgres"))
    assert loaded <= used
    statements = re.findall(r'(?:Statement|StatementMany|fetch|stream)\(\s*"([a-z_]+)"', source)
    assert set(statements) <= loaded


@pytest.mark.parametrize("wire_name", ACTIONS)
def test_an_action_has_one_name_from_the_wire_to_the_database(wire_name: str) -> None:
    verb = wire_name.removesuffix("Group")
    action = ACTIONS[wire_name]
    assert action.request is getattr(wire, verb.capitalize() + "Group")
    assert action.run is getattr(groups, verb)
    assert f"group_{verb}" in load_statements("sqlite")
    assert (ROOT / "docs" / "api" / f"{wire_name}.md").exists()


def test_every_bound_is_used() -> None:
    names = [name for name in vars(limits) if name.isupper()]
    users = [path for path in MODULES if path.name != "limits.py"]
    source = "\n".join(path.read_text("utf-8") for path in users)
    assert [name for name in names if f"limits.{name}" not in source] == []


def test_every_test_file_stands_where_its_module_stands() -> None:
    free = {"contract", "acceptance", "simulation"}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        folder = path.relative_to(ROOT / "tests").parent
        if folder.parts[:1] in [(name,) for name in free] or path.parent == ROOT / "tests":
            continue
        module = SRC / folder / f"{path.name.removeprefix('test_')}"
        package = module.with_suffix("") / "__init__.py"
        assert module.exists() or package.exists(), path
