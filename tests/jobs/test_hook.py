"""A hook: where it may be, what it must answer, and `chez-job results --hook` killed for real."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chez.errors import InvalidValue
from chez_sandbox.job_errors import HookFailed
from chez_sandbox.provider.hook import hook_address, post
from chez_sandbox.provider.keys import load_keys
from tests.jobs.messages import message, put
from tests.jobs.test_flow import BIN, chez_job, provider, results, signed

__all__ = ("provider",)  # the fixture


class Listener:
    """A provider's program: remembers what came, and answers with `statuses` first, then with 204."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, object]]] = []
        self.statuses: list[int] = []

    def take(self, key: str, body: bytes) -> int:
        """The status of the answer."""
        status = self.statuses.pop(0) if self.statuses else 204
        if status == 204:
            self.came.append((key, json.loads(body)))
        return status


@pytest.fixture
def listener() -> Iterator[tuple[Listener, str]]:
    """A listener, and its URL on loopback."""
    listening = Listener()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = listening.take(self.headers["Idempotency-Key"], body)
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield listening, f"http://127.0.0.1:{server.server_port}/results?x=1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/x", "http://localhost/", "http://[::1]:80", "http://127.9.9.9",
                                 "https://localhost:8443/a?b=c"])  # fmt: skip
def test_a_hook_on_this_machine(url: str) -> None:
    """Loopback by name or address is a hook's address."""
    assert hook_address(url).path.startswith("/")


@pytest.mark.parametrize("url", ["http://example.org/", "https://example.org", "http://10.0.0.1", "http://0.0.0.0:1",
                                 "http://localhost.example.org", "http://127.0.0.1.nip.io", "http://2130706433",
                                 "ftp://127.0.0.1", "http://", "127.0.0.1:80", "http://a@127.0.0.1", "http://[::1",
                                 "http://127.0.0.1:99999", "http://127.0.0.1/\r\nX: y", "http://127.0.0.1/é",
                                 "http://127.0.0.1/#x"])  # fmt: skip
def test_no_hook_elsewhere(url: str) -> None:
    """Other machines, and what is no URL, are refused before anything is taken."""
    with pytest.raises(InvalidValue):
        hook_address(url)


def test_a_hook_elsewhere_is_reached_by_https_alone() -> None:
    """With `anywhere` another machine may be named, never in the clear."""
    assert hook_address("https://example.org/x", anywhere=True).port == 443
    with pytest.raises(InvalidValue, match="in the clear"):
        hook_address("http://example.org/x", anywhere=True)


