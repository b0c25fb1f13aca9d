"""The wheel, built and installed as a stranger would, without the network."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from chez_sandbox.runtime.artifact import find_artifact

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("engine/chez", "engine/chez_deposit", "engine/chez_durable", "engine/chez_wire", "relay/chez_relay",
            "sandbox/chez_sandbox")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COMPILING = """
import asyncio, sys
from pathlib import Path
from chez_sandbox.runtime.compiled import Binary, CodeCache

async def main():
    codes = CodeCache(Path(sys.argv[1]), bytes(32))
    await codes.get(await Binary.of(bytes.fromhex("0061736d0d000100"), trusted=True))
    codes.close()

asyncio.run(main())
"""
"""Compiles the smallest component there is into a folder."""


def call(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a program that must succeed, in an environment that leads to no copy of Chez."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(words, cwd=cwd, env={**clean, **(env or {})}, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout


def build(kind: str, source: Path, folder: Path) -> Path:
    """Build a wheel or an sdist with the hatchling that is installed here."""
    call(sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", folder, cwd=source)
    (made,) = folder.iterdir()
    return made


def wheel_name(path: str) -> str:
    """What a file of the repository is called inside the wheel."""
    return path.partition("/")[2]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source distribution of this tree."""
    return build("sdist", ROOT, tmp_path_factory.mktemp("sdist"))


@dataclass(frozen=True, slots=True)
class Installed:
    """A virtual environment that has the wheel, and this one's packages without their Chez."""

    folder: Path

    @property
    def packages(self) -> Path:
        """Where the wheel's packages are."""
        (found,) = (self.folder / "venv" / "lib").glob("python*/site-packages")
        return found

    def run(self, program: str, *words: str) -> str:
        """Run one of its programs from a folder of its own."""
        return call(self.folder / "venv" / "bin" / program, *words, cwd=self.folder,
                    env={"XDG_CACHE_HOME": str(self.folder / "cache")})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    call(sys.executable, ROOT / "bin" / "build-runtime", cwd=ROOT)
    return build("wheel", ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, installed by pip."""
    made = Installed(tmp_path_factory.mktemp("installed"))
    call(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=made.folder)
    python = made.folder / "venv" / "bin" / "python"
    call(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=made.folder)
    # After pip, which must see nothing of it. Path files inside a folder named by a path
    # file are not followed, so the editable install there stays out.
    (made.packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def test_the_wheel_has_every_file_and_the_runtime(wheel: Path) -> None:
    """It holds what git tracks of the four packages, byte for byte, plus the one artifact of this tree."""
    listed = subprocess.run(["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, check=True)
    tracked = [name for name in listed.stdout.decode().split("\0") if name]
    artifact = find_artifact()
    wanted = {wheel_name(name): ROOT / name for name in (*tracked, str(artifact.relative_to(ROOT)))}
    with zipfile.ZipFile(wheel) as archive:
        assert {name for name, path in wanted.items() if archive.read(name) != path.read_bytes()} == set()
        runtimes = [name for name in archive.namelist() if name.endswith(".wasm")]
    assert runtimes == [f"chez_sandbox/runtime/_built/{artifact.name}"]
    for name in ("chez_sandbox/wit/job.wit", "chez_sandbox/runtime/guest/app.py", "chez/store/schema/0001.sql",
                 "chez_relay/storage/schema/0001.sql", "chez_sandbox/provider/template/job.py.template",
                 "chez/py.typed", "chez_deposit/py.typed", "chez_wire/py.typed", "chez_relay/py.typed",
                 "chez_sandbox/py.typed"):
        assert name in wanted


def test_an_installed_wheel_runs_a_python_job(installed: Installed) -> None:
    """Everything is loaded from the installed copy, which compiles a component, and a job made by `chez-job new` runs
    in its sandbox.

    The runtime's own code is put beside it, as set-up does (docs/decisions/0065): to compile it takes half a minute of
    the processor, and no other way than any component.
    """
    code = ("import chez, chez_wire, chez_relay, chez_sandbox\n"
            "from chez_sandbox.runtime.artifact import artifact_path, find_artifact\n"
            "assert find_artifact() == artifact_path()\n"
            "print(chez.__file__, chez_wire.__file__, chez_relay.__file__, chez_sandbox.__file__, find_artifact())\n")
    loaded = installed.run("python", "-c", code).split()
    assert len(loaded) == 5
    assert [path for path in loaded if not Path(path).is_relative_to(installed.packages)] == []
    installed.run("python", "-c", COMPILING, "code")
    assert [path.suffix for path in (installed.folder / "code").iterdir()] == [".code"]
    (code_here,) = find_artifact().parent.glob("*.code")
    shutil.copy(code_here, installed.packages / "chez_sandbox" / "runtime" / "_built")
    installed.run("chez-job", "new", "my-job")
    facts = json.loads(installed.run("chez-job", "test", "--json", "my-job"))
    assert facts["passed"] and facts["same"] and facts["result"] == '{"watts":1100}'


def test_an_installed_wheel_is_typed(installed: Installed) -> None:
    """mypy takes the types of the installed packages (py.typed), and finds every mistake with them."""
    programs = sorted((ROOT / "tests" / "typing" / "programs").glob("*.py"))
    python = installed.folder / "venv" / "bin" / "python"
    said = call(sys.executable, "-m", "mypy", "--config-file=", "--strict", "--python-executable", python,
                "--cache-dir", installed.folder / "types", *programs, cwd=installed.folder)
    assert f"no issues found in {len(programs)} source files" in said


def test_the_programs_of_an_installed_wheel(installed: Installed) -> None:
    """The four programs answer, the sandbox's commands inside `chez` included, and a home can be made."""
    for program in ("chez", "chez-relay", "chez-job", "chez-deposit"):
        assert "Usage: " in installed.run(program, "--help")
    assert "grant" in installed.run("chez", "job", "--help")
    passphrase = installed.folder / "passphrase"
    passphrase.write_text("correct horse\n")
    passphrase.chmod(0o600)
    home = ("--home", "home", "--passphrase-file", "passphrase")
    installed.run("chez", *home, "init", "--kdf", "minimum", "--words-file", "words")
    installed.run("chez", *home, "put", "notes", "tea", "cups=2")
    assert json.loads(installed.run("chez", "--json", *home, "get", "notes", "tea"))["value"] == {"cups": 2}


def test_a_wheel_from_the_sdist_builds_its_own_runtime(sdist: Path, tmp_path: Path) -> None:
    """The sdist has no artifact and all that is needed to make it: the hook builds it, under the same name."""
    with tarfile.open(sdist) as packed:
        assert [name for name in packed.getnames() if name.endswith(".wasm")] == []
        packed.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(build("wheel", source, tmp_path / "wheel")) as made:
        runtime = made.read(f"chez_sandbox/runtime/_built/{find_artifact().name}")
    assert runtime[:8] == b"\0asm\x0d\0\x01\0"  # a component, not a core module


def test_an_editable_install_needs_no_runtime(sdist: Path, tmp_path: Path) -> None:
    """bin/setup installs before the artifact is built: the hook then asks for nothing and adds nothing."""
    with tarfile.open(sdist) as packed:
        packed.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    code = ("import sys; sys.modules['componentize_py'] = None\n"
            "from hatchling.build import build_editable; print(build_editable(sys.argv[1]))\n")
    name = call(sys.executable, "-c", code, tmp_path, cwd=source).split()[-1]
    with zipfile.ZipFile(tmp_path / name) as made:
        assert [one for one in made.namelist() if not one.endswith(".pth") and ".dist-info/" not in one] == []
    assert list(source.rglob("*.wasm")) == []
