"""What an operator sees of a serving relay: health, metrics, the log, and how it ends and comes back."""

import asyncio
import inspect
import json
import logging
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from examples.demo.search import search
from websockets.exceptions import ConnectionClosed

from chez import inboxes
from chez.errors import RelayRefused, RelayUnreachable
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import AppendDone
from chez_relay import door, logs
from chez_relay import storage as s
from chez_relay.bounds import SPARE
from chez_relay.cluster.nodes import NODES, Cluster
from chez_relay.config import load
from chez_relay.counts import Counts
from chez_relay.errors import StorageFailed
from chez_relay.metrics import Moment, metrics
from chez_relay.server import serving
from chez_relay.status import status_pages
from chez_relay.storage.memory import MemoryStorage
from chez_relay.tls import Certificate
from chez_wire.envelope import entry_id
from chez_wire.login import Role
from tests.relay.certificates import Authority
from tests.relay.clusters import emptied
from tests.relay.support import Process, Space, key, packet, relay, seed

SPACE = Space()
DEPLOY = Path(__file__).parents[2] / "relay" / "deploy"
STATUS = ("--set", "status=127.0.0.1:0")

SAMPLE = re.compile(r"chez_relay_[a-z_]+(\{[a-z]+=\"[A-Za-z0-9_.+ -]+\"\})? -?[0-9.e+]+")
"""One sample in Prometheus' text format, with no label but words of the code's."""

LEAVES = re.compile(r"\.leave\(\"([a-z ]+)\"\)")
"""Why a connection is let go, where the code says so."""


async def status(process: Process) -> str:
    """Where the pages of a relay are."""
    assert process.process.stdout is not None
    line = (await asyncio.wait_for(process.process.stdout.readline(), 90)).decode()
    return line.split()[-1]


async def fetched(url: str) -> tuple[int, str]:
    """One page: its code and text."""
    def fetch() -> tuple[int, str]:
        try:
            with urllib.request.urlopen(url, timeout=90) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


def samples(page: str) -> dict[str, float]:
    """The samples of a page of metrics; each line is one, or a comment before its own."""
    found: dict[str, float] = {}
    described: set[str] = set()
    for line in page.splitlines():
        if line.startswith("# "):
            described.add(line.split()[2])
            continue
        assert SAMPLE.fullmatch(line), line
        name, value = line.rsplit(" ", 1)
        assert any(name.startswith(one) for one in described) and name not in found, name
        found[name] = float(value)
    return found


async def log_in(connection: RelayConnection, *roles: Role) -> None:
    await connection.create_space(SPACE.admin, *SPACE.others, packets=[packet("member")])
    assert all(not space.error for space in await connection.open(SPACE.claims(*roles)))


async def busy(process: Process) -> None:
    """A session that uses everything once, and is refused some of it."""
    async with connect(process.url) as a, connect(process.url) as b:
        await log_in(a)
        await log_in(b, Role.READ)
        await b.subscribe(SPACE.handle, 0)
        for number in range(20):
            await a.append(SPACE.handle, Role.APPEND, SPACE.envelope(number))
        await b.read(SPACE.handle, 0)
        await a.get_packet(SPACE.handle, packet("member").tag)
        with pytest.raises(RelayRefused):
            await a.get_packet(SPACE.handle, seed("nowhere"))
        with pytest.raises(RelayRefused):
            await b.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
        box = await inboxes.create(process.url, key("owner"), key("writer").public, ttl=600)
        await inboxes.put(process.url, box, key("writer"), b"a sealed item of an inbox")
        with pytest.raises(RelayRefused):
            await inboxes.put(process.url, box, key("owner"), b"x")


