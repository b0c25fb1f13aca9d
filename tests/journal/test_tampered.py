"""A journal that somebody cut or wrote anew, and debits that would give something back."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import chez
from chez import crypto
from chez.errors import InvalidValue, NotAllowed
from chez.journal import Verification
from tests.fresh import PASSPHRASE, fresh_home


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[chez.Home]:
    """An open home."""
    async with chez.open(await fresh_home(tmp_path / "home"), passphrase=PASSPHRASE) as opened:
        yield opened


async def test_a_journal_shows_against_what_other_devices_were_told(home: chez.Home) -> None:
    """Its head leaves with the device's entries: what was told can't be cut off, nor written anew, by who has its key.
    What nobody was told of leaves no trace elsewhere."""
    for number in range(2):
        await home.journal.append("note", {"n": number})
    await home.collection("notes").put({"n": 1})
    await home._database.write(home._spaces.private.replica.author.flush)
    told = len(await home.journal.receipts())
    await home.journal.append("note", {"n": "not told"})
    assert (await home.journal.verify()).receipts == told + 1
    await home._database.write(lambda db: db.execute("DELETE FROM receipt WHERE number > ?", (told,)))
    assert (await home.journal.verify()).ok
    await home._database.write(lambda db: db.execute("DELETE FROM receipt WHERE number = ?", (told,)))
    why = f"the journal was cut: other devices were told of receipt {told}"
    assert await home.journal.verify() == Verification(False, told - 1, why)
    await home.journal.append("note", {"n": "another"})
    assert await home.journal.verify() == Verification(False, told, why)


@pytest.mark.parametrize(("bits", "why"), [(-1.0, "a debit is a number from 0"), (float("nan"), "bits is no number")])
async def test_a_debit_gives_nothing_back(home: chez.Home, bits: float, why: str) -> None:
    """What is less than nothing, or no number, is refused: no account has more after it, nor the journal a line."""
    await home.journal.reserve({"provider:x": 10.0}, 10.0, "run", {})
    before = await home.journal.receipts()
    with pytest.raises(InvalidValue, match=why):
        await home.journal.reserve({"provider:x": 10.0}, bits, "run", {})
    with pytest.raises(NotAllowed, match="budget"):
        await home.journal.reserve({"provider:y": 10.0, "provider:x": 10.0}, 1.0, "run", {})
    assert await home.journal.receipts() == before
    assert [await home.journal.spent(f"provider:{one}") for one in "xy"] == [10.0, 0.0]


async def test_what_is_written_while_it_is_verified_is_no_sign_that_it_was_cut(
        home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """To check the signatures of a long journal takes seconds. What others are told of it meanwhile has more receipts
    than were read, and passed for those of a journal that somebody had cut."""
    loop, verify, begun = asyncio.get_running_loop(), crypto.verify, list[bool]()

    async def write() -> None:
        await home.journal.append("note", {})
        await home.collection("notes").put({"n": 1})
        await home._database.write(home._spaces.private.replica.author.flush)

    def slowly(*args: Any) -> None:
        if not begun:
            begun.append(True)
            asyncio.run_coroutine_threadsafe(write(), loop).result(10)
        verify(*args)

    await home.journal.append("note", {})
    monkeypatch.setattr("chez.journal.crypto.verify", slowly)
    assert (await home.journal.verify()).ok and begun
    assert (await home.journal.verify()).ok
