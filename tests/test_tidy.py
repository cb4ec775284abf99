"""Conventions as tests: sizes, names, tenancy, what an import loads."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

import openpns
from openpns import limits
from openpns.storage.statements import load_statements

ROOT = Path(__file__).parents[1]
SRC = ROOT / "src" / "openpns"

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
LINE_CHARS_MAX = 100

# What a client must not load, below openpns.
NOT_FOR_CLIENTS = {"api", "cli", "core", "diagnosis", "server", "storage", "testing"}


def test_the_tree_is_tidy(sqlite_template: Path) -> None:
    """Read each file once, and report everything that is wrong."""
    tables = "|".join(_tenant_tables(sqlite_template))
    wrong, source, statements = [], [], 0
    for folder in ("src", "tests", "tools", "examples", "bench"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_text("utf-8")
            wrong += [f"{path.relative_to(ROOT)}{what}" for what in _wrong_in_python(text)]
            if path.is_relative_to(SRC):
                source.append(text)
    for path in sorted(SRC.rglob("*.sql")):
        if path.parent.name == "migrations":
            continue
        text = path.read_text("utf-8")
        blocks = re.split(r"^-- (?=[a-z0-9_]+$)", text, flags=re.MULTILINE)[1:]
        statements += len(blocks)
        for block in blocks or [f"{path.name}\n"]:
            name = block.partition("\n")[0]
            wrong += [
                f"{path.relative_to(ROOT)}: {name}: {what}" for what in _wrong_in_sql(block, tables)
            ]
    wrong += _unused_and_unknown_statements("\n".join(source))
    wrong += [f"limits.{name}: is not used" for name in _unused_bounds("\n".join(source))]
    assert not wrong, "\n".join(wrong)
    assert len(source) > 100
    assert statements > 50


def _wrong_in_python(text: str) -> Iterator[str]:
    lines = text.splitlines()
    if len(lines) > MODULE_LINES_MAX:
        yield f": {len(lines)} lines"
    for number, line in enumerate(lines, start=1):
        if len(line) > LINE_CHARS_MAX:
            yield f":{number}: {len(line)} characters"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno
            if length >= FUNCTION_LINES_MAX:
                yield f":{node.lineno}: {node.name}: {length} lines"


def _tenant_tables(migrated: Path) -> list[str]:
    """Return the tables whose rows belong to a customer."""
    with closing(apsw.Connection(str(migrated))) as connection:
        found = connection.execute(
            "SELECT sqlite_schema.name FROM sqlite_schema "
            "JOIN pragma_table_info(sqlite_schema.name) AS info ON info.name = 'customer_id' "
            "WHERE sqlite_schema.type = 'table'"
        ).fetchall()
    tables = [str(name) for (name,) in found]
    assert {"customer", "access_key", "number_group", "audit_entry"} <= set(tables)
    return tables


def _wrong_in_sql(block: str, tenant_tables: str) -> Iterator[str]:
    """Return what is wrong with a statement: its name, its purpose, then its SQL."""
    _, purpose, *rest = [*block.splitlines(), ""]
    if not re.fullmatch(r"-- [A-Z].*[.:;,a-z]", purpose):
        yield "does not say what it is for"
    sql = "\n".join(rest)
    if "-- cross-customer: " in block:
        if not re.search(r"-- cross-customer: \w.{10,}", block):
            yield "does not say why it is not of one customer"
    elif re.search(rf"\b({tenant_tables})\b", sql) and not (
        re.search(r"customer_id = :customer_id|VALUES \(\s*:customer_id", sql)
        or re.search(r"INSERT .*:customer_id", sql, re.DOTALL)
    ):
        yield "does not filter by customer"


def _unused_and_unknown_statements(source: str) -> Iterator[str]:
    named = set(re.findall(r'"([a-z][a-z0-9_]*)"', source))
    # core.commit forms the names of these from the scope of a write.
    for scope in re.findall(r'scope="([a-z_]+)"', source):
        named |= {f"{scope}_revision_change", f"{scope}_quota_find"}
    run = set(re.findall(r'(?:Statement|StatementBatch|fetch|stream)\(\s*"([a-z0-9_]+)"', source))
    for loaded in (set(load_statements("sqlite")), set(load_statements("postgres"))):
        for name in {name.partition(":")[0] for name in loaded} - named:
            yield f"statement {name}: is not used"
        for name in run - loaded:
            yield f"statement {name}: does not exist"


def _unused_bounds(source: str) -> list[str]:
    names = [name for name in vars(limits) if name.isupper()]
    assert names
    return [name for name in names if f"limits.{name}" not in source]


def _loaded_by(code: str) -> set[str]:
    """The modules that are loaded after some code ran in a new process."""
    run = [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.check_output(run, text=True).split())


def test_importing_openpns_loads_neither_server_nor_client() -> None:
    loaded = _loaded_by("import openpns")
    ours = {name for name in loaded if name.startswith("openpns")}
    errors = {f"openpns.errors{module}" for module in ("", ".base", ".wire")}
    assert ours == {"openpns"} | errors
    assert not {"httpx2", "msgspec", "click", "asyncio"} & loaded


USE_A_CLIENT = """
import httpx2, openpns
page = {"code": 0, "data": {"groups": [], "total": 0}}
transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=page))
with openpns.Client("https://pns.test", "key", "secret", transport=transport) as pns:
    pns.groups.list()
