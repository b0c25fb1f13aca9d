"""The container file without a container: what it names is there, and its commands are run as it gives them.

Nothing on a developer's machine may build images; a step that no longer fits the project fails here all the same.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chez.sync.connection import connect
from chez_relay.config import load
from chez_wire.login import Role
from tests.relay.support import Space, relay
from tests.relay.test_operating import status

ROOT = Path(__file__).parents[2]
SPACE = Space()


def steps() -> list[tuple[str, str]]:
    """The container file's instructions and what each is given, lines that go on joined."""
    text = (ROOT / "relay/deploy/Containerfile").read_text()
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    parts = [line.partition(" ") for line in lines if line.strip() and not line.startswith("#")]
    return [(name, given.strip()) for name, _, given in parts]


def given(instruction: str) -> list[str]:
    """What an instruction is given, each time."""
    return [value for name, value in steps() if name == instruction]


def variables() -> dict[str, str]:
    """The environment that the image has."""
    return dict(pair.split("=", 1) for value in given("ENV") for pair in shlex.split(value))


def image(folder: Path) -> Path:
    """What the file copies, at the places that it says."""
    for value in given("COPY"):
        source, target = value.split()
        place = folder / target.lstrip("/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            place.mkdir(parents=True)
            shutil.copy(ROOT / source, place)
    return folder


def ran(*command: str) -> subprocess.CompletedProcess[str]:
    """Python, with the environment that is set."""
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)


def test_the_packages_it_takes_from_the_lock_are_those_it_names_each_with_hashes(tmp_path: Path) -> None:
    """Its own selection, run on the lock: every package once, in one version, no line without a hash."""
    (run,) = given("RUN")
    selecting, installing = run.split("&&")[:2]
    made = tmp_path / "requirements.txt"
    place = image(tmp_path / "image") / "src/requirements.lock"
    selecting = selecting.replace("/src/requirements.lock", str(place)).replace("/tmp/requirements.txt", str(made))
    subprocess.run(["sh", "-c", selecting], check=True)
    blocks = re.split(r"\n(?=\S)", made.read_text().strip())
    wanted = re.search(r"\^\(([a-z|-]+)\)==", run)
    assert wanted
    assert [block.split("==")[0] for block in blocks] == sorted(wanted[1].split("|"))
    hashed = re.compile(r"[a-z-]+==\S+(?: ; [^\\]+?)?(?: \\\n +--hash=sha256:[0-9a-f]{64})+")
    assert all(hashed.fullmatch(block) for block in blocks)
    assert {"--require-hashes", "--no-cache-dir", "-r"} <= {*shlex.split(installing)}


def test_it_runs_as_nobody_in_particular_over_a_volume() -> None:
    """The user is made, owns the data folder and is taken before the relay starts; data and port are the settings'."""
    order = [name for name, _ in steps()]
    (user,), (run,), (volume,), (port,) = given("USER"), given("RUN"), given("VOLUME"), given("EXPOSE")
    assert order.index("RUN") < order.index("USER") < order.index("ENTRYPOINT")
    assert user not in ("root", "0") and re.search(rf"useradd --uid \d{{5}} [^&]*\b{user}\b", run)
    assert f"install -d -m 0700 -o {user} {volume}" in run
    assert variables()["CHEZ_RELAY_DATA"] == volume and variables()["CHEZ_RELAY_LISTEN"].endswith(f":{port}")
    assert variables()["CHEZ_RELAY_STATUS"].startswith("127.0.0.1:")  # for its own check alone
    assert given("STOPSIGNAL") == ["SIGTERM"]


async def test_what_it_copies_serves_is_well_and_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its entry point, over nothing but what it copies, serves a device; its check says so; its signal ends it well."""
    folder = image(tmp_path / "image")
    for name, value in variables().items():
        monkeypatch.setenv(name, str(folder / value.lstrip("/")) if value.startswith("/") else value)
    monkeypatch.setenv("CHEZ_RELAY_STATUS", "127.0.0.1:0")
    (entry,), (check,) = given("ENTRYPOINT"), given("HEALTHCHECK")
    command = json.loads(entry)
    assert command[0] == "python" and command[-1] == "serve"
    assert ran("-c", "import chez_relay; print(chez_relay.__file__)").stdout.startswith(str(folder))
    async with relay(None, command=(sys.executable, *command[1:-1])) as process:
        url = await status(process)
        async with connect(process.url) as device:
            await device.create_space(SPACE.admin, *SPACE.others)
            await device.open(SPACE.claims(Role.APPEND))
            assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset == 1
        probe = [part.replace(f"http://{variables()['CHEZ_RELAY_STATUS']}", url)
                 for part in json.loads(check.removeprefix("CMD "))]
        assert url in probe[-1]
        assert ran(*probe[1:]).returncode == 0
        process.process.terminate()
        assert await process.process.wait() == 0
    assert ran(*probe[1:]).returncode != 0
    assert (folder / "data" / "relay.sqlite").exists() and os.stat(folder / "data").st_mode & 0o077 == 0


def test_a_relay_on_a_cluster_runs_from_it(tmp_path: Path) -> None:
    """The client of NATS is among its packages with all that it loads, and a flag takes the data folder back."""
    wanted = re.search(r"\^\(([a-z|-]+)\)==", given("RUN")[0])
    assert wanted
    modules = {"pynacl": "nacl", "nats-py": "nats", "typing-extensions": "typing_extensions"}
    installed = {modules.get(name, name) for name in wanted[1].split("|")}
    loaded = ran("-c", "import sys, chez_relay.storage.jetstream.store\nfor name, module in sys.modules.items():"
                       " print(name.partition('.')[0], getattr(module, '__file__', None) or '')").stdout
    packages = {line.split()[0] for line in loaded.splitlines() if "site-packages" in line}
    assert "nats" in packages
    assert {name for name in packages if not name.startswith("_")} <= installed
    said = load({"data": "", "cluster.nodes": ("nats://n1.example:4222",)}, variables())
    assert not said["data"] and said["cluster.nodes"] == ("nats://n1.example:4222",)
