"""From an organisation through a real relay to a person's devices, and back: what is left, taken, acknowledged."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner
from msgspec import structs

import chez
from chez import inboxes
from chez.crypto import SigningKey
from chez.deposits.address import Quota, read_address
from chez.errors import InvalidValue, NotAllowed, NotFound, RelayRefused
from chez.home import home as home_module
from chez.home.deposits import syncing, taking
from chez.home.deposits.reports import DepositsReport
from chez.sync.connection import RelayConnection, connect
from chez.sync.events import InboxArrived
from chez_deposit import save_keys
from chez_deposit.cli import cli as deposit_cli
from chez_relay.storage.sqlite import FILE_NAME
from chez_wire.frames import InboxItem, OpenedSpace
from chez_wire.login import Role
from tests.deposits.support import (
    POLICIES,
    Insurer,
    given,
    message,
    organisation,
    policy,
    put,
    values,
)
from tests.people.persons import persons
from tests.people.support import join
from tests.relay.support import Process

T = TypeVar("T")


async def until(ask: Callable[[], Awaitable[T]], right: Callable[[T], bool]) -> T:
    """Ask again and again, until the answer is right; the test's own limit ends it."""
    while not right(found := await ask()):  # noqa: ASYNC110 - another process makes it right
        await asyncio.sleep(0.05)
    return found


@pytest.mark.slow
async def test_from_the_organisation_to_both_devices_and_back(
        tmp_path: Path, home: chez.Home, insurer: Insurer, server: Process) -> None:
    """What an organisation sends is on the device after its next sync, on the person's other device after that one's,
    and acknowledged; neither a second file nor a second device doubles anything, and the journal tells of it."""
    to = await given(home, insurer, "Insurer")
    await home.sync()
    records = [policy(f"i{n}", f"{n}.10", note="x" * 300) for n in range(250)]
    async with join(home, tmp_path / "phone", "phone", server.url) as phone:
        sent = await insurer.leave("Insurer", records, "first")
        assert (sent.sent, sent.queued) == (2, 0)
        # Both are at the inbox before either knows what the other took.
        await asyncio.gather(home.deposits.take(), phone.deposits.take())
        for one in (home, phone, home):
            await one.sync()
        expected = {f"i{n}": policy(f"i{n}", f"{n}.10", note="x" * 300) for n in range(250)}
        for one in (home, phone):
            assert await values(one) == expected
            assert [(each.number, each.outcome) for each in await one.deposits.all("Insurer")] == [(1, "taken"),
                                                                                                (2, "taken")]
        assert (await insurer.collect()).taken == 2 and insurer.book.standing("first").taken == 2
        assert (await insurer.leave("Insurer", records, "first")).sent == 0
        # The phone makes the same address of the same record, and revokes it for both.
        assert (await phone.deposits.address("Insurer")).text == to.text
        await phone.deposits.revoke("Insurer")
        await phone.sync()
    await home.sync()
    assert (await home.deposits.address(to.key.hex())).state == "revoked"
    kinds = {receipt.kind for receipt in await home.journal.receipts()}
    assert {"deposit-address-made", "deposit-taken"} <= kinds


async def test_a_relay_that_repeats_reorders_and_alters_changes_nothing(
        tmp_path: Path, insurer: Insurer, server: Process) -> None:
    """Items that are altered, repeated, in another order or of somebody else are dropped, and told; those behind them
    are taken; none of them is left at the relay, where it would take the room of others."""
    async with persons(tmp_path, "anna", relay=server.url) as (anna,):
        await _repeated(anna, insurer, server)