"""


def test_a_client_loads_no_server_and_nothing_that_only_the_server_needs() -> None:
    loaded = _loaded_by(USE_A_CLIENT)
    assert "httpx2" in loaded
    with (ROOT / "pyproject.toml").open("rb") as file:
        extra = tomllib.load(file)["project"]["optional-dependencies"]["server"]
    heavy = {re.split(r"[><=;]", need)[0].replace("-", "_") for need in extra}
    assert {"httptools", "uvloop", "apsw", "asyncpg", "cryptography", "prometheus_client"} <= heavy
    assert not (heavy | {"asyncio"}) & loaded
    ours = [name.split(".")[1:] for name in loaded if name.startswith("openpns.")]
    assert not NOT_FOR_CLIENTS & {first for first, *_ in ours}
    # Of a feature, its wire structs only.
    assert all(rest in ([], ["wire"]) for first, *rest in ours if first in ("groups", "accounts"))


def test_receiving_webhooks_loads_neither_server_nor_client() -> None:
    loaded = _loaded_by("import openpns.webhooks")
    ours = {name.split(".")[1] for name in loaded if name.startswith("openpns.")}
    assert ours == {"webhooks", "errors", "kit", "clock"}
    assert "standardwebhooks" in loaded
    assert not {"httpx2", "click", "asyncio", "cryptography", "apsw"} & loaded


def test_missing_library_of_webhooks_is_named() -> None:
    code = "import sys; sys.modules['standardwebhooks'] = None; import openpns.webhooks"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: openpns.webhooks needs the package standardwebhooks; install it "
        "with: pip install 'openpns[webhooks]'"
    )


def test_a_server_has_no_means_to_call_others() -> None:
    loaded = _loaded_by("import openpns.server.run, openpns.server.worker")
    assert "httptools" in loaded
    assert "prometheus_client" not in _loaded_by("import openpns.server.worker")
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
    # Only a server tells these from ServiceUnavailable and ParameterError: the codes are the same.
    # Two others are of commands on a database.
    own = {"Overloaded", "ParameterUnfit", "DatabaseUnavailable", "EntryNotFound"}
    assert errors - own <= set(openpns.__all__)


def test_every_test_file_mirrors_a_module() -> None:
    free = {"contract", "acceptance", "examples", "promises", "simulation"}
    free_files = {
        Path("api/test_garbage.py"),
        Path("api/test_pipeline_rates.py"),
        Path("client/test_against_server.py"),
        Path("client/test_exchange_retries.py"),
        Path("bindings/test_dry_runs.py"),
        Path("call_records/test_quotas.py"),
        Path("client/test_typing.py"),
        Path("core/test_idempotency_nonces.py"),
        Path("storage/test_plans.py"),
        Path("testing/test_emulator_processes.py"),
        Path("deliveries/test_agreement.py"),
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


def test_every_package_and_action_is_pinned_by_its_content() -> None:
    for path in sorted((ROOT / "requirements").glob("*.txt")):
        for requirement in re.split(r"\n(?! )", path.read_text("utf-8").strip()):
            assert re.match(r"\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement, re.S), (
                requirement
            )
    workflows = [*(ROOT / ".github" / "workflows").glob("*.yml")]
    assert workflows
    for workflow in workflows:
        for used in re.findall(r"uses: (.*)", workflow.read_text("utf-8")):
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}  # v[\d.]+", used), used
