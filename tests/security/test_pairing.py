"""Who guesses a pairing code has one try, which burns it and is reported; who keeps at it is stopped."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chez
from chez import crypto, inboxes
from chez.crypto import Kdf
from chez.errors import BadPairing, HomeExists, InvalidValue, NotAllowed, RelayUnreachable, StorageFailed
from chez.home import lifecycle, pairing, replying
from chez.home.pairing import Pairing, split_code
from chez.journal import write_receipt
from chez.sync.codes import mailbox
from chez.sync.pairing import Bundle, Introduction, NewDevice
from tests.home.conftest import PASSPHRASE
from tests.relay.within import relay


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[chez.Home]:
    """A home with a relay."""
    await chez.create(tmp_path / "home", passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    async with relay(tmp_path / "relay") as process, chez.open(tmp_path / "home", passphrase=PASSPHRASE) as home:
        await home.set_relay(process.url)
        await home.sync()
        yield home


async def guess(code: str) -> None:
    """Try the code of somebody who knows where the inboxes are, as the relay's operator does, and not the words."""
    short, url = split_code(code)
    assert url is not None
    plate, first, second = short.split("-")
    wrong = f"{plate}-{'zoo' if first != 'zoo' else 'zone'}-{second}"
    to_new, _ = mailbox(wrong, True)
    to_old, box = mailbox(wrong, False)
    keys = lifecycle.new_device()
    machine = NewDevice(wrong, keys.signing, keys.sealing.public, "thief", crypto.random_bytes(32))
    async with inboxes.watch(url, to_new) as items:
        async for item in items:
            await inboxes.put(url, box, to_old, machine.answer(item.item))
            return


async def receipts(home: chez.Home) -> list[dict[str, object]]:
    """What the journal tells of pairings that were refused."""
    return [one.body for one in await home.journal.receipts("pairing-refused")]