async def _repeated(home: chez.Home, insurer: Insurer, server: Process) -> None:
    to = await given(home, insurer, "lying")
    await home.deposits.take()
    good = [message(to, insurer.keys, [policy("l1", premium)], number=number)
            for number, premium in ((1, "1.00"), (2, "2.00"))]
    altered = good[0][:-1] + bytes([good[0][-1] ^ 1])
    forged = message(to, organisation("Forger"), [policy("l2")])
    await put(to, altered, good[1], forged, good[0])
    report = (await home.sync()).deposits
    assert (report.messages, report.dropped, report.added, report.unchanged) == (2, 2, 1, 1)
    found = await values(home)
    assert found["l1"]["premium"] == "2.00" and "l2" not in found
    (told,) = await home.journal.receipts("deposit-dropped", label="lying")
    assert told.body["count"] == 2 and server.data is not None
    with closing(sqlite3.connect(f"file:{server.data / FILE_NAME}?mode=ro", uri=True)) as db:
        left = {bytes(item) for (item,) in db.execute("SELECT item FROM items")}
    assert left.isdisjoint({altered, forged, *good})
    await put(to, *good)
    assert (await home.sync()).deposits.messages == 0 and len(await home.deposits.all("lying")) == 2


@pytest.mark.slow
async def test_a_revoked_address_takes_nothing_whatever_the_relay_does(home: chez.Home, insurer: Insurer) -> None:
    """After revoking, what lay at the relay is not taken, and the relay has no such inbox: who sends is told what it
    would be told of an address that never was. What was taken stays."""
    to = await given(home, insurer, "revoked")
    await home.deposits.take()
    await insurer.leave("revoked", [policy("v1")], "v1")
    await home.sync()
    await insurer.leave("revoked", [policy("v2")], "v2")
    await home.deposits.revoke("revoked")
    report = (await home.sync()).deposits
    assert (report.messages, report.problems) == (0, ())
    found = await values(home)
    assert "v1" in found and "v2" not in found
    insurer.prepare("revoked", [policy("v3")], "v3")
    async with connect(to.relay) as relay:
        (outcome,) = await until(lambda: relay.open([(to.inbox, Role.PUT, to.writer)]),
                                 lambda opened: bool(opened[0].error))
    sent = await insurer.send()
    assert (sent.sent, sent.queued) == (0, 1) and outcome.error == "unknown"
    assert any(why.startswith("unknown") for why in sent.problems)


