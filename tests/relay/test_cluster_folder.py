"""The folder of a local cluster, damaged, copied or incomplete: it is said of which file, or made good."""

import asyncio
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from chez_relay.cluster.greeting import NoGreeting, greeted
from chez_relay.cluster.nodes import NODES, Cluster
from chez_relay.errors import ClusterFailed
from tests.relay.clusters import needs_server, told


def test_a_cluster_that_was_copied_while_it_runs_does_not_pass_for_the_first(tmp_path: Path) -> None:
    """`up` of the copy, whose ports are those of the first one's nodes, says so of each, and ends with 3."""
    needs_server()
    first, copy = tmp_path / "first", tmp_path / "copy"
    try:
        assert told("up", first)[0] == 0
        copy.mkdir()
        for name in ("cluster.json", *(f"{node}.conf" for node in NODES)):
            shutil.copy(first / name, copy)
        code, text = told("up", copy)
        assert code == 3 and text.count("another program has its port") == 3 and "  answers" not in text
    finally:
        told("down", first)
        told("down", copy)


def test_a_node_that_has_lost_its_settings_gets_them_anew(tmp_path: Path) -> None:
    """With the same ports; and where `cluster.json` is gone, all nodes get others, and what is stored stays."""
    needs_server()
    before = Cluster.at(tmp_path)
    settings = tmp_path / "n1.conf"
    wanted = settings.read_text()
    settings.unlink()
    try:
        assert told("up", tmp_path)[0] == 0
        assert settings.read_text() == wanted
        (tmp_path / "n1" / "mark").touch()
        (tmp_path / "cluster.json").unlink()
        code, text = told("up", tmp_path)  # while those with the former ports run
        assert code == 0 and before.nodes[0].url not in text and (tmp_path / "n1" / "mark").exists()
    finally:
        told("down", tmp_path)


def test_a_folder_that_can_t_be_used_is_named_with_why(tmp_path: Path) -> None:
    """In the system's words, and with what to do."""
    code, text = told("up", tmp_path / ("x" * 300))
    assert code == 1 and "x, can't be used: File name too long\n" in text and "--data" in text


@pytest.mark.slow
def test_status_says_when_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    """0 while two of three nodes store, 3 when one alone does."""
    needs_server()
    cluster = Cluster.at(tmp_path)
    try:
        assert told("up", tmp_path)[0] == 0
        cluster.stop("n1")
        assert told("status", tmp_path)[0] == 0
        cluster.stop("n2")
        assert told("status", tmp_path)[0] == 3
    finally:
        told("down", tmp_path)


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe", b"listen: 127.0.0.1:4222\n",
                                     b'listen: 127.0.0.1:4222\njetstream {\n    store_dir: "/else"\n}\n'])
def test_a_node_is_not_started_by_damaged_settings(tmp_path: Path, damaged: bytes) -> None:
    """A server that is told nothing listens at all addresses of the machine: none is started, and it says which file.
    """
    needs_server()
    cluster = Cluster.at(tmp_path)
    (tmp_path / "n3.conf").write_bytes(damaged)
    with pytest.raises(ClusterFailed, match=r"n3\.conf is damaged") as refused:
        cluster.start()
    assert "remove it" in refused.value.hint
    assert not any(cluster.process(name) for name in NODES)


@pytest.mark.parametrize("damaged", [
    b"", b"[]", b"{}", b"null", b"\xff\xfe", b'[{"name":"n1","client":10001,"route":10002}]',
    *(f'[{{"name":"n1","client":{one},"route":10002}},{{"name":"n2","client":10003,"route":10004}},'
      f'{{"name":"n3","client":10005,"route":10006}}]'.encode() for one in ('"x"', "70000", "10002"))])
def test_a_damaged_list_of_nodes_is_said_to_be(tmp_path: Path, damaged: bytes) -> None:
    """Which file, and what to do: not the words of a parser, nor a cluster without nodes."""
    (tmp_path / "cluster.json").write_bytes(damaged)
    for door in (Cluster.at, Cluster.there):
        with pytest.raises(ClusterFailed, match=r"cluster\.json is damaged") as refused:
            door(tmp_path)
        assert "remove it" in refused.value.hint


def test_the_number_of_a_node_that_another_program_has_by_now_is_nobodys(tmp_path: Path) -> None:
    """Process numbers are given again: such a one is neither taken for a node that runs, nor ended."""
    cluster = Cluster.at(tmp_path)
    assert not cluster.died("n1")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        (tmp_path / "n1.pid").write_text(str(stranger.pid))
        assert cluster.process("n1") is None and cluster.died("n1")
        cluster.stop("n1")
        assert stranger.poll() is None and not cluster.died("n1")
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


async def test_a_greeting_that_takes_for_ever_is_none() -> None:
    """A byte every few milliseconds: the time that was given is all there is, however much is said in it."""
    left = asyncio.Event()

    async def node(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while not left.is_set():
                writer.write(b"I")
                await writer.drain()
                await asyncio.sleep(0.002)
        left.set()
        writer.close()

    async with await asyncio.start_server(node, "127.0.0.1", 0) as server, asyncio.timeout(10):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoGreeting, match="in time"):
            await asyncio.to_thread(greeted, "127.0.0.1", port, 0.3)
        await left.wait()


async def test_a_node_that_hangs_up_before_its_greeting_ends_is_heard_as_far_as_it_came() -> None:
    """And is waited for no longer: half a greeting is none."""
    async def node(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_name":')
        writer.close()

    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoGreeting, match="no server of NATS"):
            await asyncio.to_thread(greeted, "127.0.0.1", port, 10.0)


async def test_a_greeting_that_is_no_text_is_no_greeting() -> None:
    """Whoever answers at a node's port with bytes that are no text is no server of NATS."""
    async def node(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_name":"\xff"}\r\n')
        writer.close()

    async with await asyncio.start_server(node, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NoGreeting, match="no server of NATS"):
            await asyncio.to_thread(greeted, "127.0.0.1", port, 10.0)
