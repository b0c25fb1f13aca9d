"""Allowance over two devices of a person and a real relay: whatever is hidden, played again or copied,
a ceiling is one."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez.crypto import Kdf, SigningKey
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez.keys import new_words
from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.allowance import (
    ask_share,
    charge,
    give_share,
    purse_in,
    say_holding,
    set_ceiling,
    take_shares,
)
from chez_sandbox.consent.asking import with_shares
from chez_sandbox.consent.catalogue import say_again
from chez_sandbox.consent.escrow import Charge, Purse, Transfer, available, give, shown, thousandths
from chez_sandbox.consent.grants import COLLECTION as GRANTS
from chez_sandbox.consent.grants import load_grant, revoke_grant
from chez_sandbox.consent.holdings import (
    ASKS,
    COLLECTION,
    HOLDS,
    RECLAIMS,
    _Asks,
    _Holding,
    _Reclaim,
    ask_id,
    asks_record,
    holders,
    holding_id,
)
from chez_sandbox.consent.overview import all_grants
from chez_sandbox.consent.pausing import pause_grant
from chez_sandbox.consent.sent import COLLECTION as LEFT
from chez_sandbox.consent.sent import CONTEXT, _Sent
from chez_sandbox.consent.signed import signed_record
from chez_sandbox.consent.told import grant_words
from chez_sandbox.consent.verbs import VERBS
from chez_sandbox.job_errors import BudgetSpent
from tests.home.pairing import PASSPHRASE, paired
from tests.jobs.samples import WHOLE
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, TODAY, bundle, grant
from tests.jobs.test_runs import run_once
from tests.relay.within import relay

RUN = {"grant": "00" * 16, "provider": "", "bits": 0.0}
CEILING = Ceilings().of("collection:any")


@pytest.fixture(scope="module")
async def devices(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """The laptop, on which the person's home began, and a phone; they meet at a relay when they are synced."""
    async with both(tmp_path_factory.mktemp("allowance")) as homes:
        yield homes


@asynccontextmanager
async def both(folder: Path) -> AsyncIterator[tuple[chez.Home, chez.Home]]:
    """Two such devices for as long as the block runs."""
    async with relay(folder / "relay") as server, paired(folder, server.url) as (laptop, phone):
        await laptop.set_relay(server.url)
        await phone.set_relay(server.url)
        yield laptop, phone


async def meet(*homes: chez.Home) -> None:
    """Have each home know what the others have."""
    for home in (*homes, *homes):
        await home.sync()


async def spends(home: chez.Home, account: str, amount: int) -> None:
    """Debit an account of so many thousandths, as a run does, whose receipt has more to say."""
    debit = [Charge(account, amount, Ceilings().of(account))]
    await with_shares(home, lambda transaction: charge(home, transaction, debit, "debit", RUN))


async def left(home: chez.Home, account: str) -> int:
    """What a device may still spend."""
    purse = await home.transaction(lambda transaction: purse_in(home, transaction))
    return available(purse, account, Ceilings().of(account))


async def shares(home: chez.Home) -> dict[str, Any]:
    """The records of transfers, by id."""
    return {one.id: one.value async for one in home.collection(COLLECTION) if one.id.startswith("share ")}


@pytest.mark.parametrize("account", ["collection:apart", "epsilon:collection:apart"])
async def test_two_devices_apart_spend_one_ceiling(devices: tuple[chez.Home, chez.Home], account: str) -> None:
    """A new device has nothing and is told who has some; after a share came, both spend, never heard of each
    other's debits, and get to the ceiling and no further, in bits as in epsilon; the relay may play it all again."""
    laptop, phone = devices
    ceiling = Ceilings().of(account)
    part = ceiling * 3 // 8
    with pytest.raises(BudgetSpent, match=rf"'a'.* {shown(ceiling, account)}") as refused:
        await spends(phone, account, 10)
    assert f"chez job allowance give 'b' {account} 0.01" in refused.value.hint
    await spends(laptop, account, 1000)
    (share,) = await give_share(laptop, "b", {account: part})
    await laptop.sync()
    await phone.sync()
    await spends(phone, account, part)  # it counts what waits for it, by itself
    rest = ceiling - 1000 - part
    with pytest.raises(BudgetSpent, match=f"'a' said that it has {shown(rest, account)}"):
        await spends(phone, account, 1)
    await spends(laptop, account, rest)
    for home in devices:
        again = msgspec.msgpack.encode(share)
        await home.collection(COLLECTION).put({"transfer": again}, id=f"share again {account} {home}")
        await home.sync()
        assert await take_shares(home) == []
        with pytest.raises(BudgetSpent):
            await spends(home, account, 1)


