"""A lost device's share is taken over once, whatever is deleted, put back or done twice apart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez.crypto import Kdf, SigningKey
from chez.errors import InvalidValue, NotAllowed, NotFound, StorageFailed
from chez.home.transaction import Transaction
from chez_sandbox.consent import reclaiming
from chez_sandbox.consent.allowance import give_share, keep_purse, must_yield, purse_in, say_holding, take_shares
from chez_sandbox.consent.escrow import CONTEXT as TRANSFER
from chez_sandbox.consent.escrow import Purse, Transfer, give, reclaim
from chez_sandbox.consent.holdings import COLLECTION, HOLDS, _Holding, holders, holding_id, reclaim_id, reclaim_record
from chez_sandbox.consent.run import authorise
from chez_sandbox.consent.signed import signed_record
from chez_sandbox.consent.verbs import VERBS
from chez_sandbox.job_errors import BudgetSpent
from tests.home.pairing import PASSPHRASE, paired
from tests.jobs.test_allowance import CEILING, left, meet, spends
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.relay.within import relay

RECLAIM = VERBS["job-allowance-reclaim"]
USED, NEW, THEIRS = "collection:used", "collection:new", "collection:theirs"


@asynccontextmanager
async def replaced(folder: Path, *names: str, told: bool = True) -> AsyncIterator[tuple[bytes, list[chez.Home]]]:
    """The id of a first device that is gone and removed, and homes that were restored from its backup.

    Twice it said what it spent of an account, all of it the second time, before the backup; or it said nothing.
    """
    await chez.create(folder / "old", passphrase=PASSPHRASE, name="old", kdf=Kdf.minimum())
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(relay(folder / "relay"))
        async with chez.open(folder / "old", passphrase=PASSPHRASE) as old:
            await old.set_relay(server.url)
            for amount in (1000, CEILING - 1000) if told else ():
                await spends(old, USED, amount)
                await say_holding(old)
            await old.sync()
            await old.backup(folder / "backup")
            lost = old.device_id
        homes = []
        for name in names:
            await chez.restore(folder / "backup", folder / name, passphrase=PASSPHRASE, kdf=Kdf.minimum())
            home = await stack.enter_async_context(chez.open(folder / name, passphrase=PASSPHRASE))
            await home.devices.rename(home.device_id, name)
            await home.set_relay(server.url)
            homes.append(home)
        await meet(*homes)
        await homes[0].devices.remove(lost)
        await meet(*homes)
        yield lost, homes


async def test_a_lost_devices_last_word_is_found_whatever_became_of_its_record(tmp_path: Path) -> None:
    """A device that never looked before takes over what the lost one said last, though an older word of it was put
    back and then all of it deleted; and what was spent stays spent."""
    async with replaced(tmp_path, "b") as (lost, (home,)):
        records, id = home.collection(COLLECTION), holding_id(lost)
        first = (await records.history(id))[-1].hash
        await records.put(await records.at(id, first), id=id)
        await records.delete(id)
        done = await RECLAIM(home, {"device": lost.hex()[:8]}, person := Person("y"))
        assert done["reclaimed"] == {USED: 0} and done["rest"] and len(person.asked) == 1
        assert await left(home, USED) == 0 and await left(home, NEW) == CEILING


async def test_what_is_taken_over_is_said_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is stopped behind that has told the others what it has now: else it counts itself too low when it takes
    over from a second one."""
    plain = chez.Home.transaction

    async def stopped(home: chez.Home, work: Any) -> Any:
        result = await plain(home, work)
        if await home.journal.receipts("allowance-reclaimed"):
            raise StorageFailed("stopped")
        return result

    async with replaced(tmp_path, "b") as (lost, (home,)):
        monkeypatch.setattr(chez.Home, "transaction", stopped)
        with pytest.raises(StorageFailed, match="stopped"):
            await RECLAIM(home, {"device": lost.hex()[:8]}, Person("y"))
        monkeypatch.undo()
        (own,) = [one for one in await holders(home) if one.own]
        assert own.said and own.first and own.left_of(NEW, CEILING) == CEILING == await left(home, NEW)


async def test_what_is_taken_over_is_so_though_its_record_was_purged(tmp_path: Path) -> None:
    """Whoever purges beforehand the record that says who took over a share withholds that word, and nothing else."""
    async with replaced(tmp_path, "b") as (lost, (home,)):
        records, id = home.collection(COLLECTION), reclaim_id(lost, home.device_id)
        await records.put({}, id=id)
        await records.purge(id)
        assert (await RECLAIM(home, {"device": lost.hex()[:8]}, Person("y")))["rest"]
        assert await left(home, NEW) == CEILING


