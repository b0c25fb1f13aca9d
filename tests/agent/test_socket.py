"""The owner's socket: who may call, where it is, and what a killed owner left."""

import asyncio
import errno
import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from chez.agent import paths, reports
from chez.agent.owner import Owner, serve, serving
from chez.cli.client import exchange
from chez.errors import InvalidValue, NotAllowed, StorageFailed
from tests.agent.owning import Face, FakeHome, ask, dial, find


async def test_another_user_is_refused(home: FakeHome, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's word on who calls decides, on both sides."""
    monkeypatch.setattr(paths, "peer_uid", lambda _: os.getuid() + 1)
    with socket.socket(socket.AF_UNIX) as link:  # not by `connect`, which looks at the owner's uid
        link.connect(str(owner.path))
        link.settimeout(20)
        with pytest.raises(NotAllowed, match="another user"):
            await asyncio.to_thread(exchange, link, Face(), "echo", {})
    # The client for its part does not talk to somebody else's process.
    assert paths.connect(home.path) is None


async def test_the_kernel_tells_who_calls(home: FakeHome, owner: Owner) -> None:
    """peer_uid is the uid of this process on a connection from this process."""
    with dial(home) as link:
        assert paths.peer_uid(link) == os.getuid()


async def test_socket_and_folder_are_private_even_when_the_folder_was_not(tmp_path: Path) -> None:
    """Mode 0600 in a 0700 folder, whatever umask and folder were before."""
    folder = tmp_path / "lax"
    folder.mkdir()
    folder.chmod(0o755)
    before = os.umask(0)
    try:
        async with serve(FakeHome(folder), find=find) as owner:  # type: ignore[arg-type]
            assert stat.S_IMODE(owner.path.stat().st_mode) == 0o600
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    finally:
        os.umask(before)


async def test_a_deep_folder_gets_a_private_socket_elsewhere(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path too long for a socket is served from the runtime folder, and cleaned up."""
    runtime = Path(os.path.realpath("/tmp")) / f"chez-test-{os.getpid()}"
    runtime.mkdir(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    folder = tmp_path / ("d" * 100)
    folder.mkdir(0o700)
    home = FakeHome(folder)
    try:
        async with serve(home, find=find) as owner:  # type: ignore[arg-type]
            assert owner.path.is_relative_to(runtime)
            assert stat.S_IMODE(owner.path.parent.stat().st_mode) == 0o700
            assert stat.S_IMODE(owner.path.stat().st_mode) == 0o600
            assert await ask(home, "echo", n=1) == {"n": 1}
        assert list(runtime.iterdir()) == [] and list(folder.iterdir()) == []
    finally:
        runtime.rmdir()


async def test_a_copy_of_a_deep_folder_leads_nobody_to_the_owner_of_the_original(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of the copy is not done in the original, whose socket an owner of the copy leaves alone."""
    with tempfile.TemporaryDirectory(prefix="chez-test-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        original, copy = (FakeHome(tmp_path / (name * 100)) for name in "oc")
        original.path.mkdir(0o700)
        async with serve(original, find=find):  # type: ignore[arg-type]
            shutil.copytree(original.path, copy.path)
            assert paths.connect(copy.path) is None
            async with serve(copy, find=find):  # type: ignore[arg-type]
                assert await ask(copy, "echo", n=1) == {"n": 1}
            assert await ask(original, "echo", n=2) == {"n": 2}
            original.path = original.path.rename(tmp_path / ("m" * 100))
            assert await ask(original, "echo", n=3) == {"n": 3}


async def test_what_a_killed_owner_left_is_replaced(home: FakeHome, tmp_path: Path) -> None:
    """A stale socket and pointer are no owner, and do not stop the next one."""
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(home.path / "owner.sock"))
    stale.close()
    (home.path / "owner.socket").write_text(str(tmp_path / "chez-gone" / "owner.sock"))
    assert paths.connect(home.path) is None
    async with serve(home, find=find):  # type: ignore[arg-type]
        assert await ask(home, "echo", n=1) == {"n": 1}
    assert list(home.path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", b"elsewhere", b"x" * 9999, b"relative"])
async def test_a_damaged_pointer_is_no_owner(tmp_path: Path, content: bytes) -> None:
    """Whatever the pointer file says, connecting gives None, and starting still works and takes nothing else away."""
    folder, elsewhere = tmp_path / ("d" * 100), tmp_path / "elsewhere"
    folder.mkdir(0o700)
    elsewhere.write_bytes(b"another's")
    number = f"{folder.stat().st_dev} {folder.stat().st_ino}\n".encode()
    (folder / "owner.socket").write_bytes(number + (bytes(elsewhere) if content == b"elsewhere" else content))
    assert paths.connect(folder) is None
    async with serve(FakeHome(folder), find=find):  # type: ignore[arg-type]
        pass
    assert elsewhere.read_bytes() == b"another's"


async def test_a_socket_is_taken_over_by_the_program_that_follows(home: FakeHome) -> None:
    """What was left with `keep` is listened on again; a descriptor of anything else is refused."""
    async with serving(home.path, paths.listen(home.path), find=find) as owner:
        kept = owner.keep()
        path = owner.path
    assert path.exists() and os.get_inheritable(kept)
    early = dial(home)  # a client that comes while nobody listens waits
    async with serving(home.path, paths.adopt(home.path, kept), find=find) as again:
        assert not os.get_inheritable(kept)
        again.open(home)  # type: ignore[arg-type]
        assert await asyncio.to_thread(exchange, early, Face(), "echo", {"n": 1}) == {"n": 1}
        early.close()
    assert not path.exists()
    nothing = os.open(os.devnull, os.O_RDONLY)
    with pytest.raises(InvalidValue):
        paths.adopt(home.path, nothing)
    os.close(nothing)
    with socket.socket(socket.AF_UNIX) as other, pytest.raises(InvalidValue):
        paths.adopt(home.path, os.dup(other.fileno()))


async def test_the_socket_of_another_home_is_not_taken_over(home: FakeHome, tmp_path: Path) -> None:
    """What is asked there would be done here: its descriptor is refused as any other's."""
    (tmp_path / "other").mkdir(0o700)
    mine, other = paths.listen(home.path), paths.listen(tmp_path / "other")
    with pytest.raises(InvalidValue, match="not this home's"):
        paths.adopt(home.path, os.dup(other.socket.fileno()))
    mine.close()
    other.close()


async def test_a_socket_that_can_not_be_announced_leaves_nothing(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk under a deep folder: a typed error, and no folder stays where the socket was."""
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / ("d" * 100)
    folder.mkdir(0o700)
    with tempfile.TemporaryDirectory(prefix="chez-test-") as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        monkeypatch.setattr(paths, "_write_pointer", full)
        with pytest.raises(StorageFailed, match="No space"):
            paths.listen(folder)
        assert os.listdir(runtime) == [] and list(folder.iterdir()) == []


def test_what_is_kept_of_errors_stays_small(tmp_path: Path) -> None:
    """The file begins anew beyond its size, and a chain of errors without end is cut."""
    error = ValueError("a")
    for _ in range(40):
        after = ValueError("b")
        after.__cause__, error = error, after
    assert reports.describe(error).count("ValueError") == 16
    (tmp_path / reports.FILE_NAME).write_bytes(b"x" * (reports.MAX_BYTES + 1))
    reports.write(tmp_path, error, "now")
    assert 0 < (tmp_path / reports.FILE_NAME).stat().st_size < 4096
    reports.write(tmp_path, error, "then")
    assert (tmp_path / reports.FILE_NAME).read_text().count("ValueError") == 32
