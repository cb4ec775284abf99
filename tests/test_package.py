"""The wheel and the source distribution: what is in them, and that the wheel runs."""

import email
import hashlib
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SAMPLE = "samples/groups.csv"


def build(source: Path, target: Path, kind: str) -> Path:
    """Build a distribution of a source tree, as `make dist` does; return the file."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def digests(wheel: Path) -> dict[str, str]:
    """Return the digest of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


def test_wheel_has_the_whole_package_and_nothing_else(wheel: Path) -> None:
    files = {path for path in (ROOT / "src" / "openpns").rglob("*") if path.is_file()}
    expected = {str(path.relative_to(ROOT / "src")) for path in files if path.suffix != ".pyc"}
    expected.add(f"openpns/{SAMPLE}")
    found = {name for name in digests(wheel) if ".dist-info/" not in name}
    assert found == expected
    assert {"openpns/py.typed", "openpns/storage/postgres/schema.txt"} <= found
    assert sum(name.endswith(".sql") for name in found) > 50


def test_metadata_of_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (folder,) = {n.partition("/")[0] for n in archive.namelist() if ".dist-info/" in n}
        metadata = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        entry_points = archive.read(f"{folder}/entry_points.txt").decode()
        licence = archive.read(f"{folder}/licenses/LICENSE")
    assert metadata["License-Expression"] == "Apache-2.0"
    assert licence == (ROOT / "LICENSE").read_bytes()
    assert metadata["Description-Content-Type"] == "text/markdown"
    described = str(metadata.get_payload(decode=True), "utf-8")  # type: ignore[arg-type]
    assert described == (ROOT / "README.md").read_text("utf-8")
    assert set(metadata.get_all("Provides-Extra", [])) == {"server", "testing", "webhooks"}
    assert "openpns = openpns.cli.main:main" in entry_points
    assert "openpns = openpns.testing.plugin" in entry_points


def test_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    packed = build(ROOT, tmp_path, "sdist")
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = (path for path in tmp_path.iterdir() if path.is_dir())
    folders = {path.name for path in source.iterdir()}
    assert {"src", "tests", "docs", "requirements", "Makefile", "LICENSE"} <= folders
    assert not {".git", ".ci", ".github", ".venv", "var", "dist"} & folders
    again = build(source, tmp_path / "again", "wheel")
    assert digests(again) == digests(wheel)


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Path:
    """The folder of programs of an environment with the wheel, beside this one's dependencies."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (packages,) = (venv / "lib").glob("python*/site-packages")
    # Its own packages come first; a path in such a file reads no further such files.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(venv), "--disable-pip-version-check"]
    install = [*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return venv / "bin"


@pytest.fixture
def quickstart(installed: Path, tmp_path: Path) -> Iterator[Path]:
    """The output of quickstart, in an empty environment and an empty folder."""
    work, log = tmp_path / "work", tmp_path / "log"
    work.mkdir()
    with log.open("wb") as out:
        command = [str(installed / "openpns"), "quickstart", "--port", "0"]
        process = subprocess.Popen(command, stdout=out, stderr=out, cwd=work, env={})
    yield log
    process.terminate()
    assert process.wait(60) == 0, log.read_text()


@pytest.mark.slow
def test_installed_wheel_serves_a_signed_request(installed: Path, quickstart: Path) -> None:
    python = [str(installed / "python"), "-c", "import openpns; print(openpns.__file__)"]
    where = subprocess.check_output(python, env={}, text=True)
    assert where.startswith(str(installed.parent))
    version = subprocess.check_output([installed / "openpns", "--version"], env={}, text=True)
    assert re.fullmatch(r"openpns,? (version )?\d+\.\d+\.\d+\S*\n", version)
    for _ in range(600):
        text = quickstart.read_text()
        if "Serving until Ctrl-C" in text:
            break
        time.sleep(0.05)
    answer = json.loads(text.partition("and its response:")[2].partition("\n\nServing")[0])
    assert (answer["code"], answer["data"]["total"]) == (0, 300)
