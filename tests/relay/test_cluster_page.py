"""Nodes as docs/operations.md has them for machines of their own, and as `chez-relay cluster up` starts them."""

import asyncio
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chez_relay.cluster.nodes import NODES, Cluster, find_server, free_ports
from chez_relay.storage.jetstream.store import JetStreamStorage
from chez_relay.storage.jetstream.survey import survey
from tests.home.pairing import paired
from tests.people.support import ids
from tests.relay.certificates import Authority
from tests.relay.clusters import needs_server
from tests.relay.support import relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def of_page() -> str:
    """The settings of the first node, as the page has them."""
    found = re.search(r"\n\n((?:    .*\n)+)", PAGE.read_text()[PAGE.read_text().index("**A real one**"):])
    assert found is not None and found[1].startswith("    server_name: n1\n")
    return found[1]


def placed(text: str, name: str, folder: Path, ports: Mapping[str, tuple[int, int, int]]) -> str:
    """The page's settings as one of three nodes on this machine has them."""
    text = re.sub(rf"\b(n1|{name})\b", lambda found: name if found[1] == "n1" else "n1", text)
    client, route, pages = ports[name]
    for old, new in (("0.0.0.0:4222", f"127.0.0.1:{client}"), ("0.0.0.0:6222", f"127.0.0.1:{route}"),
                     ("127.0.0.1:8222", f"127.0.0.1:{pages}"), ("/var/lib/nats", f"{folder / name}"),
                     (f"/etc/nats/{name}.pem", f"{folder / 'relay.pem'}"),
                     (f"/etc/nats/{name}.key", f"{folder / 'relay.key'}"),
                     ("/etc/nats/authority.pem", f"{folder / 'authority.pem'}")):
        assert old in text
        text = text.replace(old, new)
    text = re.sub(r"\b(n\d)\.example:6222", lambda found: f"127.0.0.1:{ports[found[1]][1]}", text)
    assert ".example" not in text and "/etc/" not in text
    return text


def told(port: int, page: str) -> dict[str, Any]:
    """What a node says on its pages; nothing while it does not listen."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except OSError:
        return {}


def waited_for(port: int, page: str) -> dict[str, Any]:
    end = time.monotonic() + 60
    while not (found := told(port, page)):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


@contextmanager
def started(folder: Path) -> Iterator[dict[str, tuple[int, int, int]]]:
    """Three nodes by the page; their ports for relays, nodes, and their pages."""
    numbers = iter(free_ports(9))
    ports = {name: (next(numbers), next(numbers), next(numbers)) for name in NODES}
    running: list[subprocess.Popen[bytes]] = []
    try:
        for name in NODES:
            path = folder / f"{name}.conf"
            path.write_text(placed(of_page(), name, folder, ports))
            with (folder / f"{name}.log").open("wb") as log:
                running.append(subprocess.Popen([find_server(), "-c", str(path)], stdout=log, stderr=log))
        yield ports
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(30)
        for name in NODES:
            shutil.rmtree(folder / name, ignore_errors=True)


async def test_three_nodes_by_the_page_hold_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over TLS and with the page's password: two devices meet at a relay on them, on three nodes that write through."""
    needs_server()
    authority = Authority.make(tmp_path)
    authority.issue()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with started(tmp_path) as ports:
        for _, _, pages in ports.values():
            assert (await asyncio.to_thread(waited_for, pages, "jsz?config=1"))["config"]["sync_always"]
        urls = [f"tls://relay:a%20long%20random%20one@127.0.0.1:{client}" for client, _, _ in ports.values()]
        nodes = [part for url in urls for part in ("--nats", url)]
        async with relay(None, *nodes) as server, paired(tmp_path, server.url) as (a, b):
            await a.collection("notes").put({"n": 1}, id="one")
            await a.sync(server.url)
            await b.sync(server.url)
            assert await ids(b) == {"one"}
            found = await survey(urls, "chez")
            assert (found.replicas, found.headless, found.gone) == (3, 0, 0) and found.bytes


def test_nodes_of_cluster_up_write_through(tmp_path: Path) -> None:
    """What they acknowledge is on their disks: killing them would not tell, for the system keeps what a process wrote.
    """
    needs_server()
    cluster = Cluster.at(tmp_path)
    (pages,) = free_ports(1)
    settings = tmp_path / "n1.conf"
    settings.write_text(f"{settings.read_text()}http: 127.0.0.1:{pages}\n")
    try:
        cluster.start()
        asyncio.run(_opened_and_closed(cluster))
        assert waited_for(pages, "jsz?config=1")["config"]["sync_always"] is True
    finally:
        cluster.stop()


async def _opened_and_closed(cluster: Cluster) -> None:
    await (await JetStreamStorage.open(cluster.urls, shards=1, seconds=120)).close()