async def test_what_a_first_device_never_said_is_asked_for_apart(tmp_path: Path) -> None:
    """Of a first device of which no word is known the person is asked in other words, and what others said that they
    hold or spent is theirs; a second device takes over nothing after it, also when the record of that is deleted (it is
    put back) or purged."""
    async with replaced(tmp_path, "b", "c", told=False) as (lost, (home, other)):
        params, id = {"device": lost.hex()[:8]}, reclaim_id(lost, home.device_id)
        word = signed_record(other, HOLDS, _Holding(1, 1, False, {THEIRS: (300, 200)}))
        await other.collection(COLLECTION).put({"by": other.device_id, **word}, id=holding_id(other.device_id))
        await meet(home, other)
        done = await RECLAIM(home, params, person := Person("y"))
        assert (done["device"], done["rest"]) == ("old", True)
        assert done["reclaimed"] == {THEIRS: (CEILING - 500) / 1000} and await left(home, THEIRS) == CEILING - 500
        assert done["words"][1:] == ["Taken over: all that it never spent or gave of."]
        assert len(person.asked) == 2 and "Nothing is known here" in person.asked[1]
        await spends(home, USED, 500)
        await give_share(home, "c", {USED: 70})
        await meet(home, other)
        await other.collection(COLLECTION).delete(id)
        await meet(home, other)
        with pytest.raises(NotAllowed, match="by 'b' before"):
            await RECLAIM(other, params, Person("y"))
        assert [one.amount for one in await take_shares(other)] == [70] and await left(other, NEW) == 0
        await take_shares(home)
        assert (await home.collection(COLLECTION).get(id)).value["by"] == home.device_id
        for purged in (id, holding_id(home.device_id)):
            await home.collection(COLLECTION).purge(purged)
        await spends(home, USED, 1)
        await say_holding(home)  # neither can be written any more: that withholds a word, and nothing fails by it
        assert await take_shares(home) == [] and await left(home, USED) == CEILING - 571
        await meet(home, other)
        with pytest.raises(NotAllowed, match="by 'b' before"):
            await RECLAIM(other, params, Person("y"))


async def test_of_two_that_took_over_apart_one_lets_go(tmp_path: Path) -> None:
    """Two devices that took over one share, not hearing of each other, both have it until they meet: then the one with
    the higher id has nothing of it, owes what it spent, and its journal says so, once. Should the other be lost as
    well, it takes over all that is left. Who took over two such goes on with the second until that is told as well."""
    async with replaced(tmp_path, "b", "c", "d") as (lost, (*homes, third)):
        keeps, yields = sorted(homes, key=lambda home: home.device_id)
        # It was on its way to the lost one: once that is taken over, nobody has it besides.
        _, late = give(Purse(keeps.device_id, first=True), NEW, CEILING, lost, 70, keeps.sign)
        await keeps.collection(COLLECTION).put({"transfer": msgspec.msgpack.encode(late)}, id="share on its way")
        await meet(*homes)
        for home in homes:
            await RECLAIM(home, {"device": lost.hex()[:8]}, Person("y"))
            assert await left(home, NEW) == CEILING
        await spends(yields, NEW, 100)
        await yields.transaction(partial(_takes_over_too, yields, third.device_id))
        await meet(*homes)
        for home in (yields, keeps, yields):
            await take_shares(home)
        assert await left(yields, "collection:third") == CEILING
        word = reclaim_record(keeps, third.device_id)
        await yields.collection(COLLECTION).put(word, id=reclaim_id(third.device_id, keeps.device_id))
        assert await must_yield(yields)
        await take_shares(yields)
        assert await left(keeps, NEW) == CEILING and await left(yields, NEW) == 0
        with pytest.raises(BudgetSpent):
            await spends(yields, "collection:third", 1)
        for device in (lost, third.device_id):
            (receipt,) = await yields.journal.receipts("allowance-yielded", device=device.hex())
            assert receipt.body["by"] == keeps.device_id.hex() and receipt.body["first"]
        assert await keeps.journal.receipts("allowance-yielded") == []
        name = next(one.name for one in await keeps.devices.all() if one.id == yields.device_id)
        await give_share(keeps, name, {NEW: 150})
        await meet(*homes)
        await take_shares(yields)
        assert await left(yields, NEW) == 50
        await yields.devices.rename(keeps.device_id, "old")
        await yields.devices.remove(keeps.device_id)
        (own,) = [one.name for one in await yields.devices.all() if one.own]
        for which, wrong in (("old", InvalidValue), (own, NotFound)):
            with pytest.raises(wrong):
                await RECLAIM(yields, {"device": which}, Person("y"))
        assert (await RECLAIM(yields, {"device": keeps.device_id.hex()[:8]}, Person("y")))["rest"]
        assert await left(yields, NEW) == CEILING - 100 and await left(yields, "collection:third") == CEILING


async def test_a_run_lets_go_first_of_what_another_took_over(tmp_path: Path) -> None:
    """From when two devices that took over one share have met, the one with the higher id runs nothing by it, whether
    anybody looked at its allowance or not; the other goes on."""
    async with replaced(tmp_path, "b", "c") as (lost, homes):
        keeps, yields = sorted(homes, key=lambda home: home.device_id)
        for home in homes:
            await RECLAIM(home, {"device": lost.hex()[:8]}, Person("y"))
            given = await grant(home, bundle(), home is keeps)
            async with authorise(home, given.grant.id, TODAY) as run:
                await run.execute(INSTANT)
        await meet(*homes)
        for home in (yields, keeps):
            async with authorise(home, bytes([home is keeps] * 16).hex(), TODAY) as run:
                if home is keeps:
                    await run.execute(INSTANT)
                    continue
                with pytest.raises(BudgetSpent):
                    await run.execute(INSTANT)
        assert len(await yields.journal.receipts("run")) == 1
        assert len(await yields.journal.receipts("allowance-yielded")) == 1