async def test_what_comes_while_an_address_is_revoked_is_not_taken(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The person's word counts from the moment it is said, also where the inbox is being emptied just then."""
    to = await given(home, insurer, "meanwhile")
    await home.deposits.take()
    await put(to, message(to, insurer.keys, [policy("w1")]))
    opened = taking._open

    async def revoking(relay: RelayConnection, inbox: bytes, role: Role, key: SigningKey) -> None:
        await opened(relay, inbox, role, key)
        if inbox == to.inbox:
            await home.deposits.revoke("meanwhile")

    monkeypatch.setattr(taking, "_open", revoking)
    report = await home.deposits.take()
    assert report.messages == 0 and "w1" not in await values(home)
    assert any("'meanwhile'" in one and "revoked meanwhile" in one for one in report.problems)


async def test_an_address_that_ended_takes_nothing(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time an address is looked at no more, also where a relay keeps its inbox; an organisation makes no
    message for one."""
    to = await given(home, insurer, "ended", expires=timedelta(hours=1))
    await home.deposits.take()
    await put(to, message(to, insurer.keys, [policy("x1")]))
    later = home_module.unix_milliseconds() + 3_700_000
    for part in (home.deposits, home.deposits._taking):
        monkeypatch.setattr(part, "_now", lambda: later)
    assert (await home.deposits.take()).messages == 0 and "x1" not in await values(home)
    assert (await home.deposits.address("ended")).state == "expired"
    await home.deposits.revoke("ended")  # by the true clock it is open still, for the tests that follow


@pytest.mark.slow
async def test_an_address_without_a_card_waits_for_the_persons_word(home: chez.Home, insurer: Insurer) -> None:
    """What comes first waits at the relay; who left it is shown with its words; allowed by these its messages are
    taken, and others' dropped, whoever was first."""
    made = await home.deposits.new("open", [POLICIES], acks="none")
    assert made.text is not None
    to = read_address(made.text)
    await home.deposits.take()
    thief = organisation("Insurer SA (really)")
    card = insurer.keys.card
    await put(to, message(to, thief, [policy("t1", "0.01")], card=thief.card.text),
              message(to, insurer.keys, [policy("t1", "7.00")], card=card.text),
              message(to, thief, [policy("t2")], number=2, card=card.text))
    report = (await home.sync()).deposits
    assert (report.messages, report.waiting) == (0, ("open",)) and "t1" not in await values(home)
    shown = await home.deposits.address("open")
    assert shown.state == "asked" and {(one.name, one.words) for one in shown.applicants} == {
        (card.name, card.words), (thief.name, thief.card.words)}
    with pytest.raises(NotFound, match="nobody with these words"):
        await home.deposits.allow("open", "abandon " * 6)
    assert (await home.deposits.allow("open", card.words)).organisation == card.name
    report = (await home.sync()).deposits
    assert (report.messages, report.dropped) == (1, 2) and (await values(home))["t1"]["premium"] == "7.00"
    with pytest.raises(NotAllowed, match="is 'Insurer SA''s"):
        await home.deposits.allow("open", thief.card.words)


@pytest.mark.slow
async def test_what_waits_for_tomorrow_stays_at_the_relay(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the day's quota messages stay in the inbox, are told of, and come the next day."""
    to = await given(home, insurer, "slow", quota=Quota(records=1))
    await home.deposits.take()
    await put(to, *(message(to, insurer.keys, [policy(f"d{n}")], number=n) for n in (1, 2)))
    noon = home_module.unix_milliseconds() // 86_400_000 * 86_400_000 + 43_200_000
    monkeypatch.setattr(home.deposits._taking, "_now", lambda: noon)  # so that no midnight falls between two messages
    first = (await home.sync()).deposits
    assert (first.messages, first.waiting) == (1, ("slow",))
    tomorrow = noon + 86_400_000
    monkeypatch.setattr(home.deposits._taking, "_now", lambda: tomorrow)
    second = (await home.sync()).deposits
    assert (second.messages, second.waiting) == (1, ()) and {"d1", "d2"} <= (await values(home)).keys()


@pytest.mark.slow
async def test_an_acknowledgement_leaves_when_the_address_says(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """"later" is some time within a day, "none" never: an organisation can't tell when a device was there."""
    later = await given(home, insurer, "later", acks="later")
    never = await given(home, insurer, "never", acks="none")
    assert later.acknowledged and not never.acknowledged
    await home.deposits.take()
    for label in ("later", "never"):
        await insurer.leave(label, [policy(label)], label)
    report = (await home.sync()).deposits
    due = await home._database.read(lambda db: db.execute(
        "SELECT due FROM deposit_ack WHERE address IN (?, ?)", (later.key, never.key)).fetchall())
    assert (report.messages, len(due)) == (2, 1)
    monkeypatch.setattr(home.deposits._taking, "_now", lambda: due[0][0])
    assert (await home.deposits.take()).acknowledged >= 1  # others' too, if any wait
    assert (await insurer.collect()).taken == 1 and insurer.book.standing("never").sent == 1


@pytest.mark.slow
async def test_a_connected_home_takes_by_itself(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a home is connected, a new address is open at once, and what comes is taken without being asked."""
    monkeypatch.setattr(syncing, "PAUSE", (0.05, 0.1))
    async with home.connect():
        to = await given(home, insurer, "by itself")
        async with connect(to.relay) as relay:
            await until(lambda: relay.open([(to.inbox, Role.PUT, to.writer)]), lambda opened: not opened[0].error)
        await put(to, message(to, insurer.keys, [policy("m1")]))
        await until(lambda: values(home), lambda found: "m1" in found)


async def test_the_relay_learns_no_word_of_it(home: chez.Home, insurer: Insurer, server: Process) -> None:
    """Nothing that the relay stores names the organisation, the address, its label or a record; two addresses of a
    person have no name there in common, and its spaces none with theirs."""
    marker = "Quetzalcoatl"
    to = await given(home, insurer, f"{marker} label")
    beside = await given(home, insurer, "beside it")
    await home.deposits.take()
    await insurer.leave(f"{marker} label", [policy("b1", note=marker * 10)], marker)
    assert server.data is not None
    with closing(sqlite3.connect(f"file:{server.data / FILE_NAME}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT name, owner_key, write_key FROM inboxes").fetchall()
        stored = b"".join(bytes(item) for (item,) in db.execute("SELECT item FROM items"))
        stored += b"".join(bytes(cell) for row in rows for cell in row)
    for secret in (marker.encode(), b"policies", b"Insurer", to.key, to.sealing, beside.key,
                   insurer.keys.signing.public, home.person_id, home.device_id, home._spaces.private.space.handle):
        assert secret not in stored
    mine = [row for row in rows if row[0] in (to.inbox, beside.inbox)]
    assert len(mine) == 2 and not set(mine[0]) & set(mine[1])


class Endless:
    """A relay that has an item more whenever it is asked, or the same one again and again."""

    unread = False

    def __init__(self, rises: bool, pause: float = 0.0) -> None:
        self.rises, self.pause, self.asked, self.inbox = rises, pause, 0, b""

    async def create_inbox(self, *_: object) -> None:
        """It takes any."""

    async def open(self, claims: list[tuple[bytes, Role, object]]) -> tuple[OpenedSpace, ...]:
        """And opens it."""
        return tuple(OpenedSpace(inbox, role, "", 0, bytes(32)) for inbox, role, _ in claims)

    async def watch(self, inbox: bytes, after: int) -> None:
        """Another page is asked for."""
        self.asked, self.inbox = self.asked + 1, inbox

    async def ack(self, *_: object) -> None:
        """It deletes nothing."""

    async def put(self, *_: object) -> None:
        """Acknowledgements of other tests may be due."""

    async def arrivals(self) -> AsyncIterator[InboxArrived]:
        """Junk, without end."""
        for number in count(1):
            await asyncio.sleep(self.pause)
            yield InboxArrived(0, self.inbox, (InboxItem(number if self.rises else 1, b"junk"),) * 30)


async def taken_from(endless: Endless, home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> DepositsReport:
    """What comes of looking at the inboxes where all relays are this one."""
    @asynccontextmanager
    async def connect(_: str) -> AsyncIterator[Endless]:
        yield endless

    monkeypatch.setattr(taking, "connect", connect)
    return await home.deposits.take()


@pytest.mark.parametrize("rises", [True, False])
async def test_a_relay_that_never_comes_to_an_end_is_left(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch, rises: bool) -> None:
    """Of an inbox in which there is always more, as many items are looked at as can have waited, and then no more."""
    endless = Endless(rises)
    await given(home, insurer, f"endless {rises}")
    monkeypatch.setattr(taking, "MOST_ITEMS", 150)
    before = len(await home.deposits.addresses())
    report = await taken_from(endless, home, monkeypatch)
    assert (report.messages, report.problems) == (0, ()) and endless.asked <= 10 * before


async def test_a_relay_that_gives_little_by_little_is_left(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something comes always in time, and would for days: who asked for a sync would wait for it."""
    await given(home, insurer, "little by little")
    monkeypatch.setattr(taking, "MOST_SECONDS", 5.0)
    monkeypatch.setattr(taking, "MOST_ALTOGETHER", 0.1)
    async with asyncio.timeout(60):
        report = await taken_from(Endless(rises=True, pause=0.02), home, monkeypatch)
    assert report.problems and all("within 0.1 seconds" in problem for problem in report.problems)


async def test_no_address_is_made_that_could_not_be_kept(home: chez.Home, insurer: Insurer) -> None:
    """A label that another has, no types, a quota or a time out of bounds: typed errors, and nothing is made."""
    await given(home, insurer, "taken name")
    before = len(await home.deposits.addresses())
    for terms in ({"label": "taken name"}, {"types": []}, {"types": [POLICIES, POLICIES]}, {"quota": Quota(0)},
                  {"quota": Quota(bytes=1023)},
                  {"expires": timedelta(0)}, {"acks": "sometimes"}, {"label": ""},
                  {"card": insurer.keys.card.text[:-4]},
                  {"types": [structs.replace(POLICIES, collection="chez-relays")]},
                  {"types": [structs.replace(POLICIES, fields={"number": "text", "paid": "yes or no"})]}):
        with pytest.raises(InvalidValue):
            await home.deposits.new(**{"label": "new", "types": [POLICIES], **terms})  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="vocabulary has no collection"):
        await home.deposits.new("new", ["policies"])
    assert len(await home.deposits.addresses()) == before


async def test_who_has_the_address_can_only_put(home: chez.Home, insurer: Insurer) -> None:
    """The one secret in an address opens nothing but the inbox's door: it reads, deletes and renews nothing."""
    to = await given(home, insurer, "door")
    await home.deposits.take()
    async with connect(to.relay) as relay:
        (outcome,) = await relay.open([(to.inbox, Role.TAKE, to.writer)])
        assert outcome.error == "denied"
        with pytest.raises(RelayRefused):
            await relay.watch(to.inbox, 0)
        with pytest.raises(RelayRefused):
            await relay.ack(to.inbox, 1)


async def test_what_lies_behind_who_asks_is_told_when_it_is_judged(
        home: chez.Home, insurer: Insurer, monkeypatch: pytest.MonkeyPatch) -> None:
    """While nobody said whose an address is, what is behind the first that asks was not told; then it is, once."""
    monkeypatch.setattr(taking, "TOGETHER", 1)
    made = await home.deposits.new("behind", [POLICIES], acks="none")
    assert made.text is not None
    to, card = read_address(made.text), insurer.keys.card
    await home.deposits.take()
    await put(to, message(to, insurer.keys, [policy("b1")], card=card.text), b"one of junk", b"another one")
    report = await home.deposits.take()
    assert (report.messages, report.dropped, report.waiting) == (0, 0, ("behind",))
    await home.deposits.allow("behind", card.words)
    for counts in ((1, 2), (0, 0)):
        report = await home.deposits.take()
        assert (report.messages, report.dropped) == counts


async def test_junk_in_the_organisations_inbox_is_taken_out_many_at_a_time_and_told(
        home: chez.Home, insurer: Insurer, server: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the card can fill it: it is emptied in few round trips, what a customer's device said in between
    counts, and the organisation hears how much was none of that."""
    await given(home, insurer, "flooded")
    await home.deposits.take()
    await insurer.leave("flooded", [policy("f1")], "f1")
    card, ack, deleted = insurer.keys.card, inboxes.InboxItems.ack, list[int]()
    await inboxes.put(server.url, card.inbox, card.writer, *(b"junk %d" % number for number in range(400)))
    await home.sync()
    await inboxes.put(server.url, card.inbox, card.writer, *(b"junk %d" % number for number in range(400, 600)))

    async def counted(self: inboxes.InboxItems, number: int) -> None:
        deleted.append(number)
        await ack(self, number)

    monkeypatch.setattr(inboxes.InboxItems, "ack", counted)
    save_keys(insurer.folder / "key", insurer.keys)
    insurer.book.db.close()
    command = ["acks", "--key", str(insurer.folder / "key"), "--book", str(insurer.folder / "Insurer SA.book")]
    told = await asyncio.to_thread(CliRunner().invoke, deposit_cli, command)
    assert told.exit_code == 0 and "1 taken, 0 refused" in told.output and "600 items dropped" in told.output
    assert len(deleted) < 10