async def test_what_is_forged_or_signed_twice_is_refused_and_told(devices: tuple[chez.Home, chez.Home]) -> None:
    """A share that its giver did not sign, one raised since, and a second one under a number that was counted (the
    giver's disk was put back) give nothing, and stand in the journal, once each."""
    (laptop, phone), account = devices, "collection:forged"
    (true,) = await give_share(laptop, "b", {account: 1000})
    raised = msgspec.structs.replace(true, amount=true.amount + 1)
    other = msgspec.structs.replace(true, number=99, giver=bytes(32))
    back = Purse(laptop.device_id, True, transfers=true.number - 1)
    _, twice = give(back, account, CEILING, phone.device_id, 500, laptop.sign)
    await laptop.sync()
    await phone.sync()
    assert await take_shares(phone) == [true]
    for lie in (raised, other, twice):
        await phone.collection(COLLECTION).put({"transfer": msgspec.msgpack.encode(lie)})
    await phone.collection(COLLECTION).put({"transfer": b"\xc1 no transfer"})
    assert await take_shares(phone) == await take_shares(phone) == []
    assert await left(phone, account) == 1000
    told = sorted(one.body["why"] for one in await phone.journal.receipts("allowance-refused", account=account))
    assert len(told) == 3
    assert "one number" in told[0] and "not of a device that may give" in told[1] and "not signed" in told[2]


async def test_a_share_that_was_taken_away_is_put_back(devices: tuple[chez.Home, chez.Home]) -> None:
    """Whoever deletes or alters a transfer's record withholds the share, until its giver sees that."""
    (laptop, phone), account = devices, "collection:hidden"
    await give_share(laptop, "b", {account: 1000})
    ((id, value),) = [
        (id, value) for id, value in (await shares(laptop)).items()
        if msgspec.msgpack.decode(value["transfer"], type=Transfer).account == account
    ]
    await laptop.collection(COLLECTION).put({"transfer": b"nothing"}, id=id)
    await laptop.sync()
    await phone.sync()
    assert await take_shares(phone) == [] and await left(laptop, account) == CEILING - 1000
    assert await take_shares(laptop) == []
    assert (await shares(laptop))[id] == value
    await laptop.sync()
    await phone.sync()
    assert [one.amount for one in await take_shares(phone)] == [1000]


async def test_what_is_no_share_is_refused(devices: tuple[chez.Home, chez.Home]) -> None:
    """More than there is, of an account that is one device's, to nobody or to itself: nothing is debited or written."""
    (laptop, _), account = devices, "collection:none"
    before = await shares(laptop)
    for wrong, device, amounts in (
        (BudgetSpent, "b", {account: 5, "collection:more": CEILING + 1}),
        (InvalidValue, "b", {"grant:" + "01" * 16: 5}),
        (InvalidValue, "b", {"collection:": 5}),
        (InvalidValue, "b", {account: 0}),
        (InvalidValue, "a", {account: 5}),
        (NotFound, "watch", {account: 5}),
    ):
        with pytest.raises(wrong):
            await give_share(laptop, device, amounts)
    with pytest.raises(InvalidValue, match="can't be asked for"):
        await ask_share(laptop, {account: 0}, now=NOW)
    assert await shares(laptop) == before and await left(laptop, account) == CEILING


