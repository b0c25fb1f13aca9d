"""An owner that locks itself: it keeps its socket and its place, and no key."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

import chez
from chez.agent import paths, protocol
from chez.agent.owner import serving
from chez.cli.client import exchange
from chez.cli.values import duration
from chez.errors import HomeLocked, InvalidValue, Unavailable
from tests.cli.support import PASSPHRASE, Chez, alive, until


def up(home: Chez, *more: str) -> int:
    """Start a detached owner that locks itself after a second."""
    pid: int = home.json("up", "--detach", "--lock-after", "1s", *more)["pid"]
    home.made.append(pid)
    return pid


def locked(home: Chez) -> bool:
    """Whether the owner has locked itself; asking that is no use of the home."""
    link = paths.connect(home.home)
    if link is None:
        return False
    with link:
        try:
            return bool(exchange(link, None, "owner", {})["locked"])  # type: ignore[arg-type]
        except Unavailable:  # just in the middle of it
            return False


@pytest.mark.slow
def test_an_owner_locks_itself_and_opens_again(chez: Chez, tmp_path: Path) -> None:
    """Locked it says so and what to do; the right passphrase opens it in the same process, a wrong one waits."""
    pid = up(chez)
    chez.run("put", "notes", "a", "n=1", passphrase=False)
    until(lambda: locked(chez))
    for words in (("get", "notes", "a"), ("status",), ("put", "notes", "n=2")):
        error = chez.error(*words)
        assert error["code"] == "HomeLocked" and "chez unlock" in error["hint"]
    assert chez.error("up", "--detach")["code"] == "HomeBusy"
    (tmp_path / "wrong").write_text("not it\n")
    (tmp_path / "wrong").chmod(0o600)
    wrong = Chez(chez.home, tmp_path / "wrong")
    link = paths.connect(chez.home)
    assert link is not None
    link.sendall(protocol.encode(protocol.Request("unlock", {"passphrase": "not it"})))
    link.close()  # who hangs up before the answer ends nothing
    until(lambda: wrong.error("unlock")["code"] == "WrongPassphrase")
    assert alive(pid) and locked(chez)
    until(lambda: subprocess.run(chez.arguments("unlock"), capture_output=True, timeout=250).returncode == 0)
    assert chez.json("get", "notes", "a", passphrase=False)["value"] == {"n": 1}
    assert chez.json("unlock") == {"unlocked": False}
    until(lambda: locked(chez))  # once more, from the second program on
    assert chez.json("unlock") == {"unlocked": True}
    assert chez.json("lock", passphrase=False)["owner"]["pid"] == pid
    until(lambda: not alive(pid))
    assert not (chez.home / "owner.sock").exists()
    assert chez.json("get", "notes", "a")["value"] == {"n": 1}


@pytest.mark.parametrize("how", ["lock", "SIGTERM"])
@pytest.mark.slow
def test_a_locked_owner_ends_when_told(chez: Chez, how: str) -> None:
    """`chez lock` and a signal end it as they end an open one: no socket stays, and the home is free."""
    pid = up(chez)
    until(lambda: locked(chez))
    if how == "lock":
        chez.run("lock", passphrase=False)
    else:
        os.kill(pid, signal.SIGTERM)
    until(lambda: not alive(pid))
    assert not (chez.home / "owner.sock").exists()
    assert chez.run("status")


@pytest.mark.slow
def test_use_keeps_it_open(chez: Chez) -> None:
    """A command under way is use for as long as it takes: a pairing that waits for its device is not cut off."""
    up(chez)
    chez.run("relay", "ws://127.0.0.1:1", passphrase=False)
    assert chez.error("sync", "--timeout", "1.5", passphrase=False)["code"] == "RelayUnreachable"
    until(lambda: locked(chez))


def held(pid: int, secrets: dict[str, bytes]) -> set[str]:
    """Which of the secrets a process has anywhere in its memory, as bytes or in hexadecimal."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            start, end, rights = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line).groups()  # type: ignore[union-attr]
            if "r" not in rights or "[v" in line:
                continue
            try:
                memory.seek(int(start, 16))
                data = memory.read(int(end, 16) - int(start, 16))
            except OSError:
                continue
            found |= {name for name, secret in secrets.items()
                      if secret in data or secret.hex().encode() in data or secret.hex().upper().encode() in data}
    return found


