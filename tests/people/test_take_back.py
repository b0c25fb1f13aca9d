"""A stolen device locks the words, or everybody, out of the relay: a device that is left takes all of it back."""

import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import chez
from chez import crypto
from chez.errors import InvalidValue, LockedOut, NotAllowed, NotFound, RelayRefused
from chez.keys import new_words, person_of
from chez.keys.epochs import Epoch
from chez.spaces.rotation import Packet, recovery_tag_of, tag_of
from chez.spaces.state import State
from chez.sync import rotating
from chez.sync.connection import connect
from tests.home.pairing import PASSPHRASE
from tests.people.recovering import back, founded
from tests.people.support import ids, join, open_again
from tests.relay.within import Within


async def taken_back(folder: Path, words: str, **rest: Any) -> chez.TakenBack:
    """The spaces of the home in a folder, taken back."""
    return await chez.take_back(folder, words, passphrase=PASSPHRASE, **rest)


@contextmanager
def noise(patch: pytest.MonkeyPatch, words: str, *sealing: bytes) -> Iterator[None]:
    """Epochs that begin meanwhile have noise for the words, and for the devices with these sealing keys."""
    person, true = person_of(words), rotating.packets_for

    def crooked(space: bytes, state: State, epoch: Epoch, *rest: Any) -> list[Packet]:
        create = state.create
        assert create is not None
        tags = {recovery_tag_of(create.nonce, person.recovery.public), *(tag_of(space, one) for one in sealing)}
        return [Packet(packet.tag, crypto.random_bytes(len(packet.box))) if packet.tag in tags else packet
                for packet in true(space, state, epoch, *rest)]

    with patch.context() as patched:
        patched.setattr(rotating, "packets_for", crooked)
        yield


async def _all_comes_back(folder: Path, words: str, url: str, expected: set[str], trip: set[str],
                          **rest: Any) -> None:
    result = await back(folder, words, url, name=folder.name, **rest)
    assert result.problem == "" and not [space.problem for space in result.spaces if space.problem]
    async with open_again(folder) as home:
        assert await ids(home) == expected
        assert {note.id async for note in home.space("Trip").collection("notes")} == trip


@pytest.mark.parametrize("out", ["the words", "everybody"])
async def test_what_a_thief_locked_is_taken_back_by_a_device_that_is_left(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, out: str) -> None:
    """Noise for the words, or for the other device too: recovery says so and names the way out, which works."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        trip = await thief.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="trip")
        await thief.collection("notes").put({"n": 1}, id="before")
        async with join(thief, tmp_path / "left", "left", server.url) as left:
            await thief.sync()
            await left.sync()
            await left.collection("notes").put({"n": 2}, id="unsent")
            await left.space("Trip").collection("notes").put({"n": 2}, id="unsent")
            with noise(monkeypatch, words, *([left._device.sealing.public] if out == "everybody" else [])):
                await thief.devices.rotate(everywhere=True)
                await thief.collection("notes").put({"n": 3}, id="late")
                await thief.sync()
            if out == "everybody":
                with pytest.raises(RelayRefused):
                    await left.sync()
        with pytest.raises(LockedOut, match="something else") as told:
            await back(tmp_path / "c", words, server.url)
        assert "chez take-back" in told.value.hint and not (tmp_path / "c").exists()
        result = await taken_back(tmp_path / "left", words, expel=["thief"])
        assert result.problem == "" and not [space.problem for space in result.spaces if space.problem]
        assert [info.name for info in result.expelled] == ["thief"]
        with pytest.raises(RelayRefused):
            await thief.sync()
    here = {"before", "unsent"} | ({"late"} if out == "the words" else set())
    async with open_again(tmp_path / "left") as left:
        assert await ids(left) == here
        await left.collection("notes").put({"n": 4}, id="after")
        await left.sync()
        assert [receipt.kind for receipt in await left.journal.receipts()][-2:] == ["home-taken-back", "device-removed"]
        assert not await left.audit() and not await left.alarms()
    await _all_comes_back(tmp_path / "c", words, server.url, here | {"after"}, {"trip", "unsent"})


@pytest.mark.slow
async def test_a_thief_that_took_out_the_others_first_is_out_itself(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """They heard of it, and the words find noise: by the root the removal never was, and both are in again."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        await (await thief.create_space("Trip")).collection("notes").put({"n": 1}, id="trip")
        async with (join(thief, tmp_path / "left", "left", server.url) as left,
                    join(thief, tmp_path / "other", "other", server.url) as other):
            for home in (thief, left, other):
                await home.sync()
            await left.collection("notes").put({"n": 1}, id="unsent")
            with noise(monkeypatch, words):
                await thief.devices.remove("left", too=["other"])
                await thief.sync()
            for home in (left, other):
                with pytest.raises(RelayRefused):
                    await home.sync()
                assert home._replica.access.removed
        result = await taken_back(tmp_path / "left", words, expel=["thief"])
        assert result.problem == "" and {info.name: info.active for info in result.devices} == {
            "thief": False, "other": True}
        with pytest.raises(RelayRefused):
            await thief.sync()
    async with open_again(tmp_path / "left") as left, open_again(tmp_path / "other") as other:
        await other.sync()
        await other.collection("notes").put({"n": 1}, id="other")
        await other.sync()
        await left.sync()
        assert await ids(left) == await ids(other) == {"unsent", "other"}
        assert not left._replica.access.removed and not other._replica.access.removed
    await _all_comes_back(tmp_path / "c", words, server.url, {"unsent", "other"}, {"trip"})