async def test_a_copied_folder_begins_with_nothing(devices: tuple[chez.Home, chez.Home], tmp_path: Path) -> None:
    """A copy of the laptop's home that becomes a device has no allowance, nor what was on its way to the laptop, and
    may be given some; the laptop has what it had. The journals show all of it, and hold."""
    (laptop, phone), account = devices, "collection:copied"
    await spends(laptop, account, 1000)
    await give_share(laptop, "b", {account: 500})
    await laptop.sync()
    await phone.sync()
    await take_shares(phone)
    await give_share(phone, "a", {account: 200})
    await phone.sync()
    await laptop.sync()
    await laptop.backup(tmp_path / "backup")
    kept = await left(laptop, account)
    await chez.restore(tmp_path / "backup", tmp_path / "copy", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "copy", passphrase=PASSPHRASE) as copy:
        await copy.devices.rename(copy.device_id, "copy")
        assert await take_shares(copy) == [] and await left(copy, account) == 0
        with pytest.raises(BudgetSpent):
            await spends(copy, account, 1)
        await copy.sync()
        await laptop.sync()
        assert [one.amount for one in await take_shares(laptop)] == [200]
        assert await left(laptop, account) == kept + 200
        await give_share(laptop, "copy", {account: 70})
        await laptop.sync()
        await copy.sync()
        await spends(copy, account, 70)
        for home in (laptop, phone, copy):
            assert (await home.journal.verify()).ok
        given = [one.body["amount"] for one in await laptop.journal.receipts("allowance-given", account=account)]
        got = [one.body["amount"] for one in await copy.journal.receipts("allowance-received", account=account)]
        assert given == [500, 70] and got == [70]


async def test_a_home_made_again_of_the_words_begins_with_nothing(tmp_path: Path) -> None:
    """Words that were just made are a person's first home, with every ceiling; a second home made of the same words,
    never heard of by the first, may spend nothing."""
    words = new_words(bytes(32))
    for name, fresh, has in (("first", True, CEILING), ("again", False, 0)):
        await chez.create(tmp_path / name, passphrase=PASSPHRASE, words=words, fresh=fresh, kdf=Kdf.minimum())
        async with chez.open(tmp_path / name, passphrase=PASSPHRASE) as home:
            assert await left(home, "collection:words") == has


async def test_devices_say_what_they_hold(devices: tuple[chez.Home, chez.Home]) -> None:
    """Each device's word on what it holds reaches the others, with its signature; another's word for it counts not,
    and takes away nothing that was heard; nor does an older word of its own."""
    (laptop, phone), account = devices, "collection:said"
    await spends(laptop, account, 1500)
    for home in devices:
        await say_holding(home)
    await laptop.sync()
    await phone.sync()
    said = next(one for one in await holders(phone) if one.id == laptop.device_id)
    assert (said.left_of(account, CEILING), said.spent[account], said.first) == (CEILING - 1500, 1500, True)
    records, id = phone.collection(COLLECTION), f"holding {laptop.device_id.hex()}"
    forged, older = (await records.get(f"holding {phone.device_id.hex()}")).value, (await records.get(id)).value
    await spends(laptop, account, 20)
    await say_holding(laptop)
    await laptop.sync()
    await phone.sync()
    await holders(phone)
    for lie in (older, forged):
        await records.put(lie, id=id)
        said = next(one for one in await holders(phone) if one.id == laptop.device_id)
        assert said.said and said.spent[account] == 1520


