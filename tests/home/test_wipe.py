"""A home is wiped: the keys first, then the rest; cut off anywhere it never opens again, and another call goes on."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import keyring
import pytest

import chez
from chez.errors import HomeBusy, HomeMissing, StorageFailed
from chez.store.keyfile import KEY_FILE, read_key_file
from tests.home.conftest import PASSPHRASE
from tests.home.rings import MemoryRing

ROOT = Path(__file__).resolve().parents[2]


async def fill(path: Path) -> None:
    """A home with a record, an attachment, a key in the keyring, and what a killed process leaves."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        await home.collection("notes").put({"n": 1})
        await home.blobs.add(b"content" * 1000)
        await home.keyring.add()
    for name in ("chez.key.new", "unexpected.txt", "owner.socket.new", "chez.db.damaged-1"):
        (path / name).write_bytes(b"x")
    (path / ".backup-x").mkdir()
    (path / "jobs" / "compiled").mkdir(parents=True)
    (path / "jobs" / "compiled" / "code").write_bytes(b"x")


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> MemoryRing:
    """A keyring."""
    monkeypatch.setattr("keyring.core._keyring_backend", keyring.get_keyring())
    ring = MemoryRing()
    keyring.set_keyring(ring)
    return ring


async def test_nothing_of_a_home_is_left(path: Path, ring: MemoryRing) -> None:
    """Files, folder and the keyring's entry are gone; there is nothing to wipe twice."""
    await fill(path)
    done = await chez.wipe(path)
    assert done.left == () and done.files >= 8 and not path.exists() and ring.kept == {}
    with pytest.raises(HomeMissing):
        await chez.wipe(path)


async def test_what_is_not_ours_stays(path: Path, ring: MemoryRing, tmp_path: Path) -> None:
    """A file that somebody put there stays and is named; a link is removed, not followed; another folder is no home."""
    await fill(path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (path / "chez.db.link").symlink_to(outside)
    (path / "notes of mine").write_text("x")
    done = await chez.wipe(path)
    assert done.left == ("notes of mine",) and os.listdir(path) == ["notes of mine"]
    assert (outside / "precious").exists()
    with pytest.raises(HomeMissing):
        await chez.wipe(outside)
    assert (outside / "precious").exists()


async def test_a_home_in_use_is_not_wiped(home: chez.Home, path: Path) -> None:
    """Whoever has it open is named, and keeps it."""
    with pytest.raises(HomeBusy, match=str(os.getpid())):
        await chez.wipe(path)
    await home.collection("notes").put({"n": 1})
    assert read_key_file(path)


async def test_a_home_that_does_not_open_is_wiped_all_the_same(path: Path) -> None:
    """A lost passphrase, a damaged store or a missing key file is no obstacle."""
    (path / KEY_FILE).unlink()
    (path / "chez.db").write_bytes(b"nonsense")
    await chez.wipe(path)
    assert not path.exists()


async def test_a_disk_that_refuses_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be removed is an error, and the home does not open any more; the next call ends it."""
    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.unlink", refuse)
        with pytest.raises(StorageFailed, match="to its end"):
            await chez.wipe(path)
    with pytest.raises(HomeMissing, match="was being wiped"):
        async with chez.open(path, passphrase=PASSPHRASE):
            pass
    await chez.wipe(path)
    assert not path.exists()


async def test_the_key_file_is_overwritten(path: Path, tmp_path: Path) -> None:
    """Whoever still has the file by another name finds random bytes in it."""
    before = (path / KEY_FILE).read_bytes()
    os.link(path / KEY_FILE, tmp_path / "kept")
    await chez.wipe(path)
    after = (tmp_path / "kept").read_bytes()
    assert len(after) == len(before) and before[:16] not in after and b"salt" not in after


@pytest.mark.slow
async def test_killed_at_any_call_it_never_opens_again(path: Path, tmp_path: Path) -> None:
    """Dead before or after any call: untouched and opening as ever, or closed for ever, and the next call ends it.

    The store is never gone while the key file is there.
    """
    folder = tmp_path / "killed"
    folder.mkdir()
    words = [sys.executable, "-m", "tests.home.changing", "wipe", str(path), str(folder)]
    await asyncio.to_thread(subprocess.run, words, check=True, timeout=250, cwd=ROOT)
    opened = 0
    numbered = [f"{when}-{n}" for when in ("before", "after") for n in range(1, 100)]
    copies = [copy for name in numbered if (copy := folder / name).exists()]
    for copy in copies:
        key, store = (copy / KEY_FILE).exists(), (copy / "chez.db").exists()
        assert store or not key, copy
        try:
            async with chez.open(copy, passphrase=PASSPHRASE):
                opened += 1
                assert not (copy / "chez.wiping").exists()
        except HomeMissing:
            pass
        try:
            await chez.wipe(copy)
        except HomeMissing:  # but for its folder it was gone
            assert os.listdir(copy) == []
            copy.rmdir()
        assert not copy.exists(), copy
    assert 0 < opened < len(copies) and len(copies) > 15


async def test_the_mark_is_private(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is wiped nothing in the folder is for others to read."""
    modes: list[int] = []

    def seen(folder: Path) -> bool:
        modes.append(stat.S_IMODE((folder / "chez.wiping").stat().st_mode))
        return False

    monkeypatch.setattr("chez.home.wiping.remove_key", seen)
    await chez.wipe(path)
    assert modes == [0o600]