async def test_what_a_lost_device_gave_this_one_is_counted_before_its_share_is_taken_over(tmp_path: Path) -> None:
    """A share that was given, and is here, is no less there for that nobody looked at it before the rest of what its
    giver had is taken over, nor is one that was given back and never came there: nothing of an account is lost, and
    nothing is there twice."""
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (lost, home):
        await lost.set_relay(server.url)
        await home.set_relay(server.url)
        await give_share(lost, "b", {"collection:back": 500})
        await meet(lost, home)
        await take_shares(home)
        await spends(lost, USED, 300)
        await give_share(lost, "b", {USED: 1000})
        await meet(lost, home)
        await give_share(home, "a", {"collection:back": 200})  # it will never hear of this
        await home.devices.remove(lost.device_id)
        done = await RECLAIM(home, {"device": "a"}, Person("y"))
        assert done["reclaimed"] == {USED: (CEILING - 1300) / 1000, "collection:back": (CEILING - 300) / 1000}
        assert await left(home, "collection:back") == CEILING
        assert await take_shares(home) == [] and await left(home, USED) == CEILING - 300
        assert await home.journal.receipts("allowance-refused") == []


async def test_what_was_on_its_way_to_a_lost_device_is_taken_over_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share that a device was given, and had not counted by its last word, is not lost with it: it comes back with
    the rest, once, also when the person says so twice at one time; what it had counted, given on or spent by that word
    comes back no second time, nor does what is there twice; and what is no account of several devices, or not signed by
    one of them, is passed over."""
    async with relay(tmp_path / "relay") as server, paired(tmp_path, server.url) as (home, lost):
        await home.set_relay(server.url)
        await lost.set_relay(server.url)
        await give_share(home, "b", {USED: 1000, "collection:back": 500})
        await meet(home, lost)
        await take_shares(lost)
        await spends(lost, USED, 300)
        await give_share(lost, "a", {"collection:back": 200})
        await meet(home, lost)
        await give_share(home, "b", {USED: 70, NEW: 50})  # it will never hear of this
        _, odd = give(Purse(home.device_id, first=True), "grant:" + "01" * 16, 9, lost.device_id, 9, home.sign)
        came = [one.value["transfer"] async for one in home.collection(COLLECTION) if one.id.startswith("share ")]
        true = [msgspec.msgpack.decode(one, type=Transfer) for one in came]
        more = [msgspec.structs.replace(one, amount=one.amount * 2, number=one.number + 9) for one in true]
        thief = SigningKey.from_seed(bytes(32))
        sign = partial(thief.sign, f"chez/1 application {TRANSFER}")
        stolen = [msgspec.structs.replace(one, giver=thief.public) for one in true]
        stolen = [msgspec.structs.replace(one, signature=sign(*one.fields)) for one in stolen]
        _, elsewhere = give(Purse(home.device_id, True, transfers=50), THEIRS, CEILING, bytes(32), 9, home.sign)
        for number, lie in enumerate((odd, *more, *stolen, *true, elsewhere)):
            await home.collection(COLLECTION).put({"transfer": msgspec.msgpack.encode(lie)}, id=f"share {number} again")
        for name in (USED, "collection:back", NEW):  # what is nobody's leaves room below the ceiling for a lie
            await home.transaction(partial(_lose, home, account=name))
        await home.devices.remove(lost.device_id)
        together, transfers = asyncio.Barrier(2), reclaiming._transfers

        async def after_both_asked(home: chez.Home) -> list[Transfer]:
            await together.wait()
            return await transfers(home)

        monkeypatch.setattr(reclaiming, "_transfers", after_both_asked)
        both = [RECLAIM(home, {"device": "b"}, Person("y")) for _ in range(2)]
        said = await asyncio.gather(*both, return_exceptions=True)
        (done,) = [one for one in said if not isinstance(one, NotAllowed)]
        assert done["reclaimed"] == {USED: 0.77, "collection:back": 0.3, NEW: 0.05}
        has = [await left(home, name) for name in (USED, "collection:back", NEW)]
        assert has == [CEILING - 400, CEILING - 100, CEILING - 100]


def _takes_over_too(home: chez.Home, lost: bytes, transaction: Transaction) -> None:
    """Take over the share of one more device, that said it was the first."""
    keep_purse(transaction, reclaim(purse_in(home, transaction), True, {}))
    body: dict[str, Any] = {"device": lost.hex(), "name": "d", "first": True, "amounts": {}}
    transaction.receipt("allowance-reclaimed", body)


def _lose(home: chez.Home, transaction: Transaction, account: str) -> None:
    """Give a hundred thousandths of an account to nobody."""
    purse, _ = give(purse_in(home, transaction), account, CEILING, bytes(32), 100, home.sign)
    keep_purse(transaction, purse)