async def test_one_wrong_guess_burns_the_code_and_is_reported(home: chez.Home, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """The old device says so and keeps a receipt; the right code does not work any more, nor does a second confirm."""
    async with home.pair() as waiting:
        await asyncio.gather(guess(waiting.code), refused(waiting))
        assert await receipts(home) == [{"reason": "wrong code"}]
        monkeypatch.setattr(lifecycle, "JOIN_SECONDS", 1)
        monkeypatch.setattr(pairing, "CODE_SECONDS", 20)
        late = asyncio.create_task(waiting.confirm())
        with pytest.raises((NotAllowed, BadPairing)):
            await chez.join(tmp_path / "late", waiting.code, passphrase=PASSPHRASE, kdf=Kdf.minimum())
        with pytest.raises(BadPairing):
            await late
    assert not (tmp_path / "late").exists()
    assert list((await home.status()).devices) == ["laptop"]


async def refused(waiting: Pairing) -> None:
    """Wait for the new device, who turns out to be none."""
    with pytest.raises(BadPairing, match="burnt"):
        await waiting.confirm()


async def test_who_mistypes_a_code_hears_it_at_once(home: chez.Home, tmp_path: Path) -> None:
    """The new device does not wait ten minutes for an answer, and no home is made there."""
    async with home.pair() as waiting:
        plate, first, second = waiting.code.split("-", 2)
        wrong = f"{plate}-{'zoo' if first != 'zoo' else 'zone'}-{second}"
        joining = asyncio.create_task(chez.join(tmp_path / "new", wrong, passphrase=PASSPHRASE, kdf=Kdf.minimum()))
        await refused(waiting)
        async with asyncio.timeout(90):
            with pytest.raises(BadPairing, match="not the right one"):
                await joining
    assert not (tmp_path / "new").exists()


async def test_an_unused_code_expires(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """When nobody comes in time the wait ends, as said; the relay is told the same time for the inboxes."""
    asked: list[int] = []
    create = inboxes.create

    async def noted(url: str, key: crypto.SigningKey, writer: bytes, *, ttl: int) -> None:
        asked.append(ttl)
        await create(url, key, writer, ttl=ttl)

    monkeypatch.setattr(inboxes, "create", noted)
    async with home.pair() as waiting:
        assert asked == [600, 600] == [pairing.CODE_SECONDS] * 2
        monkeypatch.setattr(pairing, "CODE_SECONDS", 0)
        with pytest.raises(NotAllowed, match="ten minutes"):
            await waiting.confirm()


async def test_a_code_that_was_given_up_is_over_at_once(home: chez.Home, tmp_path: Path) -> None:
    """Who types it after the old device stopped waiting hears so, and need not wait ten minutes; no home is made."""
    async with home.pair() as waiting:
        code = waiting.code
    async with asyncio.timeout(90):
        with pytest.raises(NotAllowed, match="the code is over"):
            await chez.join(tmp_path / "new", code, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    assert not (tmp_path / "new").exists()


async def test_a_code_that_was_typed_before_is_told_soon(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever types a code takes out its first message: who comes next hears of it, and waits no ten minutes."""
    monkeypatch.setattr(replying, "FIRST_SECONDS", 0.3)
    async with home.pair() as waiting:
        code, url = split_code(waiting.code)
        assert url is not None
        async with inboxes.watch(url, mailbox(code, True)[0]) as items:
            async for item in items:
                await items.ack(item.number)
                break
        async with asyncio.timeout(90):
            with pytest.raises(NotAllowed, match="typed before"):
                await chez.join(tmp_path / "new", waiting.code, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    assert not (tmp_path / "new").exists()


async def test_a_code_of_a_device_that_is_off_is_over_soon(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that was killed can't say that it waits no more: what was sent to it lies there unread, which tells."""
    monkeypatch.setattr(replying, "UNREAD_SECONDS", 0.2)
    async with home.pair() as waiting:  # which does not look
        async with asyncio.timeout(90):
            with pytest.raises(NotAllowed, match="nobody waits for this code"):
                await chez.join(tmp_path / "new", waiting.code, passphrase=PASSPHRASE, kdf=Kdf.minimum())
    assert not (tmp_path / "new").exists()


async def test_a_person_who_thinks_it_over_is_waited_for(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old device took what was sent long before the person says yes: the new one goes on waiting."""
    monkeypatch.setattr(replying, "UNREAD_SECONDS", 0.05)
    monkeypatch.setattr(replying, "LOOK_SECONDS", 0.3)
    looked = asyncio.Event()
    unread = replying._unread

    async def told(*arguments: object) -> bool:
        found: bool = await unread(*arguments)  # type: ignore[arg-type]
        looked.set()
        return found

    monkeypatch.setattr(replying, "_unread", told)

    async def think(question: str, *, default: str = "") -> str:
        await looked.wait()
        return "yes"

    async with home.pair() as waiting:
        joining = asyncio.create_task(chez.join(tmp_path / "new", waiting.code, passphrase=PASSPHRASE, name="new",
                                                kdf=Kdf.minimum()))
        assert (await waiting.confirm(think)).name == "new"
        await joining


async def test_where_no_home_can_be_made_the_code_is_not_used(home: chez.Home, tmp_path: Path) -> None:
    """A file, another home, a link, no passphrase, no name: refused before anybody is asked. The code works still, and
    the person has no device that is nowhere."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    places: list[tuple[str, dict[str, str], type[Exception]]] = [
        ("file", {}, HomeExists), ("home", {}, HomeExists), ("link", {}, InvalidValue),
        ("new", {"passphrase": ""}, InvalidValue), ("new", {"name": ""}, InvalidValue),
        ("file/home", {}, StorageFailed), ("n" * 300, {}, InvalidValue), ("new\0", {}, InvalidValue)]
    async with home.pair() as waiting, asyncio.timeout(90):
        for place, terms, refusal in places:
            joining = chez.join(tmp_path / place, waiting.code, **{"passphrase": PASSPHRASE, **terms})  # type: ignore[arg-type]
            with pytest.raises(refusal):
                await asyncio.wait_for(joining, 20)  # where it is not refused, it waits for somebody to say yes
        await asyncio.gather(waiting.confirm(), chez.join(
            tmp_path / "new", waiting.code, passphrase=PASSPHRASE, name="new", kdf=Kdf.minimum()))
    assert [one.name for one in await home.devices.all()] == ["laptop", "new"]


async def test_who_does_not_say_yes_lets_nobody_in(home: chez.Home, tmp_path: Path) -> None:
    """With the right code, but not the person's word: the new device hears that, no home is made, nothing is certified.
    What is asked names the device, and says its fingerprint; the journal tells."""
    asked: list[str] = []

    async def think(question: str, *, default: str = "") -> str:
        asked.append(f"{question} {default}")
        return "yes, but"

    async with home.pair() as waiting:
        joining = asyncio.create_task(chez.join(tmp_path / "new", waiting.code, passphrase=PASSPHRASE, name="new",
                                                kdf=Kdf.minimum()))
        with pytest.raises(NotAllowed, match="not let in"):
            await waiting.confirm(think)
        async with asyncio.timeout(90):
            with pytest.raises(BadPairing, match="said no"):
                await joining
    assert len(asked) == 1 and "'new' (fingerprint " in asked[0] and asked[0].endswith(" no")
    assert not (tmp_path / "new").exists()
    assert await receipts(home) == [{"reason": "the person said no", "name": "new"}]
    assert list((await home.status()).devices) == [one.name for one in await home.devices.all()] == ["laptop"]


async def test_who_was_let_in_and_cannot_be_told_is_no_surprise(
        home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay goes just when the new device was certified: what is a device by now is said, and what to do."""
    certify = Pairing._certify

    async def and_gone(self: Pairing, who: Introduction) -> Bundle:
        bundle = await certify(self, who)
        self._address = "ws://127.0.0.1:1"
        return bundle

    monkeypatch.setattr(Pairing, "_certify", and_gone)
    async with home.pair() as waiting:
        there = waiting._address
        joining = asyncio.create_task(chez.join(tmp_path / "new", waiting.code, passphrase=PASSPHRASE, name="new",
                                                kdf=Kdf.minimum()))
        with pytest.raises(RelayUnreachable, match="'new' is a device of yours by now") as told:
            await waiting.confirm()
        waiting._address = there
    assert "chez device remove" in told.value.hint
    async with asyncio.timeout(90):
        with pytest.raises(BadPairing):
            await joining
    assert not (tmp_path / "new").exists()
    await home.devices.remove("new")
    assert [one.name for one in await home.devices.all() if one.active] == ["laptop"]


async def wrong_codes(home: chez.Home, count: int, ago: int) -> None:
    """So many wrong tries, so many seconds ago."""
    from chez.home.assembly import unix_milliseconds

    for _ in range(count):
        await home._database.write(lambda db: write_receipt(
            db, home._device, unix_milliseconds() - ago * 1000, "pairing-refused", {"reason": "wrong code"}))


async def test_who_keeps_guessing_is_stopped(home: chez.Home) -> None:
    """After five wrong codes within an hour no new code is made; older ones, or a person saying no, do not count."""
    await wrong_codes(home, 20, ago=3700)
    await wrong_codes(home, 4, ago=60)
    await home.journal.append("pairing-refused", {"reason": "the person said no", "name": "x"})
    async with home.pair() as waiting:
        await asyncio.gather(guess(waiting.code), refused(waiting))
    with pytest.raises(NotAllowed, match="5 wrong codes"):
        async with home.pair():
            pass


async def test_codes_do_not_repeat(home: chez.Home) -> None:
    """Each code is a new one: what was overheard of the last says nothing about the next."""
    codes = set()
    for _ in range(3):
        async with home.pair() as waiting:
            codes.add(waiting.code)
            assert waiting.code not in repr(waiting)
    assert len(codes) == 3
