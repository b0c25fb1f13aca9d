"""Who gives up a call on a home finds it as it was, or done: nothing goes on unseen, and nothing is left over."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.crypto import Kdf
from chez.errors import HomeMissing
from tests.cuts import Cutter, each_cut, of_moments
from tests.fresh import PASSPHRASE, fresh_home

MOMENTS = pytest.mark.parametrize(("late", "seed"), [
    (False, 1), pytest.param(True, 1, marks=pytest.mark.slow), pytest.param(False, 0, marks=pytest.mark.slow),
    pytest.param(True, 0, marks=pytest.mark.exhaustive),
], ids=["some", "some-late", "all", "all-late"])
"""Some of the moments at which a call may be cut, or each."""


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What threads are at, by its name; they take their time, so that who does not wait for one is seen."""
    true, at_work = asyncio.to_thread, list[str]()

    async def slow(work: Callable[..., Any], *given: Any) -> Any:
        name = getattr(work, "__name__", "")

        def later() -> Any:
            time.sleep(0.02)
            try:
                return work(*given)
            finally:
                at_work.remove(name)

        at_work.append(name)
        return await true(later)

    monkeypatch.setattr(asyncio, "to_thread", slow)
    return at_work


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    """A folder with a home "home" and a backup of it."""
    made = tmp_path / "folder"
    made.mkdir()
    async with chez.open(await fresh_home(made / "home"), passphrase=PASSPHRASE) as home:
        photo = await home.blobs.add(b"x" * 100_000)
        await home.collection("notes").put({"photo": photo}, id="a")
        await home.backup(made / "backup")
    return made


async def sound(path: Path, *ids: str) -> None:
    """The home there opens, is sound, and has these notes."""
    async with chez.open(path, passphrase=PASSPHRASE) as home:
        assert {note.id async for note in home.collection("notes")} == set(ids)
        assert (await home.journal.verify()).ok and await home.examine() == []


def only(folder: Path, *names: str) -> None:
    """Nothing is in the folder but these, and what was there."""
    assert {path.name for path in folder.iterdir()} <= {"home", "backup", *names}


@MOMENTS
@pytest.mark.parametrize("way", ["create", "restore"])
async def test_a_home_that_is_made_is_there_or_not(
        folder: Path, threads: list[str], late: bool, seed: int, way: str) -> None:
    """Given up at any moment, either leaves a home, or nothing, beside its place either, and nothing at work there."""
    async def trial(there: Path, cutter: Cutter) -> None:
        def make() -> Coroutine[Any, Any, Any]:
            if way == "create":
                return chez.create(there / "new", passphrase=PASSPHRASE, kdf=Kdf.minimum())
            return chez.restore(there / "backup", there / "new", passphrase=PASSPHRASE, kdf=Kdf.minimum())

        ended = await cutter(make())
        assert not threads, threads
        only(there, *(() if isinstance(ended, BaseException) else ("new",)))
        if isinstance(ended, BaseException):
            await make()
        await sound(there / "new", *(("a",) if way == "restore" else ()))

    assert await each_cut(folder, trial, late=late, wanted=of_moments(seed, 2 if way == "create" else 6)) > 2


@pytest.mark.parametrize("late", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["early", "late"])
async def test_who_gives_up_closing_a_home_has_closed_it(folder: Path, late: bool) -> None:
    """No connection, no task and no key of it stays, and it opens again at once."""
    async def trial(there: Path, cutter: Cutter) -> None:
        stack = AsyncExitStack()
        home = await stack.enter_async_context(chez.open(there / "home", passphrase=PASSPHRASE))
        await cutter(stack.aclose())
        assert not any(home._database.key)
        await sound(there / "home", "a")

    assert await each_cut(folder, trial, late=late) > 2


@MOMENTS
async def test_who_gives_up_an_open_home_loses_nothing_that_was_done(folder: Path, late: bool, seed: int) -> None:
    """At any moment from opening to closing: what a call returned from is there."""
    async def trial(there: Path, cutter: Cutter) -> None:
        done = ["a"]

        async def use() -> None:
            async with chez.open(there / "home", passphrase=PASSPHRASE) as home:
                await home.collection("notes").put({"n": 1}, id="b")
                done.append("b")
                await home.collection("notes").put({"n": 2}, id="c")
                done.append("c")

        await cutter(use())
        async with chez.open(there / "home", passphrase=PASSPHRASE) as home:
            here = {note.id async for note in home.collection("notes")}
        assert set(done) <= here
        await sound(there / "home", *here)

    assert await each_cut(folder, trial, late=late, wanted=of_moments(seed, 12)) > 2


async def test_who_gives_up_wiping_finds_nothing_left_of_the_home(folder: Path) -> None:
    """It is wiped when he hears of it: a second call would have met a home that this process has."""
    async def trial(there: Path, cutter: Cutter) -> None:
        await cutter(chez.wipe(there / "home"))
        assert not (there / "home").exists()
        with pytest.raises(HomeMissing):
            await chez.wipe(there / "home")

    assert await each_cut(folder, trial, late=False) == 2


async def test_who_gives_up_mending_a_home_has_it_for_himself_again(folder: Path, threads: list[str]) -> None:
    """The doctor writes nothing any more once its lock is gone."""
    async def trial(there: Path, cutter: Cutter) -> None:
        await cutter(chez.doctor(there / "home", passphrase=PASSPHRASE, rebuild=True))
        assert "_mended" not in threads
        await sound(there / "home", "a")

    assert await each_cut(folder, trial, late=False) == 3


async def test_who_gives_up_restoring_does_not_wait_for_all_of_it(folder: Path) -> None:
    """A backup may be large: what is left of it is not read."""
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home.blobs.add(bytes(8_000_000))
        await home.backup(folder / "large")
    told = list[tuple[int, int]]()

    def give_up(done: int, total: int) -> None:
        told.append((done, total))
        restoring.cancel()

    restoring = asyncio.create_task(chez.restore(folder / "large", folder / "back", passphrase=PASSPHRASE,
                                                 kdf=Kdf.minimum(), progress=give_up))
    with pytest.raises(asyncio.CancelledError):
        await restoring
    only(folder, "large")
    assert told[-1][0] < told[-1][1] / 2


@pytest.mark.parametrize(("late", "seed"), [
    *(pytest.param(late, 1, marks=pytest.mark.slow) for late in (False, True)),
    *(pytest.param(late, 0, marks=pytest.mark.exhaustive) for late in (False, True)),
], ids=["some", "some-late", "all", "all-late"])
async def test_who_gives_up_an_import_leaves_no_file_open(folder: Path, late: bool, seed: int) -> None:
    """At whatever moment; and brought home again each record is there once."""
    contacts = Path(__file__).parents[1] / "data" / "contacts-vcard" / "gmail-list.vcf"

    async def trial(there: Path, cutter: Cutter) -> None:
        async with chez.open(there / "home", passphrase=PASSPHRASE) as home:
            await cutter(home.import_file(contacts, in_process=True, keep=True))
            report = await home.import_file(contacts, in_process=True, keep=True)
            assert (report.added + report.unchanged, len(await home.kept_exports())) == (3, 1)
        await sound(there / "home", "a")

    assert await each_cut(folder, trial, late=late, wanted=of_moments(seed, 8)) > 2