async def test_a_take_back_that_was_cut_short_leaves_who_was_taken_out_as_it_was(
        tmp_path: Path, server: Within) -> None:
    """What it read by the words opens no relay to it later on: it is out, says so, and receives nothing. Run again, the
    take-back does the rest."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        trip = await thief.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="trip")
        async with join(thief, tmp_path / "left", "left", server.url) as left:
            await left.sync()
        await thief.devices.remove("left")
        await thief.collection("notes").put({"n": 1}, id="of the thief")
        await thief.sync()
        with pytest.raises(NotFound, match="nobody"):  # by then all was read
            await taken_back(tmp_path / "left", words, expel=["nobody"])
        await thief.collection("notes").put({"n": 2}, id="late")
        await thief.sync()
        async with open_again(tmp_path / "left") as left:
            for _ in range(2):
                with pytest.raises(RelayRefused, match="this device was removed"):
                    await left.sync()
            assert [space.removed for space in (await left.status()).spaces] == [True, True]
            assert await ids(left) == {"of the thief"}
        assert (await taken_back(tmp_path / "left", words, expel=["thief"])).problem == ""
        async with open_again(tmp_path / "left") as left:
            await left.sync()
            assert [space.removed for space in (await left.status()).spaces] == [False, False]
    await _all_comes_back(tmp_path / "c", words, server.url, {"of the thief", "late"}, {"trip"})


@pytest.mark.slow
async def test_two_that_took_each_other_out_are_told_apart_by_the_words(tmp_path: Path, server: Within) -> None:
    """The owner removes the thief, the thief the owner, at the same time: both are out until the root says who."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        await (await thief.create_space("Trip")).collection("notes").put({"n": 1}, id="trip")
        async with join(thief, tmp_path / "left", "left", server.url) as left:
            await thief.sync()
            await left.sync()
            await left.devices.remove("thief")
            await left.collection("notes").put({"n": 1}, id="unsent")
            await thief.devices.remove("left")
            await thief.sync()
            with pytest.raises(RelayRefused):
                await left.sync()
        assert (await taken_back(tmp_path / "left", words, expel=["thief"])).problem == ""
        async with open_again(tmp_path / "left") as left:
            await left.sync()
            assert [(info.name, info.active) for info in await left.devices.all()] == [("left", True), ("thief", False)]
    await _all_comes_back(tmp_path / "c", words, server.url, {"unsent"}, {"trip"})


@pytest.mark.slow
@pytest.mark.parametrize("by_words", [False, True], ids=["let in", "came back"])
async def test_what_a_thief_deleted_at_the_relay_comes_back(tmp_path: Path, server: Within, by_words: bool) -> None:
    """It deletes the private space: the words make it anew, and the device sends all that it has, also one that came
    back itself after an epoch had begun: it has not the key that names the space, which is in the words.

    The log is another one than entries in it speak of: who recovers from it is told that, and takes it as it is.
    """
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        await thief.collection("notes").put({"n": 1}, id="before")
        trip = await thief.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="trip")
        await thief.devices.rotate()
        await thief.sync()
        if by_words:
            await back(tmp_path / "left", words, server.url, name="left")
            server._server.tokens = ["given"]  # from now on the operator lets spaces be made with this alone
            async with open_again(tmp_path / "left") as left:
                await left.relays.token(server.url, "given")
        else:
            async with join(thief, tmp_path / "left", "left", server.url) as left:
                await thief.sync()
                await left.sync()
        async with connect(server.url) as opened:
            space = thief._replica.space
            assert space.admin is not None
            await opened.delete_space(space.handle, space.admin)
    with pytest.raises(LockedOut, match="was deleted") as told:
        await back(tmp_path / "c", words, server.url)
    assert "chez take-back" in told.value.hint
    result = await taken_back(tmp_path / "left", words, expel_others=True)
    assert result.problem == "" and not [space.problem for space in result.spaces if space.problem]
    await _all_comes_back(tmp_path / "c", words, server.url, {"before"}, {"trip"}, incomplete=True)