async def test_metrics_count_what_was_done(tmp_path: Path) -> None:
    """After a busy session the page has its entries, requests and refusals, in lines that Prometheus takes."""
    async with relay(tmp_path, *STATUS) as process:
        url = await status(process)
        await busy(process)
        code, page = await fetched(f"{url}/metrics")
    found = samples(page)
    assert code == 200 and found["chez_relay_entries_total"] == 20
    assert found["chez_relay_entry_bytes_total"] == 20 * 300 and found["chez_relay_connections_total"] >= 5
    assert found['chez_relay_requests_total{kind="AddEntry"}'] == 20
    assert found['chez_relay_refused_total{code="unknown"}'] == 1
    assert found["chez_relay_ready"] == 1 and found["chez_relay_store_bytes"] > 0
    assert found["chez_relay_resident_bytes"] > 10 * 2**20 and found["chez_relay_disk_free_bytes"] > 0
    assert found['chez_relay_group_seconds_bucket{le="+Inf"}'] == found["chez_relay_group_seconds_count"] > 0


@pytest.mark.parametrize("layout", ["json", "text"])
async def test_neither_log_nor_metrics_name_anybody_or_anything(tmp_path: Path, layout: str) -> None:
    """After a busy session neither holds a handle, an id, a key, an inbox, a tag, an address or a piece of content."""
    await _name_nothing(tmp_path, tmp_path / "data", layout)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["json", "text"])
async def test_neither_log_nor_metrics_of_a_relay_on_a_cluster_name_anything(
        tmp_path: Path, layout: str, three_nodes: Cluster) -> None:
    """The same where three nodes keep the store, and of what these log, in any usual encoding: not even a handle."""
    nodes = [part for url in three_nodes.urls for part in ("--nats", url)]
    async with emptied(three_nodes):
        secrets = await _name_nothing(tmp_path, None, layout, *nodes)
    for name in NODES:
        logged = (three_nodes.folder / f"{name}.log").read_bytes()
        assert b"Listening for client connections" in logged and list(search(logged, secrets)) == []


async def _name_nothing(folder: Path, data: Path | None, layout: str, *options: str) -> list[bytes]:
    """Run a busy session, and look for all of it in a relay's log and metrics; what was looked for."""
    log = folder / "log"
    async with relay(data, *STATUS, "--log-file", str(log), "--set", f"log_format={layout}", *options) as process:
        url = await status(process)
        await busy(process)
        _, page = await fetched(f"{url}/metrics")
        process.process.send_signal(signal.SIGHUP)
        process.process.terminate()
        _, errors = await process.process.communicate()
    text = log.read_text() + page + errors.decode()
    assert "listening" in text and "draining" in text and "stopped" in text
    secrets = [SPACE.handle, *SPACE.others, SPACE.admin.public, seed("nowhere"), packet("member").tag,
               packet("member").box[:16], key("owner").public, key("writer").public, b"sealed item"]
    secrets += [one for n in range(20) for one in (entry_id(SPACE.envelope(n)), SPACE.envelope(n)[:24])]
    for secret in secrets:
        assert secret.hex() not in text and repr(secret)[2:-1] not in text
    assert "127.0.0.1" not in text and str(folder) not in log.read_text()
    if layout == "json":
        events = [json.loads(line) for line in log.read_text().splitlines()]
        assert {"at", "level", "event"} <= set(events[0])
        assert {event["level"] for event in events} <= {"info", "warning"}
        assert all(isinstance(value, int) for event in events for name, value in event.items()
                   if name not in ("at", "level", "event"))
    return secrets


async def test_health_and_readiness_are_two_things(tmp_path: Path) -> None:
    """Both are 200 while all is well; other pages are not there."""
    async with relay(tmp_path, *STATUS) as process:
        url = await status(process)
        assert [(await fetched(url + path))[0] for path in ("/healthz", "/readyz", "/", "/metrics?x")] == [
            200, 200, 404, 200]


class Sick(MemoryStorage):
    """A storage that can be made to refuse what writes."""

    well = True

    async def perform(self, requests: Sequence[s.Request]) -> list[s.Result]:
        if not self.well and not all(isinstance(request, s.READING) for request in requests):
            raise StorageFailed("the disk is full")
        return await super().perform(requests)


async def turned_away(url: str) -> float:
    """How many connections were too many, as the page of metrics has it."""
    return samples((await fetched(f"{url}/metrics"))[1])['chez_relay_turned_away_total{limit="connections"}']


