"""What left, and what a person's devices say to each other of it: heard where it can be, and no more."""

import base64
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez.crypto import Kdf
from chez.errors import RelayRefused
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.holdings import COLLECTION as ALLOWANCE
from chez_sandbox.consent.holdings import holding_id
from chez_sandbox.consent.run import authorise
from chez_sandbox.consent.sent import COLLECTION, CONTEXT, _Sent, say_sent
from chez_sandbox.consent.verbs import VERBS
from tests.home.pairing import paired
from tests.jobs.samples import LATER
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, THIEF, TODAY, bundle, grant
from tests.jobs.test_leaving import Relay, run_held
from tests.jobs.test_leaving import relay as taken
from tests.relay.within import relay

__all__ = ("taken",)  # the fixture

TRUE = _Sent(1, "00" * 16, 1, "mean-power", 1, bytes(32), "Example Energy Advice", NOW, 9.97, bytes(32))

FALSE: list[dict[str, Any]] = [
    *({"time": time} for time in ("", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00")),
    *({"bits": bits} for bits in (float("nan"), float("inf"), -1.0, 1e300)),
]
"""What there can't be of a message: a time, or so many bits."""


async def test_what_no_device_can_have_sent_is_passed_over(tmp_path: Path) -> None:
    """`chez left` tells of what another device says to have sent, in both languages, whatever that one, which runs
    other code, says besides under its signature."""
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (laptop, phone):
        for number, change in enumerate([{}, *FALSE]):
            body = msgspec.msgpack.encode(msgspec.structs.replace(TRUE, sequence=number + 1, **change))
            record = {"device": phone.device_id, "body": body, "signature": phone.sign(CONTEXT, body)}
            await phone.collection(COLLECTION).put(record, id=f"{number}")
        # Of no device, by whoever may write there; of the one that is asked, whose journal tells; and not its word.
        body = msgspec.msgpack.encode(msgspec.structs.replace(TRUE, sequence=99))
        for number, (device, signature) in enumerate([
            (THIEF.public, THIEF.sign(f"chez/1 application {CONTEXT}", body)),
            (laptop.device_id, laptop.sign(CONTEXT, body)),
            ([phone.device_id], phone.sign(CONTEXT, body)),
            (phone.device_id, laptop.sign(CONTEXT, body)),
        ]):
            record = {"device": device, "body": body, "signature": signature}
            await phone.collection(COLLECTION).put(record, id=f"forged {number}")
        await phone.sync(server.url)
        await laptop.sync(server.url)
        for language in ("en", "fr"):
            told = await VERBS["job-left"](laptop, {"language": language}, Person(""))
            assert [(one["sequence"], one["time"], one["bits"]) for one in told["elsewhere"]] == [(1, NOW, 9.97)]
            assert any("Example Energy Advice" in line for line in told["words"])


async def test_each_message_is_told_of_once(home: chez.Home, taken: Relay) -> None:
    """Other devices are told of a message when its relay has it, and not again at the next one; where somebody purged
    what was to be said of one, before it was, the next ones are told of all the same."""
    given = await grant(home, bundle())
    said = home.collection(COLLECTION)
    await said.put({}, id=f"{given.grant.id} 2")
    await said.purge(f"{given.grant.id} 2")
    assert await say_sent(home) == 0
    for sequence, news in ((1, 1), (2, 0), (3, 1)):
        async with authorise(home, given.grant.id, TODAY) as run:
            await run.execute(INSTANT)
        assert await say_sent(home) == 0
        assert (await deliver(home, LATER)).sent == 1
        before = await said.count()
        held = await home.collection(ALLOWANCE).get(holding_id(home.device_id)) if sequence > 1 else None
        assert await say_sent(home) == 1 and await said.count() == before + news, sequence
        assert await say_sent(home) == 0
        assert await home.collection(ALLOWANCE).get(holding_id(home.device_id)) != held, "nor of what is left"


async def test_a_restored_home_tells_of_each_message_once(home: chez.Home, taken: Relay, tmp_path: Path) -> None:
    """What the device that it was sent stands in that one's journal, with the bytes: what that one said to the others
    of the same message is not told beside it."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY) as run:
        await run.release(await run.execute(INSTANT))
    await deliver(home, LATER)
    assert await say_sent(home) == 1
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        told = await VERBS["job-left"](again, {}, Person(""))
        assert [one["device"] for one in told["left"]] == [home.device_id.hex()]
        assert [one for one in told["elsewhere"] if one["grant"] == given.grant.id] == []


async def test_an_inbox_that_takes_nothing_holds_up_no_other_of_its_relay(
    home: chez.Home, taken: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One provider's inbox is full, at a relay that many use: what is for the others leaves in the same round."""
    first = await run_held(home, 1)
    await run_held(home, 2)

    async def put(address: Any, inbox: bytes, writer: Any, item: bytes) -> None:
        if item == base64.b64decode(first.receipt.body["message"]):
            raise RelayRefused("the inbox is full")
        await taken.put(address, inbox, writer, item)

    monkeypatch.setattr("chez.inboxes.put", put)
    told = await deliver(home, LATER)
    assert (told.sent, told.waiting) == (1, 1) and "full" in told.problem and len(taken.items) == 1