@pytest.mark.slow
async def test_who_has_no_token_for_a_space_that_a_thief_deleted_is_told_that(tmp_path: Path, server: Within) -> None:
    """Where the operator lets spaces be made with a token alone: it is said, and taking back goes on with it."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        await thief.collection("notes").put({"n": 1}, id="before")
        await thief.devices.rotate()
        await thief.sync()
        await back(tmp_path / "left", words, server.url, name="left")
        server._server.tokens = ["given"]
        async with connect(server.url) as opened:
            space = thief._replica.space
            assert space.admin is not None
            await opened.delete_space(space.handle, space.admin)
    with pytest.raises(RelayRefused, match="tokens") as told:
        await taken_back(tmp_path / "left", words, expel_others=True)
    assert told.value.reason == "token" and "chez relay token" in told.value.hint
    async with open_again(tmp_path / "left") as left:
        await left.relays.token(server.url, "given")
    assert (await taken_back(tmp_path / "left", words)).problem == ""


@pytest.mark.slow
async def test_what_another_device_wrote_under_the_thiefs_keys_comes_when_it_comes(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thief locked out one device and the words, not the third one: its next sync brings what nobody could read."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        await (await thief.create_space("Trip")).collection("notes").put({"n": 1}, id="trip")
        async with (join(thief, tmp_path / "left", "left", server.url) as left,
                    join(thief, tmp_path / "other", "other", server.url) as other):
            for home in (thief, left, other):
                await home.sync()
            with noise(monkeypatch, words, left._device.sealing.public):
                await thief.devices.rotate(everywhere=True)
                await thief.sync()
            await other.sync()
            await other.collection("notes").put({"n": 1}, id="other")
            await other.sync()
        assert (await taken_back(tmp_path / "left", words, expel=["thief"])).problem == ""
        with pytest.raises(RelayRefused):
            await thief.sync()
    async with open_again(tmp_path / "left") as left, open_again(tmp_path / "other") as other:
        for _ in range(2):
            await other.sync()
            await left.sync()
        assert await ids(left) == await ids(other) == {"other"}
        assert {one.name for home in (left, other) for one in await home.audit()} == {"thief"}
    await _all_comes_back(tmp_path / "c", words, server.url, {"other"}, {"trip"})


@pytest.mark.slow
@pytest.mark.parametrize("how", ["said", "half"])
async def test_killed_in_the_middle_it_is_run_again(
        tmp_path: Path, server: Within, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """SIGKILL before the relay heard anything, and between the new keys and the rest: the second run ends it."""
    async with founded(tmp_path, server.url, "thief") as (thief, words):
        trip = await thief.create_space("Trip")
        await trip.collection("notes").put({"n": 1}, id="trip")
        async with join(thief, tmp_path / "left", "left", server.url) as left:
            await left.collection("notes").put({"n": 2}, id="unsent")
            with noise(monkeypatch, words, left._device.sealing.public):
                await thief.devices.rotate(everywhere=True)
                await thief.sync()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.people.recovering", str(tmp_path / "left"), server.url, how,
            stdin=asyncio.subprocess.PIPE)
        await process.communicate(words.encode() + b"\n")
        assert process.returncode == -signal.SIGKILL
        async with open_again(tmp_path / "left") as left:
            assert [(info.name, info.active) for info in await left.devices.all()] == [("left", True), ("thief", False)]
        if how == "said":
            with pytest.raises(LockedOut):
                await back(tmp_path / "c", words, server.url)
        await thief.collection("notes").put({"n": 3}, id="late")
        with suppress(RelayRefused):
            await thief.sync()
        result = await taken_back(tmp_path / "left", words, expel=["thief"])
        assert result.problem == "" and not [space.problem for space in result.spaces if space.problem]
        with pytest.raises(RelayRefused):
            await thief.sync()
    await _all_comes_back(tmp_path / "c", words, server.url, {"unsent"}, {"trip"})


async def test_what_cannot_be_changes_nothing(tmp_path: Path, server: Within) -> None:
    """Another person's words, a device that is not there, no relay: told, and the home is as it was."""
    async with founded(tmp_path, server.url) as (_, words):
        pass
    with pytest.raises(InvalidValue, match="another person"):
        await taken_back(tmp_path / "a", new_words(bytes(32)))
    with pytest.raises(NotFound, match="called 'b'"):
        await taken_back(tmp_path / "a", words, expel=["b"])
    async with open_again(tmp_path / "a") as a:
        assert [receipt.kind for receipt in await a.journal.receipts()] == ["home-created"]
    assert (await taken_back(tmp_path / "a", words)).problem == ""
    again = await taken_back(tmp_path / "a", words)
    assert again.expelled == () and again.problem == ""