async def secrets_of(home: Path) -> dict[str, bytes]:
    """What only an open home may hold: keys, a record's content."""
    async with chez.open(home, passphrase=PASSPHRASE) as opened:
        space = opened._replica.space
        [epoch] = space.epochs.values()
        return {"the database key": bytes(opened._database.key), "the signing key": opened._device.signing.seed,
                "the sealing key": opened._device.sealing.seed, "the epoch": epoch.secret,
                "the entry key": epoch.entry_key, "a record": CONTENT.encode(), "the passphrase": PASSPHRASE.encode()}


CONTENT = "Quetzalcoatl takes his tea at four"


@pytest.mark.slow
def test_locked_it_holds_no_secret_anywhere(chez: Chez, tmp_path: Path) -> None:
    """Every byte of the process is searched: open it holds keys and content, locked none, and not the passphrase."""
    chez.run("put", "notes", "tea", f"title={CONTENT}")
    copy = tmp_path / "copy"
    shutil.copytree(chez.home, copy)
    secrets = asyncio.run(secrets_of(copy))
    with subprocess.Popen(chez.arguments("up", "--lock-after", "1s"), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as owner:
        assert owner.stdout is not None and b"is open" in owner.stdout.readline()
        chez.run("get", "notes", "tea", passphrase=False)
        assert {"the signing key", "the epoch", "a record"} <= held(owner.pid, secrets)
        until(lambda: locked(chez))
        assert held(owner.pid, secrets) == set()
        chez.run("unlock")
        assert "the signing key" in held(owner.pid, secrets)
        owner.terminate()
        assert owner.wait(timeout=90) == 0


@pytest.mark.parametrize("word", ["", "15", "m", "0s", "-1s", "1e9s", "367d", "15 minutes", "nan"])
def test_a_time_span_that_is_none_is_refused(word: str) -> None:
    """Nothing starts that would lock itself never or at once."""
    with pytest.raises(InvalidValue):
        duration(word)


def test_unlock_without_an_owner_says_what_to_do(chez: Chez) -> None:
    """There is nothing to unlock then."""
    assert chez.error("unlock")["code"] == "NotFound"


async def test_who_came_just_before_hears_that_it_locked_itself(tmp_path: Path) -> None:
    """A command that connected while the owner was locking, and asks as the program is replaced, has its answer;
    one that asks nothing holds it up for a moment only."""
    async with serving(tmp_path, paths.listen(tmp_path), lock_after=60) as owner:
        late, silent = paths.connect(tmp_path), paths.connect(tmp_path)
        assert late is not None and silent is not None
        with late, silent:
            await asyncio.to_thread(exchange, silent, None, "owner", {})  # type: ignore[arg-type]  # both are accepted then
            kept = owner.keep()
            ending = asyncio.create_task(owner.finish())
            await asyncio.sleep(0.1)
            with pytest.raises(HomeLocked):
                await asyncio.to_thread(exchange, late, None, "get", {})  # type: ignore[arg-type]
            late.close()
            await ending
    os.close(kept)


@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize(("verb", "asks", "answer"), [
    ("unlock", ["owner", "unlock"], {"unlocked": True}), ("lock", ["lock"], {"locked": True}),
])
def test_who_locks_or_unlocks_asks_once_more_when_the_program_is_replaced(
    chez: Chez, verb: str, asks: list[str], answer: dict[str, bool], cuts: int
) -> None:
    """An owner that locks itself hangs up on who asks just then; the one after it is asked, and no third one."""
    heard: list[str] = []

    def serve(links: socket.socket) -> None:
        for number in range(2):
            link, _ = links.accept()
            with link:
                deframer = protocol.Deframer()
                while data := link.recv(4096):
                    for request in map(protocol.decode_client, deframer.feed(data)):
                        assert isinstance(request, protocol.Request)
                        heard.append(request.verb)
                    if heard[-1] == verb and number < cuts:
                        break
                    link.sendall(protocol.encode(protocol.Result({"locked": True} if heard[-1] == "owner" else answer)))
                    if heard[-1] == "lock":
                        break

    links = paths.listen(chez.home)
    links.socket.setblocking(True)
    serving = threading.Thread(target=serve, args=(links.socket,))
    serving.start()
    try:
        if cuts == 1:
            assert answer.items() <= chez.json(verb).items()
        else:
            assert chez.error(verb)["code"] == "OwnerGone"
    finally:
        serving.join(30)
        links.close()
    assert heard == asks * 2