async def test_a_relay_takes_no_more_connections_than_it_has_files_for(tmp_path: Path) -> None:
    """Who comes then is turned away, the pages answer, and who is connected is served: nobody waits for ever."""
    few = ("sh", "-c", 'ulimit -n 96; exec "$0" -m chez_relay "$@"', sys.executable)
    async with relay(tmp_path, *STATUS, command=few) as process:
        url = await status(process)
        host, port = process.name.split(":")
        async with connect(process.url) as device, AsyncExitStack() as others:
            await log_in(device)
            for _ in range(120):
                _, writer = await asyncio.open_connection(host, int(port))
                others.callback(writer.close)
            assert (await fetched(f"{url}/healthz"))[0] == 200
            async with asyncio.timeout(60):
                while await turned_away(url) < 121 - 32 - SPARE:  # noqa: ASYNC110 (nothing announces it)
                    await asyncio.sleep(0.05)
            assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset == 1
            with pytest.raises(RelayUnreachable):
                async with connect(process.url):
                    pass


async def test_a_relay_without_any_file_left_shows_its_metrics_and_ends(tmp_path: Path) -> None:
    """What an operator looks at first needs no file to be opened: who was accepted before is answered."""
    async with relay(tmp_path, *STATUS) as process:
        host, port = (await status(process)).removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /metrics HTTP/1.1\r\nHost: operator\r\n")
        assert (await fetched(f"http://{host}:{port}/healthz"))[0] == 200  # so the one before it was accepted
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (3, 3))
        writer.write(b"\r\n")
        async with asyncio.timeout(60):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            assert head.startswith("HTTP/1.1 200 ")
            page = await reader.readexactly(int(head.partition("Content-Length: ")[2].split()[0]))
        writer.close()
        assert samples(page.decode())["chez_relay_connections"] == 0