async def test_a_device_that_is_out_by_the_words_is_told_once(tmp_path: Path, server: Within) -> None:
    """Run again, as who was cut off does: the journal has one receipt of each device that went, and one of each run."""
    async with founded(tmp_path, server.url) as (a, words):
        for name in ("b", "c"):
            async with join(a, tmp_path / name, name, server.url) as other:
                await other.sync()
        await a.sync()
    for expel in (["b"], ["b"], ["b", "c"]):
        result = await taken_back(tmp_path / "a", words, expel=expel)
        assert sorted(info.name for info in result.expelled) == expel and result.problem == ""
    async with open_again(tmp_path / "a") as a:
        receipts = await a.journal.receipts()
        assert [one.body["name"] for one in receipts if one.kind == "device-removed"] == ["b", "c"]
        assert len([one for one in receipts if one.kind == "home-taken-back"]) == 3


@pytest.mark.slow
async def test_who_was_taken_out_by_a_device_that_stays_stays_out(tmp_path: Path, server: Within) -> None:
    """The words bring no device back that another one, which is not in wrong hands, had taken out: that one is named
    too, or used. Nothing was said."""
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "b", "b", server.url):
        await a.devices.remove("b")
        await a.sync()
    with pytest.raises(NotAllowed, match="a device that stays had taken out this one"):
        await taken_back(tmp_path / "b", words)
    async with open_again(tmp_path / "b") as b:
        assert b._replica.access.removed and await b.journal.receipts("home-taken-back") == []
    assert [info.name for info in (await taken_back(tmp_path / "b", words, expel=["a"])).expelled] == ["a"]


@pytest.mark.slow
async def test_the_person_is_asked_which_devices_go(tmp_path: Path, server: Within) -> None:
    """By name, fingerprint shown; "none" takes out none, a name that one."""
    asked: list[str] = []

    def answering(answer: str) -> Any:
        async def ask(question: str, *, default: str | None = None) -> str:
            asked.append(question)
            return answer
        return ask

    async with founded(tmp_path, server.url) as (a, words):
        async with join(a, tmp_path / "b", "b", server.url) as b:
            await b.sync()
        async with join(a, tmp_path / "c", "c", server.url) as c:
            await c.sync()
        await a.sync()
    assert (await taken_back(tmp_path / "a", words, ask=answering("none"))).expelled == ()
    assert "'b' (fingerprint" in asked[0] and "'c' (fingerprint" in asked[0] and "let in by 'a'" in asked[0]
    result = await taken_back(tmp_path / "a", words, ask=answering(" b "))
    assert [info.name for info in result.expelled] == ["b"]
    assert {info.name: info.active for info in result.devices} == {"b": False, "c": True}


@pytest.mark.slow
async def test_whom_a_thief_let_in_goes_with_it_if_that_is_said(tmp_path: Path, server: Within) -> None:
    """An accomplice's device stays one of the person's until it is named too; then neither has a part in anything."""
    async with founded(tmp_path, server.url) as (a, words), join(a, tmp_path / "thief", "thief", server.url) as thief:
        async with join(thief, tmp_path / "other", "other", server.url) as other:
            await a.sync()
            await other.sync()
    for gone, left in ((["thief"], {"thief": False, "other": True}), (["other"], {"thief": False, "other": False})):
        result = await taken_back(tmp_path / "a", words, expel=gone)
        assert {info.name: info.active for info in result.devices} == left and result.problem == ""
    async with open_again(tmp_path / "other") as other:
        with pytest.raises(RelayRefused):
            await other.sync()


async def test_a_deleted_space_comes_back_by_a_reseed_alone(tmp_path: Path, server: Within) -> None:
    """On the device that made it, which has the key that names it: without that being asked for it stays deleted."""
    async with founded(tmp_path, server.url) as (a, words):
        await a.collection("notes").put({"n": 1}, id="before")
        await a.sync()
        async with connect(server.url) as opened:
            space = a._replica.space
            assert space.admin is not None
            await opened.delete_space(space.handle, space.admin)
        with pytest.raises(RelayRefused, match="deleted"):
            await a.sync()
        await a.sync(reseed=True)
    assert (await back(tmp_path / "c", words, server.url, incomplete=True)).problem == ""
    async with open_again(tmp_path / "c") as c:
        assert await ids(c) == {"before"}
