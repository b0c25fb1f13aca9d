"""Messages on their way out: they leave at their time, and a result may be withdrawn until then."""

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import chez
from chez import inboxes
from chez.agent.idle import awake_clock
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotAllowed, NotFound, RelayUnreachable
from chez_sandbox.consent import at_work, verbs
from chez_sandbox.consent.delivery import Delivery, deliver
from chez_sandbox.consent.departures import departures
from chez_sandbox.consent.grants import COLLECTION, load_grant, revoke_grant
from chez_sandbox.consent.leaving import Leaving, leavings
from chez_sandbox.consent.run import authorise, settle_all, withdraw
from chez_sandbox.job_errors import GrantEnded, GrantInvalid
from chez_sandbox.release.release import open_message
from tests.jobs.interleaving import Seeded
from tests.jobs.samples import INBOX, LATER, SEALING
from tests.jobs.spending import spent
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import THIEF, TODAY, bundle, grant, tamper
from tests.jobs.test_identity import STRANGER, of
from tests.jobs.test_told import words

SECOND = timedelta(seconds=1)
PUT = inboxes.put
"""As it is before `Relay` takes its place."""


class Relay:
    """Stands for `inboxes.put`: keeps what it gets, or fails as told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.items: list[bytes] = []
        self.failure: BaseException | None = None
        monkeypatch.setattr("chez.inboxes.put", self.put)

    async def put(self, relay: Any, inbox: bytes, writer: Any, item: bytes) -> None:
        """Take an item, and then fail if told so: the answer may be lost after it came."""
        self.items.append(item)
        if self.failure is not None:
            raise self.failure

    def outcomes(self) -> list[str]:
        """What the provider reads."""
        return [open_message(item, SEALING, INBOX).outcome for item in self.items]


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Relay:
    """A relay that takes everything."""
    return Relay(monkeypatch)


async def run_held(home: chez.Home, number: int = 1, *, decline: bool = False, **options: Any) -> Leaving:
    """One run under a grant that holds its messages for three hours (or has other options); its message."""
    held: dict[str, Any] = {"review": "hold", "hold_hours": 3, "slots": "hour"}
    given = await grant(home, bundle(), number, **(held | options))
    async with authorise(home, given.grant.id, TODAY) as run:
        execution = await run.execute(INSTANT)
        await (run.decline() if decline else run.release(execution))
    (leaving,) = await home.transaction(lambda transaction: leavings(transaction, grant=given.grant.id))
    return leaving


async def test_a_held_result_leaves_by_itself_at_its_time(home: chez.Home, relay: Relay) -> None:
    """Nothing is sent a second before, the result at its time, and nothing again after."""
    leaving = await run_held(home)
    begun = datetime.fromisoformat((await home.journal.receipts("run"))[0].time)
    assert timedelta(hours=3) < leaving.leaves - begun < timedelta(hours=4, minutes=2)
    assert f"sent from {leaving.leaves.astimezone():%Y-%m-%d %H:%M} on" in await words(home, verbs.job_left)
    early = await deliver(home, leaving.leaves - SECOND)
    assert (early.sent, early.held, early.next) == (0, 1, leaving.leaves) and relay.items == []
    assert (await deliver(home, leaving.leaves)).sent == 1 and relay.outcomes() == ["result"]
    assert await deliver(home, LATER) == await deliver(home, LATER)
    assert len(relay.items) == 1 and (await home.journal.verify()).ok


class Clocks:
    """The clocks that jobs look at: time has passed by both, and that of the wall is set ahead."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clocks, self.passed, self.ahead = self, timedelta(), timedelta()

        class Set(datetime):
            """The clock of the wall, as it is set."""

            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + clocks.passed + clocks.ahead

        monkeypatch.setattr(at_work, "datetime", Set)
        monkeypatch.setattr(at_work, "awake_clock", lambda: awake_clock() + self.passed.total_seconds())


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks that are right, so far."""
    return Clocks(monkeypatch)


async def test_a_clock_that_is_set_ahead_shortens_no_hold(home: chez.Home, relay: Relay, clocks: Clocks) -> None:
    """What is held for some hours is held for them, though the clock of the wall is set a day ahead meanwhile."""
    await run_held(home)
    minutes = timedelta(minutes=9)
    for after, by, sent in ((timedelta(), timedelta(), 0), (minutes, timedelta(days=1), 0),
                            (2 * minutes, timedelta(), 0), (timedelta(hours=5), timedelta(), 1)):  # fmt: skip
        clocks.passed, clocks.ahead = after, by
        assert (await verbs.job_send(home, {}, Person("")))["sent"] == sent
        assert len(set(relay.items)) == sent


async def test_a_clock_that_is_set_ahead_before_the_home_is_opened_shortens_no_hold(
    tmp_path: Path, relay: Relay, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`chez job send` by itself knows what the processes before it knew of the clock, since the machine was started: a
    day ahead it sends nothing, also when it is asked twice, until the clock has stood so for an hour."""
    monkeypatch.setattr(at_work, "start_of_machine", lambda: "a start")
    path = tmp_path / "home"
    await chez.create(path, passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(path, passphrase="correct horse") as home:
        await run_held(home)
        assert (await verbs.job_send(home, {}, Person("")))["held"] == 1
    clocks.ahead = timedelta(days=1)
    for after, sent in ((1, 0), (50, 0), (62, 1)):
        clocks.passed = timedelta(minutes=after)
        async with chez.open(path, passphrase="correct horse") as home:
            assert (await verbs.job_send(home, {}, Person("")))["sent"] == sent
            assert len(relay.items) == sent


async def test_a_result_and_a_refusal_leave_at_one_time(home: chez.Home) -> None:
    """Under one plan, a released, a declined and a withdrawn run's message leave as long after their beginnings."""
    released, declined = await run_held(home, 1), await run_held(home, 2, decline=True)
    withdrawn = await run_held(home, 3)
    await withdraw(home, withdrawn.run[0])
    (instead,) = await home.transaction(lambda transaction: leavings(transaction, grant=withdrawn.run[0]))
    assert instead.leaves == withdrawn.leaves
    # One seed, so one grid; the three runs began within a moment, or two neighbouring slots.
    assert {(one.leaves - released.leaves) % timedelta(hours=1) for one in (declined, instead)} == {timedelta()}


async def test_what_was_withdrawn_leaves_as_none_in_its_place(home: chez.Home, relay: Relay) -> None:
    """The provider reads "none" once, in as many bytes, at the same time; the bits stay spent."""
    leaving = await run_held(home)
    (made,) = await withdraw(home, leaving.run[0][:6])
    with pytest.raises(NotAllowed, match="no result"):
        await withdraw(home, leaving.run[0])
    assert (made.outcome, made.sequence) == ("none", 1)
    assert len(made.message) == len(base64.b64decode(leaving.receipt.body["message"]))
    assert (await deliver(home, leaving.leaves - SECOND)).sent == 0
    assert (await deliver(home, leaving.leaves)).sent == 1 and relay.items == [made.message]
    assert await spent(home, "grant:" + "01" * 16) == pytest.approx(bundle().manifest.schema.bits, abs=0.01)
    assert [(left.outcome, left.message) for left in await departures(home)] == [("none", made.message)]
    with pytest.raises(NotAllowed, match="no result"):
        await withdraw(home, leaving.run[0])
    for none in ("ffff", ""):
        with pytest.raises(NotFound):
            await withdraw(home, none)


@pytest.mark.parametrize("options", [{}, {"review": "within-the-grant", "hold_hours": 0, "slots": "at-once"}],
                         ids=["held", "at once"])  # fmt: skip
async def test_the_order_of_messages_tells_of_no_withdrawal(
    home: chez.Home, relay: Relay, options: dict[str, Any]
) -> None:
    """What was withdrawn leaves in the place that its result had among those of its time, not behind them."""
    for number in (1, 2, 3):
        await run_held(home, number, **options)
    for number in (2, 1):
        await withdraw(home, (bytes([number]) * 16).hex())
    assert (await deliver(home, LATER)).sent == 3
    came = [open_message(item, SEALING, INBOX) for item in relay.items]
    assert [(one.grant[0], one.outcome) for one in came] == [(1, "none"), (2, "none"), (3, "result")]


@pytest.mark.parametrize("failure", [RelayUnreachable("no answer"), asyncio.CancelledError()], ids=["relay", "ended"])
async def test_what_may_have_left_is_not_withdrawn(home: chez.Home, relay: Relay, failure: BaseException) -> None:
    """After one attempt without an answer, also when the clock went back, the same bytes are sent again."""
    leaving = await run_held(home)
    relay.failure = failure
    if isinstance(failure, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await deliver(home, leaving.leaves)
    else:
        assert (await deliver(home, leaving.leaves)).waiting == 1
    with pytest.raises(NotAllowed, match="no result"):
        await withdraw(home, leaving.run[0])
    said = await words(home, verbs.job_left)
    assert "may have left" in said and "waiting here" not in said and "not left yet" not in said
    assert [left.tried is None or left.delivered for left in await departures(home)] == [None]
    relay.failure = None
    assert (await deliver(home, leaving.leaves - 3 * SECOND)).sent == 1
    assert relay.items == [base64.b64decode(leaving.receipt.body["message"])] * 2
    assert len(await home.journal.receipts("sending")) == 1


async def test_a_revocation_withdraws_what_is_still_here(home: chez.Home, relay: Relay) -> None:
    """Of a revoked grant "none" leaves; also when another device revoked it by the mark on its record alone, which was
    there when something was sent before, and is not any more."""
    for number in (1, 2, 3):
        await run_held(home, number)
    await revoke_grant(home, "01" * 16)
    await tamper(home, "02" * 16, revoked=True)
    await tamper(home, "03" * 16, revoked=True)
    assert (await deliver(home, datetime.now(UTC))).sent == 0
    await tamper(home, "03" * 16, revoked=False)
    await deliver(home, LATER)
    assert relay.outcomes() == ["none", "none", "none"]


async def test_what_is_still_here_of_a_damaged_grant_is_withdrawn_at_once(home: chez.Home) -> None:
    """Whoever revokes a grant whose record another device purged, or changed, is told so, and sees the result that
    waited no more as one that is going to be sent."""
    await run_held(home, 1)
    await home.collection(COLLECTION).purge("01" * 16)
    assert "waiting here" in await words(home, verbs.job_left)
    with pytest.raises(GrantInvalid, match="it is revoked all the same"):
        await verbs.job_revoke(home, {"grant": "01" * 16}, Person(""))
    assert "waiting here" not in await words(home, verbs.job_left) and await departures(home) == []


async def test_who_takes_a_grants_place_gets_no_message_of_its_runs(home: chez.Home, relay: Relay) -> None:
    """A grant that another device signed, for another provider, under the id of one that has a result here, and a run
    that was cut off: nothing is sealed for whom that one names, and under the right there was nothing runs any more."""
    await run_held(home, 1)
    id, records = "01" * 16, home.collection(COLLECTION)
    other = of(STRANGER, domain="else.example")
    record, before = dict((await records.get(id)).value), (await load_grant(home, id)).grant
    forged = msgspec.structs.replace(before, device=THIEF.public.hex(), provider=STRANGER.public.hex(),
                                     bundle=other.hash.hex())  # fmt: skip
    signed = {"body": forged.body, "signature": THIEF.sign("chez/1 application grant", forged.body)}
    async with authorise(home, id, TODAY) as run:
        await records.put(record | signed | {"bundle": other.encoded}, id=id)
        assert (await load_grant(home, id)).grant == forged
        with pytest.raises(GrantEnded, match="another of your devices"):
            await run.execute(INSTANT)
    (made,) = await withdraw(home, id)
    assert (made.outcome, made.message) == ("none", b"")
    await home.journal.reserve({}, 1.0, "run", (await home.journal.receipts("run"))[0].body | {"sequence": 2})
    assert await settle_all(home, TODAY) == []
    assert (await deliver(home, LATER)).sent == 0 and relay.items == []


async def test_of_a_damaged_grant_that_was_revoked_nothing_leaves(home: chez.Home, relay: Relay) -> None:
    """Nobody knows for whom to seal a "none": the result stays here all the same, and other grants' messages go."""
    await run_held(home, 1)
    await home.collection(COLLECTION).delete("01" * 16)
    (made,) = await withdraw(home, "01" * 16)
    assert (made.outcome, made.message) == ("none", b"") and await departures(home) == []
    assert (await deliver(home, datetime.now(UTC))) == Delivery(0, 0, "", 0, None)
    await run_held(home, 2)
    assert (await deliver(home, LATER)).sent == 1 and relay.outcomes() == ["result"]
    assert len(await home.journal.receipts("sending")) == 1


async def test_a_grant_that_is_gone_holds_up_no_others_message(home: chez.Home, relay: Relay) -> None:
    """A run that was cut off under a grant whose record another device purged has nobody to tell "none" to; the "none"
    of another one is made and sent all the same."""
    for number in (1, 2):
        given = await grant(home, bundle(), number)
        async with authorise(home, given.grant.id, TODAY) as run:
            await run.execute(INSTANT)
            (body,) = (one.body for one in await home.journal.receipts("run", grant=given.grant.id))
        await home.journal.reserve({}, 1.0, "run", body | {"sequence": 2})
    await home.collection(COLLECTION).purge("01" * 16)
    made = await settle_all(home, TODAY)
    assert [(one.grant, one.sequence, one.outcome) for one in made] == [("02" * 16, 2, "none")]
    assert (await deliver(home, LATER)).sent == 3 and relay.outcomes() == ["none"] * 3


async def test_a_beginning_of_two_grants_ids_withdraws_nothing(home: chez.Home) -> None:
    """Of which one results are withdrawn has to be said; nothing is of either before that."""
    ids = [(await run_held(home, number)).run[0] for number in (0x1A, 0x1B)]
    with pytest.raises(NotFound, match="several grants begin with '1'"):
        await withdraw(home, "1")
    assert [one.outcome for one in await departures(home)] == ["result"] * 2
    assert [one.grant for one in await withdraw(home, "1b")] == ids[1:]


async def test_a_result_is_withdrawn_or_sent_whatever_races(
    home: chez.Home, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every order of steps, what `withdraw` said stays here did not leave, and one message leaves in all."""
    seeded, told = Seeded(monkeypatch), set()
    for seed in range(1, 31):
        relay.items.clear()
        leaving = await run_held(home, seed)
        sent, withdrawn = await seeded.run(seed, deliver(home, LATER), withdraw(home, leaving.run[0]))
        assert not isinstance(sent, BaseException)
        await deliver(home, LATER)
        assert relay.outcomes() == (["result"] if isinstance(withdrawn, NotAllowed) else ["none"])
        told.add(relay.outcomes()[0])
    assert told == {"result", "none"}


HOURS = [("hold", 0), ("hold", 721), ("show-me-first", 1), ("within-the-grant", 5)]


@pytest.mark.parametrize(("review", "hours"), HOURS)
async def test_hours_of_hold_fit_the_review(home: chez.Home, review: str, hours: int) -> None:
    """A hold without hours, for longer than a month, or under another review is refused, and nothing is granted."""
    with pytest.raises(InvalidValue, match="hold"):
        await grant(home, bundle(), review=review, hold_hours=hours)
    assert await home.journal.receipts("grant") == []


async def test_a_revocation_that_comes_while_others_are_sent_is_heeded(
    home: chez.Home, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another device marked while an earlier message was under way: in the result's place leaves "none", then, or
    nothing where the record is damaged."""
    for number in (1, 2, 3):
        await run_held(home, number)

    async def put(*asked: Any) -> None:
        await tamper(home, "02" * 16, revoked=True)
        await tamper(home, "03" * 16, revoked=True, signature=b"")
        await relay.put(*asked)

    monkeypatch.setattr("chez.inboxes.put", put)
    told = await deliver(home, LATER)
    assert (told.sent, told.waiting, relay.outcomes()) == (2, 0, ["result", "none"])
    assert [(left.grant[:2], left.outcome) for left in await departures(home)] == [("01", "result"), ("02", "none")]


async def test_what_was_sent_meanwhile_is_not_sent_again(
    home: chez.Home, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process that sends while an earlier message is under way may take the later ones: each leaves once."""
    for number in (1, 2):
        await run_held(home, number)
    beside = [deliver]

    async def put(*asked: Any) -> None:
        while beside:
            await beside.pop()(home, LATER)
        await relay.put(*asked)

    monkeypatch.setattr("chez.inboxes.put", put)
    assert (await deliver(home, LATER)).sent == 0
    first, second, again = relay.items  # the first one was under way, and is the same bytes
    assert first == again != second and len(await home.journal.receipts("delivered")) == 2


async def test_a_relay_that_is_away_is_asked_once(home: chez.Home, relay: Relay) -> None:
    """Of many messages for one provider each would wait for its relay: they are left, and may be withdrawn still."""
    for number in (1, 2, 3):
        await run_held(home, number)
    relay.failure = RelayUnreachable("it said nothing")
    told = await deliver(home, LATER)
    assert (told.sent, told.waiting, len(relay.items)) == (0, 3, 1)
    assert (await withdraw(home, "03" * 16))[0].outcome == "none"
    relay.failure = None
    assert (await deliver(home, LATER)).sent == 3 and relay.outcomes() == ["result", "result", "result", "none"]


@pytest.mark.parametrize("unforeseen", [False, True])
async def test_what_a_providers_address_raises_holds_up_no_other(
    home: chez.Home, relay: Relay, monkeypatch: pytest.MonkeyPatch, unforeseen: bool
) -> None:
    """A provider's address with a user's name and no password, which nobody can dial, and an error that nobody foresaw:
    what is behind it for others leaves, its own waits and is told, and of the unforeseen one the details are kept."""
    jobs = bundle(relay="ws://user@127.0.0.1:9"), bundle(job="another")
    for number, job in enumerate(jobs, 1):
        given = await grant(home, job, number)
        async with authorise(home, given.grant.id, TODAY) as run:
            await run.release(await run.execute(INSTANT))

    async def put(address: str, *asked: Any) -> None:
        if address != jobs[0].manifest.provider.relay:
            await relay.put(address, *asked)
        elif unforeseen:
            raise RuntimeError("a secret")
        else:
            await PUT(address, *asked)

    monkeypatch.setattr("chez.inboxes.put", put)
    for sent in (1, 0):
        told = await verbs.job_send(home, {}, Person(""))
        assert (told["sent"], told["waiting"]) == (sent, 1)
        assert ("unexpected.txt" if unforeseen else "no relay's address") in told["problem"]
    assert relay.outcomes() == ["result"]
    kept = home.path / "unexpected.txt"
    assert kept.exists() is unforeseen and (not unforeseen or "a secret" not in kept.read_text())
