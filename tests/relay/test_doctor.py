"""What `chez-relay doctor` finds on a machine, and hears from the nodes of a cluster."""

import asyncio
import json
import os
import socket
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from chez_relay.config import load
from chez_relay.counts import Counts
from chez_relay.doctor import examine
from chez_relay.errors import BadConfiguration, StorageFailed, StoreUnusable
from chez_relay.metrics import Moment, metrics
from chez_relay.status import status_pages
from chez_relay.storage import Quotas
from chez_relay.storage.census import census
from chez_relay.storage.checking import check
from chez_relay.storage.jetstream.survey import Survey
from chez_relay.storage.sqlite import SqliteStorage
from chez_relay.storage.tables import Tables
from tests.relay.certificates import Authority
from tests.relay.storing import Clock, create, new_store


def levels(settings: dict[str, object]) -> dict[str, int]:
    """The worst that the doctor says of each thing."""
    found: dict[str, int] = {}
    for one in examine(load({"listen": "127.0.0.1:0", **settings}, {})):
        assert one.text and "Traceback" not in one.text
        found[one.what] = max(found.get(one.what, 0), one.level)
    return found


def test_the_doctor_finds_what_must_be_mended(tmp_path: Path) -> None:
    """A fresh folder is good; open permissions, an overdue certificate, no tokens, a foreign store are told."""
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    well = levels({"data": str(data)})
    assert {name: level for name, level in well.items() if name not in ("disk", "fsync", "open files")} == {
        "data folder": 0, "store": 0, "clock": 0, "port": 0}
    chain, secret = Authority.make(tmp_path).issue(ends=2021)
    (tmp_path / "tokens").touch(mode=0o644)
    secret.chmod(0o644)
    data.chmod(0o755)
    (data / "relay.sqlite").write_bytes(b"x" * 5000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        found = levels({"data": str(data), "token_file": str(tmp_path / "tokens"), "tls_certificate": str(chain),
                        "tls_key": str(secret), "listen": f"127.0.0.1:{taken.getsockname()[1]}"})
    assert {name: level for name, level in found.items() if name not in ("disk", "fsync", "open files")} == {
        "data folder": 1, "store": 2, "clock": 0, "port": 1, "tokens": 2, "certificate's key": 1, "certificate": 2}
    assert sorted(path.name for path in data.iterdir()) == ["relay.sqlite"]


def test_the_doctor_goes_on_where_it_may_not_look(tmp_path: Path) -> None:
    """As at the folder of a service's own user: that is one finding among the others, and no end of the command."""
    (tmp_path / "relay.sqlite").symlink_to("x" * 300)  # longer than a name may be: what root may not look at either
    for data, what in ((tmp_path, "store"), (tmp_path / ("x" * 300) / "data", "data folder")):
        found = levels({"data": str(data)})
        assert found[what] == 2 and {"disk", "fsync", "port"} <= found.keys()


@pytest.mark.parametrize("name", ["relay.lock", "relay.sqlite", "relay.sqlite-wal", "relay.sqlite-shm"])
def test_the_doctor_finds_a_file_that_serve_could_not_write(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Once a relay was run as root in it, a folder has files that its own user may not use: `serve` refuses then."""
    asyncio.run(made_empty(tmp_path))
    for one in ("relay.sqlite-wal", "relay.sqlite-shm", "relay.sqlite.before-0002"):
        (tmp_path / one).touch()
    may = os.access

    def access(path: Path, mode: int) -> bool:
        return path.name not in denied and may(path, mode)

    monkeypatch.setattr(os, "access", access)
    denied = {"relay.sqlite.before-0002"}
    assert levels({"data": str(tmp_path)})["data folder"] < 2
    denied.add(name)
    (found,) = (one for one in examine(load({"data": str(tmp_path)}, {})) if one.what == "data folder")
    assert found.level == 2 and f"{name} in it" in found.text


def test_the_doctor_says_what_others_may_do_and_nothing_else(tmp_path: Path) -> None:
    """A relay's files are its user's alone also in a folder that others may enter: nobody reads the store there."""
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    asyncio.run(made_empty(data))
    found = []
    for mode, file in ((0o755, 0o600), (0o755, 0o640), (0o700, 0o640), (0o770, 0o600)):
        data.chmod(mode)
        (data / "relay.sqlite").chmod(file)
        found.append(levels({"data": str(data)})["data folder"])
    assert found == [0, 1, 0, 1]


def test_the_doctor_calls_no_file_good_that_is_not_there(tmp_path: Path) -> None:
    """A key of TLS or tokens that were to be there; a data folder that is none."""
    missing = str(tmp_path / "missing")
    found = list(examine(load({"data": str(tmp_path), "listen": "127.0.0.1:0", "token_file": missing,
                               "tls_certificate": missing, "tls_key": missing}, {})))
    assert {one.level for one in found if one.what in ("tokens", "certificate", "certificate's key")} == {2}
    (tmp_path / "file").touch()
    assert levels({"data": str(tmp_path / "file")})["data folder"] == 2


def test_the_doctor_says_that_two_stores_are_set() -> None:
    """`serve` refuses a data folder beside a cluster, so the doctor calls neither of them good."""
    with pytest.raises(BadConfiguration, match="both a data folder"):
        list(examine(load({"data": "folder", "cluster.nodes": "nats://127.0.0.1:1", "listen": "127.0.0.1:0"}, {})))


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor waits for no new leaders: what greets here answers nothing else."""
    monkeypatch.setattr("chez_relay.storage.jetstream.survey.PATIENCE", 0.1)


@contextmanager
def greeting(data: bytes) -> Iterator[str]:
    """Something that says this to whoever connects; its URL, as if it were a node."""
    class Greeter(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(data)
            self.request.recv(1)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeter) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        try:
            yield f"nats://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


INFO = {"server_name": "n1", "version": "2.15.1", "jetstream": True, "max_payload": 2**20}


@pytest.mark.parametrize(("said", "level", "word"), [
    pytest.param(INFO, 0, "takes connections", id="well", marks=pytest.mark.slow),
    pytest.param({**INFO, "jetstream": False}, 2, "disk is full", id="its JetStream ended"),
    pytest.param({**INFO, "version": "2.9.25"}, 2, "too old", id="an old one"),
    pytest.param({**INFO, "max_payload": 65536}, 2, "max_payload", id="small messages alone"),
    pytest.param(None, 2, "no server of NATS", id="something else"),
])
@pytest.mark.usefixtures("hasty")
def test_the_doctor_hears_how_a_node_is(said: dict[str, object] | None, level: int, word: str) -> None:
    """A node that takes connections and stores nothing, as after its disk was full, is no good node."""
    data = b"HTTP/1.1 400 Bad Request\r\n" if said is None else b"INFO " + json.dumps(said).encode() + b"\r\n"
    with greeting(data) as url:
        found = [one for one in examine(load({"cluster.nodes": (url,)}, {})) if one.what == "node"]
    assert [one.level for one in found] == [level] and word in found[0].text


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_the_doctor_looks_for_the_nodes_of_a_cluster() -> None:
    """With a cluster in place of a folder it tries each node, and says which does not answer; NATS's port is known."""
    with greeting(b"INFO " + json.dumps(INFO).encode() + b"\r\n") as there, socket.socket() as gone:
        gone.bind(("127.0.0.1", 0))
        away = f"nats://user:word@127.0.0.1:{gone.getsockname()[1]}"
        lines = list(examine(load({"cluster.nodes": (there, away)}, {})))
    assert [one.level for one in lines if one.what == "node"] == [0, 2]
    assert {one.what for one in lines}.isdisjoint({"fsync", "disk"}) and "word" not in str(lines)
    assert load({"cluster.nodes": "nats://n1.example"}, {})["cluster.nodes"] == ("nats://n1.example:4222",)


@pytest.mark.parametrize(("replicas", "level"), [(5, 1), (2, 1), (1, None)])
def test_the_doctor_knows_a_store_that_no_cluster_could_hold(
        monkeypatch: pytest.MonkeyPatch, replicas: int, level: int | None) -> None:
    """Before `serve` waits a minute for it: a stream is on those nodes that there are."""
    async def none_yet(urls: object, prefix: object) -> Survey:
        return Survey(0)

    monkeypatch.setattr("chez_relay.storage.jetstream.survey.survey", none_yet)
    with greeting(b"INFO " + json.dumps(INFO).encode() + b"\r\n") as url:
        assert levels({"cluster.nodes": (url,), "cluster.replicas": replicas}).get("replicas") == level


async def test_the_doctor_looks_where_the_status_pages_are_to_be(tmp_path: Path) -> None:
    """A free address is good, a relay's own pages are there while it runs; what keeps `serve` from starting is bad."""
    async def level(status: str, listen: str = "127.0.0.1:0") -> int | None:
        settings: dict[str, object] = {"data": str(tmp_path), "status": status, "listen": listen}
        return (await asyncio.to_thread(levels, settings)).get("status")

    assert await level("") is None and await level("127.0.0.1:0") == 0
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    assert await level(f"127.0.0.1:{port}") == 0
    for listen, there in (("127.0.0.1", 2), ("0.0.0.0", 2), ("[::]", 0), ("127.0.0.2", 0)):
        assert await level(f"127.0.0.1:{port}", f"{listen}:{port}") == there
    page = metrics(Counts(), Moment(0, 0, 0, False, "1", None, None))
    async with status_pages("127.0.0.1", 0, lambda: True, lambda: page) as taken:
        assert await level(f"127.0.0.1:{taken}") == 1
    with greeting(b"another program\r\n") as url:
        assert await level(url.removeprefix("nats://")) == 2
    assert await level("192.0.2.1:8788") == 2


def test_the_doctor_knows_a_store_of_a_newer_version(tmp_path: Path) -> None:
    """What no relay of this version would open is not called good."""
    asyncio.run(made_empty(tmp_path))
    with closing(sqlite3.connect(tmp_path / "relay.sqlite")) as db:
        db.execute("PRAGMA user_version = 9999")
    found = {one.what: one for one in examine(load({"data": str(tmp_path), "listen": "127.0.0.1:0"}, {}))}
    assert found["store"].level == 2 and "newer" in found["store"].text


def test_a_file_that_is_no_store_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Of a file that is no database the doctor names a backup, and not the disk's space."""
    (tmp_path / "relay.sqlite").write_bytes(b"no database at all, but longer than a hundred bytes " * 4)
    found = {one.what: one for one in examine(load({"data": str(tmp_path), "listen": "127.0.0.1:0"}, {}))}
    assert found["store"].level == 2 and "backup" in found["store"].text
    with pytest.raises(StorageFailed, match="backup"):
        asyncio.run(made_empty(tmp_path))


@pytest.mark.slow
def test_a_store_that_another_program_keeps_for_itself_is_told_as_that(tmp_path: Path) -> None:
    """Nothing is wrong with the disk: who has it open is to be ended. (SQLite waits five seconds for it.)"""
    asyncio.run(made_empty(tmp_path))
    with closing(sqlite3.connect(tmp_path / "relay.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnusable, match="another program"):
            census(tmp_path)
        with pytest.raises(StorageFailed, match="another program"):
            asyncio.run(made_empty(tmp_path))


@pytest.mark.parametrize("change", [
    "DELETE FROM facts", "UPDATE facts SET value = x'00'", "UPDATE spaces SET blob_bytes = x'00'",
    "INSERT INTO dropped VALUES (1, 1, 9, x'00', x'00')"])
def test_damage_of_what_is_counted_is_told(tmp_path: Path, change: str) -> None:
    """A store without its incarnation, with a counter that is no number, or of which more was dropped than it had: the
    doctor and `inspect` say that it is damaged and what tells where, and `check` tells; a relay that is started goes on
    with what is whole."""
    with new_store(tmp_path / "relay.sqlite") as db:
        Tables(db, Quotas(), Clock()).perform([create()])
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')")  # damage minds no type
    with closing(sqlite3.connect(tmp_path / "relay.sqlite")) as db:
        db.execute(change)
        db.commit()
    found = {one.what: one for one in examine(load({"data": str(tmp_path), "listen": "127.0.0.1:0"}, {}))}
    assert found["store"].level == 2 and "check" in found["store"].text
    with pytest.raises(StoreUnusable, match="check"):
        census(tmp_path)
    assert not check(tmp_path / "relay.sqlite").sound
    asyncio.run(made_empty(tmp_path))
    assert check(tmp_path / "relay.sqlite").sound == ("facts" in change)


async def made_empty(folder: Path) -> None:
    await (await SqliteStorage.open(folder)).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_the_doctor_misses_a_name_where_others_dial(tmp_path: Path, host: str) -> None:
    """A relay that listens on all addresses is dialled by a name; without one it would turn everybody away."""
    data = {"data": str(tmp_path), "listen": f"{host}:0"}
    assert levels(data)["names"] == 2
    assert "names" not in levels({**data, "names": ("relay.example:443",)}) and "names" not in levels(
        {"data": str(tmp_path)})


@pytest.mark.parametrize("limit", ["limits.memory", "limits.memory_per_address"])
def test_the_doctor_finds_memory_that_is_less_than_a_frame(tmp_path: Path, limit: str) -> None:
    """A relay that may hold less than one frame lets devices go and says no more: the doctor does."""
    assert levels({"data": str(tmp_path), limit: "1 MiB"})["memory"] == 2
    assert "memory" not in levels({"data": str(tmp_path), limit: "2 MiB"})


def test_the_doctor_knows_a_clock_that_went_back(tmp_path: Path) -> None:
    """A clock behind the last write of the store must be mended: inboxes expire by it."""
    (tmp_path / "relay.sqlite").touch()
    settings = load({"data": str(tmp_path), "listen": "127.0.0.1:0"}, {})
    found = {one.what: one.level for one in examine(settings, clock=lambda: 1.0e9)}
    assert found["clock"] == 2


def test_the_doctor_from_the_command_line(tmp_path: Path) -> None:
    """A line for each thing; 3 when something must be mended, 1 without a data folder."""
    command = (sys.executable, "-m", "chez_relay", "doctor", "--listen", "127.0.0.1:0")
    well = subprocess.run([*command, "--data", str(tmp_path)], capture_output=True, text=True, check=False)
    assert well.returncode == 0 and "fsync: " in well.stdout and "ms for 4 KiB" in well.stdout
    (tmp_path / "relay.sqlite").write_bytes(b"x" * 5000)
    bad = subprocess.run([*command, "--data", str(tmp_path)], capture_output=True, text=True, check=False)
    assert bad.returncode == 3 and "bad      store" in bad.stdout
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