async def test_a_page_that_can_t_be_made_says_so_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It is answered as what it is, and those beside it as ever."""
    def broken() -> str:
        raise OSError("no file is left")

    async with status_pages("127.0.0.1", 0, lambda: True, broken) as port:
        assert await fetched(f"http://127.0.0.1:{port}/metrics") == (
            500, "this page could not be made: the log says why\n")
        assert [record.getMessage() for record in caplog.records] == ["a page of status could not be made"]
        assert (await fetched(f"http://127.0.0.1:{port}/readyz"))[0] == 200


async def test_a_relay_that_can_t_write_is_alive_and_not_ready(caplog: pytest.LogCaptureFixture) -> None:
    """Readiness goes with the first write that fails, and comes back with the first that works; the log tells both."""
    caplog.set_level("INFO")
    storage = Sick(seed("incarnation"))
    async with serving(storage, "127.0.0.1", 0) as server, connect(f"ws://127.0.0.1:{server.port}") as device:
        await log_in(device)
        for well in (False, True):
            storage.well = well
            if well:
                await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
            else:
                with pytest.raises(RelayRefused):
                    await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))
            assert server.ready is well
        assert server.counts.failures == 1
    assert not server.ready
    said = [record.levelname for record in caplog.records if "written to" in record.message]
    assert said == ["ERROR", "INFO"]


async def test_a_log_file_that_can_t_be_opened_again_stops_nothing(tmp_path: Path) -> None:
    """Moved away from where the relay may make none: it reads tokens again each time, refuses what it can't store,
    says all that on standard error until there is a file again, and ends with 0."""
    folder, tokens = tmp_path / "logs", tmp_path / "tokens"
    folder.mkdir()
    tokens.write_text("first")
    options = ("--log-file", str(folder / "log"), "--token-file", str(tokens))
    async with relay(tmp_path / "data", *options) as process, connect(process.url) as device:
        said = process.process.stderr
        assert said is not None
        shutil.rmtree(folder)
        for token in ("second", "third"):
            tokens.write_text(token)
            process.process.send_signal(signal.SIGHUP)
            while "read again" not in (line := (await asyncio.wait_for(said.readline(), 90)).decode()):
                assert "No such file" in line and token == "second"
            space = Space(token)
            await device.create_space(space.admin, *space.others, token=token)
        await device.open(space.claims(Role.APPEND))
        for file in (tmp_path / "data").glob("relay.sqlite*"):
            file.unlink()
        for number in range(2):
            with pytest.raises(RelayRefused) as caught:
                await asyncio.wait_for(device.append(space.handle, Role.APPEND, space.envelope(number)), 90)
            assert caught.value.reason == "storage"
        folder.mkdir()
    assert process.process.returncode == 0 and "stopped" in (folder / "log").read_text()


@pytest.mark.parametrize("layout", ["text", "json"])
def test_a_log_file_whose_disk_is_full_is_told_of_once(
        tmp_path: Path, capsys: pytest.CaptureFixture[str], layout: str) -> None:
    """Each event is a line on standard error then, and no page of code; with room again it is in the file."""
    file, log, root = tmp_path / "log", logging.getLogger("chez_relay"), logging.getLogger()
    file.symlink_to("/dev/full")
    before = root.handlers[:]
    try:
        root.handlers.clear()
        logs.begin(layout, str(file))
        log.error("the first")
        log.error("the second")
        file.unlink()
        log.error("the third")
        file.unlink()
        file.symlink_to("/dev/full")
        log.error("the fourth")
    finally:
        for made in root.handlers:
            made.close()
        root.handlers[:] = before
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 5 and not any("the third" in line for line in lines)
    for line, said in zip(lines, ("No space left", "the first", "the second", "No space left", "the fourth"),
                          strict=True):
        assert said in line


async def test_a_defect_in_the_storage_ends_no_task(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nobody foresaw is a refusal to who asked, those after are served, and the log quotes nothing."""
    class Broken(MemoryStorage):
        async def perform(self, requests: Sequence[s.Request]) -> list[s.Result]:
            if any(isinstance(request, s.AddInbox) for request in requests):
                raise KeyError("what was asked")
            return await super().perform(requests)

    async with serving(Broken(seed("i")), "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as device:
            await log_in(device)
            with pytest.raises(RelayRefused) as caught:
                await device.create_inbox(key("owner"), key("writer").public, 60)
            assert caught.value.reason == "storage"
            assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset == 1
    assert "KeyError" in caplog.text and "what was asked" not in caplog.text


async def test_sigterm_answers_what_was_asked_and_sends_devices_away_for_a_while(tmp_path: Path) -> None:
    """What was acknowledged is there after the restart, and nothing that was not: all that it took in was answered. The
    others were told 1001; the process ends with 0."""
    async with relay(tmp_path, *STATUS, "--set", "limits.drain=60") as process, connect(process.url) as device:
        await log_in(device)
        asked = [device.append_soon(SPACE.handle, Role.APPEND, SPACE.envelope(n)) for n in range(500)]
        await asked[100]
        process.process.terminate()
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert await process.process.wait() == 0
        closed = device._socket._socket
        with pytest.raises(ConnectionClosed):
            await closed.recv()
        assert closed.close_code == 1001
    acknowledged = [answer.offset for answer in answers if isinstance(answer, AppendDone)]
    assert acknowledged == list(range(1, len(acknowledged) + 1)) and len(acknowledged) > 100
    assert all(isinstance(answer, RelayUnreachable) for answer in answers[len(acknowledged):])
    async with relay(tmp_path) as process, connect(process.url) as device:
        await log_in(device)
        page = await device.read(SPACE.handle, 0)
        assert page.end == len(acknowledged)


async def test_systemd_is_told_when_the_relay_serves_and_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """READY=1 once it listens, STOPPING=1 on SIGTERM, as sd_notify(3) has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(str(tmp_path / "notify"))
        told.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        async with relay(tmp_path / "data"):
            assert await asyncio.to_thread(told.recv, 100) == b"READY=1"
        assert told.recv(100) == b"STOPPING=1"


def test_a_page_of_nothing_is_a_page() -> None:
    """Before anything happened each metric is there with its description, at zero."""
    found = samples(metrics(Counts(), Moment(0, 0, 0, False, "0.1.0")))
    assert found["chez_relay_entries_total"] == 0 and found["chez_relay_ready"] == 0
    assert found['chez_relay_group_seconds_bucket{le="0.001"}'] == 0
    assert "chez_relay_certificate_expires" not in found


def test_what_is_counted_by_kind_is_there_before_it_happens() -> None:
    """Prometheus sees no rise in a count that begins with its first event: an alarm would miss that one."""
    found = samples(metrics(Counts(), Moment(0, 0, 0, False, "0.1.0")))
    for sample in ('refused_total{code="damaged"}', 'refused_total{code="storage"}', 'let_go_total{why="stalled"}',
                   'turned_away_total{limit="dials"}', 'ephemeral_dropped_total{why="rate"}',
                   'requests_total{kind="AddEntry"}', 'let_go_total{why="wrong_relay"}',
                   *(f'let_go_total{{why="{why}"}}' for why in LEAVES.findall(inspect.getsource(door)))):
        assert found[f"chez_relay_{sample}"] == 0


def test_a_certificate_that_is_over_is_told_as_one_that_ended(tmp_path: Path) -> None:
    """An alarm on its end sees that of a relay that was started with an old one, too."""
    chain, secret = Authority.make(tmp_path).issue(ends=2021)
    expires = Certificate(chain, secret).expires
    found = samples(metrics(Counts(), Moment(0, 0, 0, True, "0.1.0", expires=expires)))
    assert found["chez_relay_certificate_expires"] < 1_700_000_000


async def test_devices_that_dial_another_name_are_counted(tmp_path: Path) -> None:
    """Without the name in `names` all devices are turned away: the operator sees by what."""
    async with relay(tmp_path, *STATUS, "--name", "relay.example:443") as process:
        url = await status(process)
        with pytest.raises(RelayRefused):
            async with connect(process.url):
                pass
        found = samples((await fetched(f"{url}/metrics"))[1])
    assert found['chez_relay_let_go_total{why="wrong_relay"}'] == 1


async def test_a_serving_relay_loads_what_the_container_installs(tmp_path: Path) -> None:
    """The packages that the container file takes from the lock are those that a relay with a status page imports."""
    text = (DEPLOY / "Containerfile").read_text()
    named = re.search(r"\^\(([a-z|-]+)\)==", text)
    assert named
    modules = {"pynacl": {"nacl", "_sodium"}, "cffi": {"_cffi_backend"}, "typing-extensions": {"typing_extensions"}}
    installed = {module for name in named[1].split("|") for module in modules.get(name, {name})}
    code = ("import sys, atexit; from chez_relay.cli import main\n"
            "atexit.register(lambda: print('MODULES', *sorted(name for name, module in sys.modules.items()"
            " if 'site-packages' in (getattr(module, '__file__', None) or ''))))\nmain()")
    async with relay(tmp_path, *STATUS, command=(sys.executable, "-c", code)) as process:
        await fetched(await status(process) + "/metrics")
        async with connect(process.url) as device:
            await log_in(device)
        process.process.terminate()
        output, _ = await process.process.communicate()
    loaded = {name.split(".")[0] for name in output.decode().split("MODULES")[1].split()}
    assert {name for name in loaded if not name.startswith(("_editable", "__editable", "_distutils_hack"))} <= installed
    for variable in re.findall(r"(CHEZ_RELAY_[A-Z_]+)=", text):
        load({}, {variable: {"LISTEN": "0.0.0.0:1", "LOG_FORMAT": "json"}.get(variable[11:], "127.0.0.1:1")})


def test_the_unit_starts_what_there_is() -> None:
    """The unit's command takes the options it gives, and systemd, where it is, finds nothing wrong in it. A store that
    is brought up to date for longer than systemd waits by itself is not ended, and begun anew, over and over."""
    unit = DEPLOY / "chez-relay.service"
    assert "\nTimeoutStartSec=infinity\n" in unit.read_text()
    command = re.search(r"^ExecStart=\S+ (.+)$", unit.read_text(), re.MULTILINE)
    assert command
    shown = subprocess.run([sys.executable, "-m", "chez_relay", *command[1].split(), "--help"], check=True,
                           capture_output=True, text=True).stdout
    assert all(option in shown for option in re.findall(r"--\w+", command[1]))
    if (systemd := shutil.which("systemd-analyze")) is not None:
        found = subprocess.run([systemd, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
        mine = [line for line in found.stderr.splitlines() if "chez-relay.service" in line]
        assert [line for line in mine if "is not executable" not in line] == []