def test_no_resolver_says_where_localhost_is(
    listener: tuple[Listener, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook at "localhost" is reached at loopback whatever a resolver says, and hears nothing in the clear where
    its address says https."""
    listening, url = listener
    look_up, named = socket.getaddrinfo, url.replace("127.0.0.1", "localhost")

    def numbers_alone(host: str, *rest: Any, **more: Any) -> Any:
        assert host in ("127.0.0.1", "::1")
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", numbers_alone)
    post(hook_address(named), "key", b"{}")
    with pytest.raises(HookFailed, match="can't be reached"):
        post(hook_address(named.replace("http:", "https:")), "secret", b"{}")
    assert [key for key, _ in listening.came] == ["key"]
    with pytest.raises(HookFailed, match="can't be reached"):
        post(hook_address("http://localhost:1/"), "key", b"{}")


def test_only_a_2xx_takes_a_result(listener: tuple[Listener, str]) -> None:
    """Errors and redirections are failures that name the status; nothing listening is one, too."""
    listening, url = listener
    listening.statuses = [500, 404, 307]
    for status in list(listening.statuses):
        with pytest.raises(HookFailed, match=str(status)):
            post(hook_address(url), "key", b"{}")
    post(hook_address(url), "key", b"{}")
    assert listening.came == [("key", {})]
    with pytest.raises(HookFailed, match="can't be reached"):
        post(hook_address("http://127.0.0.1:1/"), "key", b"{}")


KILLED = """
import os, signal, sys
from chez import inboxes
from chez_sandbox.provider import cli, hook, receiving
from chez_sandbox.provider.results import ResultBook

def kill(*_): os.kill(os.getpid(), signal.SIGKILL)
def after(function):
    def done(*arguments): function(*arguments); kill()
    return done

async def acknowledged(items, number):
    await acknowledge(items, number)
    kill()

acknowledge = inboxes.InboxItems.ack
place, arguments = sys.argv[1], sys.argv[2:]
match place:
    case "before the line": ResultBook._append = kill
    case "after the line": ResultBook._append = after(ResultBook._append)
    case "after the answer": receiving.post = after(receiving.post)
    case "after the place": hook._write_place = after(hook._write_place)
    case "after the acknowledgement": inboxes.InboxItems.ack = acknowledged
cli.main(arguments)
"""

DEATHS = ("before the line", "after the line", "after the answer", "after the place", "after the acknowledgement")


@pytest.mark.slow
def test_kill_9_loses_nothing(provider: Path, listener: tuple[Listener, str]) -> None:
    """Killed between any two steps, each result is one line of the file and reaches the hook, with one key if twice."""
    listening, url = listener
    job, keys = signed(provider), load_keys(provider / "provider.key")
    arguments = ["results", "--key", "provider.key", "--bundle", "evening.chez", "--hook", url, "--wait", "20"]
    for number, place in enumerate(DEATHS, start=1):
        put(keys, message(number, of=job, keys=keys))
        done = subprocess.run([sys.executable, "-c", KILLED, place, *arguments], cwd=provider, capture_output=True,
                              text=True, timeout=250)  # fmt: skip
        assert done.returncode == -9, (place, done.stderr)
    put(keys, message(len(DEATHS) + 1, of=job, keys=keys))
    chez_job(provider, *arguments)
    kept = [json.loads(line) for line in (provider / "results.jsonl").read_text().splitlines()]
    assert [line["sequence"] for line in kept] == list(range(1, len(DEATHS) + 2))
    came = [key for key, _ in listening.came]
    assert list(dict.fromkeys(came)) == [line["id"] for line in kept] and len(came) == len(kept) + 1
    assert all(line in kept for _, line in listening.came)
    again = ("results", "--key", "provider.key", "--out", "other.jsonl", "--wait", "0.3", "--json")
    assert chez_job(provider, *again) == "", "the relay forgot what was acknowledged"


@pytest.mark.slow
def test_what_a_hook_refuses_is_offered_again(provider: Path, listener: tuple[Listener, str]) -> None:
    """A hook that may not be is refused before anything is taken; one that is busy gets it later, as a table does."""
    listening, url = listener
    job, keys = signed(provider), load_keys(provider / "provider.key")
    put(keys, message(1, of=job, keys=keys))
    arguments = ("results", "--key", "provider.key", "--wait", "20", "--hook")
    assert "not this machine" in chez_job(provider, *arguments, "http://example.org/", code=1)
    listening.statuses = [503]
    chez_job(provider, *arguments, url, "--bundle", "evening.chez", "--parquet", "tables")
    (table,) = (provider / "tables").glob("evening-1-*/*.parquet")
    assert table.stat().st_size > 0 and not listening.statuses
    assert [body["sequence"] for _, body in listening.came] == [1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_results_are_followed_until_the_command_is_ended(provider: Path) -> None:
    """`results --follow` prints what waits and what comes later, until SIGTERM; what it printed is kept, not new."""
    job, keys = signed(provider), load_keys(provider / "provider.key")
    put(keys, message(1, of=job, keys=keys))
    command = [BIN / "chez-job", "results", "--key", "provider.key", "--bundle", "evening.chez", "--follow", "--json"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(provider / "cache")}
    with subprocess.Popen(command, cwd=provider, env=environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        shown = [json.loads(following.stdout.readline())]
        put(keys, message(2, of=job, keys=keys))
        shown.append(json.loads(following.stdout.readline()))
        assert following.poll() is None
        following.send_signal(signal.SIGTERM)
        assert (following.stdout.read(), following.wait()) == ("", 128 + signal.SIGTERM)
    assert [line["sequence"] for line in shown] == [1, 2]
    assert [json.loads(line) for line in (provider / "results.jsonl").read_text().splitlines()] == shown
    assert results(provider, wait=0.3) == []