async def test_an_ask_is_heard_though_the_one_before_was_purged(tmp_path: Path) -> None:
    """Whoever purges the record in which a device asks hides that word and no later one; what comes answers all."""
    account = "collection:purged"
    async with both(tmp_path) as (laptop, phone):
        for amount in (10, 20):
            await ask_share(phone, {account: amount}, now=f"2026-11-24T00:00:{amount}Z")
            await phone.collection(COLLECTION).purge(ask_id(phone.device_id, amount // 10))
        await ask_share(phone, {account: 30}, now="2026-11-24T00:01:00Z")
        await meet(laptop, phone)
        assert [one.asks for one in await holders(laptop) if one.id == phone.device_id] == [{account: 30}]
        await give_share(laptop, "b", {account: 30})
        await meet(laptop, phone)
        assert [one.amount for one in await take_shares(phone)] == [30]
        assert [one.asks for one in await holders(phone) if one.own] == [{}]
        told = [one.body["amounts"][account] for one in await phone.journal.receipts("allowance-asked")]
        assert told == [10, 20, 30]


async def test_a_grant_in_the_trash_is_stopped_from_another_device(devices: tuple[chez.Home, chez.Home]) -> None:
    """Who deleted a grant's record has stopped nothing that was due to leave; another device than the one that gave it
    can pause and revoke it all the same, and the one that runs it is told so by the record that is back."""
    laptop, phone = devices
    id = (await grant(phone, bundle(), 9)).grant.id
    await meet(phone, laptop)
    grants = laptop.collection(GRANTS)
    for stop, mark in ((partial(pause_grant, pause=b"1" * 16, now=NOW), "pauses"), (revoke_grant, "revoked")):
        await grants.delete(id)
        assert (await stop(laptop, id[:8])).id == id
        await meet(laptop, phone)
        assert (await phone.collection(GRANTS).get(id)).value[mark]
    assert (await load_grant(phone, id)).state(phone.device_id, TODAY, 0) == "revoked"
    with pytest.raises(NotFound):
        await revoke_grant(laptop, "ff" * 16)


async def test_a_person_sees_asks_and_gives(devices: tuple[chez.Home, chez.Home]) -> None:
    """`chez job allowance` says who has what, `ask` asks for what a grant's runs take, the laptop's person is told of
    it and gives it with a yes, and then the phone has it; a no gives nothing, and what is no account is said so."""
    laptop, phone = devices
    given = await grant(phone, bundle())
    await phone.sync()
    await laptop.sync()
    (told,) = [one for one in await all_grants(laptop, TODAY) if one["grant"] == given.grant.id]
    assert "on your device 'b' alone" in "\n".join(grant_words(told, datetime(2026, 11, 24, tzinfo=UTC)))
    bits = thousandths(given.bundle.manifest.schema.bits)
    provider = f"provider:{given.grant.provider}"
    asked = await VERBS["job-allowance-ask"](phone, {"what": given.grant.id[:8], "runs": 3}, Person(""))
    each = {provider, "collection:readings", f"runs:{provider}"}
    assert asked["asked"] == {provider: 3 * bits / 1000, "collection:readings": 3 * bits / 1000, f"runs:{provider}": 3}
    await phone.sync()
    await laptop.sync()
    words = "\n".join((await VERBS["job-allowance"](laptop, {}, Person("")))["words"])
    assert f"{provider} (Example Energy Advice): 1,000 bits over all your devices" in words
    french = "\n".join((await VERBS["job-allowance"](laptop, {"language": "fr"}, Person("")))["words"])
    assert f"{provider} (Example Energy Advice) : 1\N{NO-BREAK SPACE}000 bits sur tous vos appareils" in french
    assert "'b' asks for " in words and "chez job allowance give 'b'" in words
    unwilling = Person("n")
    asked = await VERBS["job-allowance-give"](laptop, {"device": "b", "language": "fr"}, unwilling)
    assert asked == {"given": [], "words": ["Rien n'est donné."]}
    assert unwilling.asked[0].startswith("Donner ") and "à « b » ? [o/N]" in unwilling.asked[0]
    done = await VERBS["job-allowance-give"](laptop, {"device": "b"}, Person("y"))
    assert {one["account"] for one in done["given"]} == each
    assert done["words"][-2:] == [f"Given to 'b': 3 runs of runs:{provider}.", "It counts there when both have synced."]
    await laptop.sync()
    await phone.sync()
    shown = await VERBS["job-allowance"](phone, {}, Person(""))
    assert len(shown["taken"]) == 3 and "A share came" in shown["words"][0]
    (account,) = [one for one in shown["accounts"] if one["account"] == provider]
    held = {one["device"]: one["left"] for one in account["held"]}
    assert held[phone.device_id.hex()] == 3 * bits / 1000
    assert held[laptop.device_id.hex()] == pytest.approx(1000 - 3 * bits / 1000)
    assert not any(one["asks"] for one in shown["devices"])
    more = {"device": "b", "account": provider[:20], "amount": 1.5}
    assert (await VERBS["job-allowance-give"](laptop, more, Person("")))["given"][0]["account"] == provider
    await spends(laptop, "collection:another", 1)  # a second one that begins with "c", whatever ran before
    await say_holding(laptop)
    for wrong, params in (
        (NotFound, {"device": "b", "account": "provider:nobody", "amount": 1}),
        (NotFound, {"device": "a"}),
        (InvalidValue, {"device": "b", "account": provider}),
        (InvalidValue, {"device": "b", "account": "pro", "amount": -1}),
        (InvalidValue, {"device": "b", "account": "c", "amount": 1}),
    ):
        with pytest.raises(wrong):
            await VERBS["job-allowance-give"](laptop, params, Person("y"))


async def test_runs_of_a_provider_are_one_number_that_the_person_sets(devices: tuple[chez.Home, chez.Home]) -> None:
    """Of runs a person sets how many there are, on the device that has the rest, more with a yes; below it each
    device runs what it has, past it none does; the words say so in both languages."""
    (laptop, phone), account = devices, "runs:provider:counted"
    await spends(laptop, account, 2000)
    await say_holding(laptop)
    ceiling = VERBS["job-allowance-ceiling"]
    assert (await ceiling(laptop, {"account": account, "runs": 401}, unwilling := Person("n")))["ceiling"] is None
    assert "401 runs" in unwilling.asked[0] and "400 runs" in unwilling.asked[0]
    assert (await ceiling(laptop, {"account": account, "runs": 5}, Person("")))["ceiling"] == 5
    await give_share(laptop, "b", {account: 1000})
    await laptop.sync()
    await phone.sync()
    await spends(phone, account, 1000)
    with pytest.raises(BudgetSpent, match="'a' said that it has 2 runs"):
        await spends(phone, account, 1000)
    await spends(laptop, account, 2000)
    with pytest.raises(BudgetSpent, match="has 0 runs left on this device, and this takes 1 run") as refused:
        await spends(laptop, account, 1000)
    say_again(refused.value, "fr")
    assert "a encore 0 exécution sur cet appareil, et ceci en prend 1 exécution" in refused.value.message
    said = "\n".join((await VERBS["job-allowance"](phone, {"language": "fr"}, Person("")))["words"])
    assert f"{account} : 5 exécutions sur tous vos appareils" in said and "chez job allowance ceiling" in said
    with pytest.raises(NotAllowed, match="holds what nobody was given"):
        await ceiling(phone, {"account": account, "runs": 1}, Person(""))
    for wrong, params in ((InvalidValue, {"account": account, "runs": -1}),
                          (NotFound, {"account": "runs:provider:nobody", "runs": 1}),
                          (InvalidValue, {"account": "runs:collection:readings", "runs": 1})):  # fmt: skip
        with pytest.raises(wrong):
            await ceiling(laptop, params, Person("y"))
    with pytest.raises(InvalidValue, match="can't be set"):
        await set_ceiling(laptop, "collection:readings", 5)
    assert (await ceiling(laptop, {"account": account, "runs": 6}, Person("y")))["ceiling"] == 6
    assert await left(laptop, account) == 1000 and await left(phone, account) == 0
    told = [(one.body["before"], one.body["amount"]) for one in await laptop.journal.receipts("allowance-ceiling")]
    assert told == [(400_000, 5000), (5000, 6000)]


async def test_what_no_device_could_say_of_its_allowance_is_passed_over(devices: tuple[chez.Home, chez.Home]) -> None:
    """Accounts that there are not, amounts below nothing and a ceiling of bits, signed by a device that runs other
    code, keep nobody from being told what each has; what it says besides is heard. What no device of the person signed
    is not: it would take a living one's share away."""
    laptop, phone = devices
    stranger, claim = SigningKey.from_seed(bytes(32)), msgspec.msgpack.encode(_Reclaim(1, phone.device_id))
    taken = {"by": stranger.public, "body": claim, "signature": stranger.sign(f"chez/1 application {RECLAIMS}", claim)}
    await phone.collection(COLLECTION).put(taken, id=f"reclaim {phone.device_id.hex()}")
    odd = {"weird:x": 5, "runs:collection:x": 5, "collection:\n": 5, "collection:owed": -5}
    asked = asks_record(phone, {**odd, "collection:asked": 7000}, NOW)
    accounts = {**{name: (amount, amount) for name, amount in odd.items()}, "collection:had": (1000, 0)}
    ceilings = {"provider:k": 10**12, "runs:provider:k": 3000, "runs:collection:x": 5, "runs:provider:owed": -5}
    word = signed_record(phone, HOLDS, _Holding(1, 10**6, False, accounts, ceilings))
    await phone.collection(COLLECTION).put(asked, id=ask_id(phone.device_id))
    await phone.collection(COLLECTION).put({"by": phone.device_id, **word}, id=holding_id(phone.device_id))
    await phone.sync()
    await laptop.sync()
    told = await VERBS["job-allowance"](laptop, {}, Person(""))
    (said,) = [one for one in await holders(laptop) if one.id == phone.device_id]
    assert (said.asks, said.left, said.gone) == ({"collection:asked": 7000}, {"collection:had": 1000}, False)
    assert said.ceilings == {"runs:provider:k": 3000}
    assert {"collection:asked", "collection:had"} <= {one["account"] for one in told["accounts"]}


async def test_words_of_bytes_that_are_no_text_are_passed_over(devices: tuple[chez.Home, chez.Home]) -> None:
    """A share, a holding, an ask and a message that is said to have left whose text is none, whether its device signed
    it or not, or which is not even of bytes, keep nobody from counting shares, from being told what each has, or of
    what left."""
    (laptop, phone), account = devices, "collection:text"
    id, name = phone.device_id, account.encode()
    said = {
        HOLDS: _Holding(1, 10**7, False, {account: (1, 0)}),
        ASKS: _Asks(1, {account: 1}, NOW),
        CONTEXT: _Sent(1, "00" * 16, 1, account, 1, bytes(32), "", NOW, 1.0, bytes(32)),
        "": Transfer(1, id, laptop.device_id, 98, account, 5, bytes(64)),
    }
    for context, word in said.items():
        body = msgspec.msgpack.encode(word).replace(name, name[:-1] + b"\xff")
        collection = phone.collection(LEFT if context == CONTEXT else COLLECTION)
        if context == "":
            await collection.put({"transfer": body}, id="share that is no text")
        else:
            record = {"by": id, "device": id, "body": body, "signature": phone.sign(context, body)}
            await collection.put(record, id=ask_id(id) if context == ASKS else f"odd {context}")
            untyped = record | {"body": "text", "signature": 7}
            await phone.collection(COLLECTION).put(untyped, id=f"{ask_id(id)} {context}")
    await phone.sync()
    await laptop.sync()
    for home in devices:
        assert await take_shares(home) == []
        assert (await VERBS["job-allowance"](home, {}, Person("")))["taken"] == []
        assert (await VERBS["job-left"](home, {}, Person("")))["elsewhere"] == []
    await phone.collection(LEFT).delete(f"odd {CONTEXT}")
    await phone.sync()
    await laptop.sync()


async def test_what_another_device_sent_is_told_by_all(
    devices: tuple[chez.Home, chez.Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When messages are gone the device says so, signed, in words that show nothing of what they told; the others
    tell of it, and where to ask for more, also what the grant used; a record of another's making is told by none."""

    async def put(*_: Any) -> None:
        pass

    monkeypatch.setattr("chez.inboxes.put", put)
    laptop, phone = devices
    given = await grant(laptop, bundle(reads=WHOLE, version=2), 7)
    for declined in (False, True):
        await run_once(laptop, given.grant.id, INSTANT, decline=declined)
    assert (await VERBS["job-send"](laptop, {}, Person("")))["sent"] == 2
    here = await VERBS["job-left"](laptop, {}, Person(""))
    assert here["elsewhere"] == [] and any(one.startswith("'b' has not said that it sent any") for one in here["words"])
    await laptop.sync()
    await phone.sync()
    there = await VERBS["job-left"](phone, {}, Person(""))
    assert there["left"] == [] and [one["sha256"] for one in there["elsewhere"]] == [
        one["sha256"] for one in here["left"]]  # fmt: skip
    assert {(one["device_name"], one["grant"]) for one in there["elsewhere"]} == {("a", given.grant.id)}
    said = "\n".join((await VERBS["job-left"](phone, {"language": "fr"}, Person("")))["words"])
    assert "à Example Energy Advice, par votre appareil « a »" in said and "« a » l'a dit à sa dernière" in said
    for device, counted, words in ((laptop, 2, "used 2 runs of "), (phone, None, "bits: chez grants, on 'a'")):
        told = await VERBS["job-grants"](device, {}, Person(""))
        assert [one["runs"] for one in told["grants"] if one["grant"] == given.grant.id] == [counted]
        assert words in "\n".join(told["words"])
    records = phone.collection("chez.left")
    lies = [record async for record in records]
    assert len({len(msgspec.msgpack.encode(record.value)) for record in lies}) == 1
    for record in lies:
        await records.put({**record.value, "device": phone.device_id}, id=f"{record.id} again")
        body = record.value["body"]
        await records.put({**record.value, "body": body[:-1] + bytes([body[-1] ^ 1])}, id=record.id)
    await phone.sync()
    await laptop.sync()
    assert (await VERBS["job-left"](laptop, {}, Person("")))["elsewhere"] == []
    assert (await VERBS["job-left"](phone, {}, Person("")))["elsewhere"] == []


async def test_a_message_that_may_not_be_told_of_keeps_none_here(
    devices: tuple[chez.Home, chez.Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another device purged before it was said stays unsaid: `chez job send` goes on, and tells of the next."""

    async def put(*_: Any) -> None:
        pass

    monkeypatch.setattr("chez.inboxes.put", put)
    laptop, phone = devices
    given = await grant(laptop, bundle(reads=WHOLE, version=2), 8)
    await laptop.sync()
    await phone.sync()
    first = f"{given.grant.id} 1"
    await phone.collection("chez.left").put({"device": phone.device_id}, id=first)
    await phone.collection("chez.left").purge(first)
    await phone.sync()
    await laptop.sync()
    for _ in range(2):
        await run_once(laptop, given.grant.id, INSTANT)
        assert (await VERBS["job-send"](laptop, {}, Person("")))["sent"] == 1
    await laptop.sync()
    await phone.sync()
    told = (await VERBS["job-left"](phone, {}, Person("")))["elsewhere"]
    assert [one["sequence"] for one in told if one["grant"] == given.grant.id] == [2]
    assert len(await laptop.journal.receipts("delivered", grant=given.grant.id)) == 2


async def test_a_lost_share_comes_back_by_the_persons_word(tmp_path: Path) -> None:
    """A device that replaces a lost one has nothing until that one is removed and its share taken over, once, by a yes:
    what it said to have left, and all of what it never touched; no more than the ceiling."""
    await chez.create(tmp_path / "a", passphrase=PASSPHRASE, name="old", kdf=Kdf.minimum())
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(relay(tmp_path / "relay"))
        old = await stack.enter_async_context(chez.open(tmp_path / "a", passphrase=PASSPHRASE))
        await spends(old, "collection:used", 1000)
        await set_ceiling(old, "runs:provider:few", 7)
        await old.sync(server.url)
        await old.backup(tmp_path / "backup")
        await chez.restore(tmp_path / "backup", tmp_path / "b", passphrase=PASSPHRASE, kdf=Kdf.minimum())
        new = await stack.enter_async_context(chez.open(tmp_path / "b", passphrase=PASSPHRASE))
        await new.sync(server.url)
        (lost,) = [one for one in await new.devices.all() if not one.own]
        reclaim, params = VERBS["job-allowance-reclaim"], {"device": lost.id.hex()[:8]}
        with pytest.raises(NotAllowed, match="chez device remove"):
            await reclaim(new, params, Person("y"))
        await new.devices.remove(lost.id)
        done = await reclaim(new, {**params, "language": "fr"}, person := Person("n"))
        assert done == {"reclaimed": None, "words": ["Rien n'est repris."]}
        assert person.asked[0].startswith("Reprendre ce qu'avait « old » ?")
        assert await left(new, "collection:used") == 0
        done = await reclaim(new, params, Person("y"))
        assert done["reclaimed"] == {"collection:used": (CEILING - 1000) / 1000, "runs:provider:few": 7}
        assert done["rest"]
        assert await left(new, "runs:provider:few") == 7000
        assert await left(new, "collection:used") == CEILING - 1000 and await left(new, "collection:new") == CEILING
        # What the lost one said that it had counts no more: else whoever took over from this one would get nothing.
        former = next(one for one in await holders(new) if one.id == lost.id)
        assert former.left_of("collection:used", CEILING) == former.left_of("collection:new", CEILING) == 0
        assert former.spent["collection:used"] == 1000
        (own,) = [one for one in await holders(new) if one.own]  # and it is said here by now, should this one be lost
        assert own.first and own.left_of("collection:used", 0) == CEILING - 1000
        said = "\n".join((await VERBS["job-allowance"](new, {}, Person("")))["words"])
        assert f"'{former.name}' (removed): 0 bits left, 1 bit spent" in said
        await spends(new, "collection:used", CEILING - 1000)
        with pytest.raises(BudgetSpent):
            await spends(new, "collection:used", 1)
        with pytest.raises(NotAllowed, match="once"):
            await reclaim(new, params, Person("y"))
        with pytest.raises(NotFound):
            await reclaim(new, {"device": "nobody"}, Person("y"))
        late = Transfer(1, lost.id, new.device_id, 1, "collection:used", 5, bytes(64))
        late = msgspec.structs.replace(late, signature=old.sign("allowance transfer", *late.fields))
        await new.collection(COLLECTION).put({"transfer": msgspec.msgpack.encode(late)})
        assert await take_shares(new) == [] and await left(new, "collection:used") == 0
        (receipt,) = await new.journal.receipts("allowance-refused")
        assert "may give" in receipt.body["why"]
        assert (await new.journal.verify()).ok
