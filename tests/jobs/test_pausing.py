"""Pausing, resuming and revoking: any device can stop a job, only the one that runs it starts it again."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import anyio.lowlevel
import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

import chez
from chez.crypto import Kdf, SigningKey
from chez.errors import InvalidValue, NotAllowed
from chez_sandbox.consent import stopping, verbs
from chez_sandbox.consent.grants import COLLECTION, list_grants, load_grant, revoke_grant
from chez_sandbox.consent.heeding import heed_all
from chez_sandbox.consent.pauses import RESUME, Resumption, standing
from chez_sandbox.consent.pausing import pause_grant, resume_grant
from chez_sandbox.consent.run import authorise
from chez_sandbox.consent.stopping import unless_revoked
from chez_sandbox.job_errors import GrantEnded, GrantPaused
from chez_sandbox.runtime.host import Runtime
from tests.cli.support import within
from tests.jobs.test_flow import Person, kinds
from tests.jobs.test_grants import NOW, TODAY, bundle, grant, tamper
from tests.jobs.test_runs import run_once
from tests.jobs.timetable import looked
from tests.runtime.jobs import workers

KEY = SigningKey.from_seed(bytes([7]) * 32)
ID = "01" * 16


async def paused(home: chez.Home) -> bool:
    """Whether the grant refuses to run for being paused."""
    try:
        async with authorise(home, ID, TODAY):
            return False
    except GrantPaused:
        return True


async def refused(home: chez.Home) -> bool:
    """Whether a run is refused, for whichever reason."""
    try:
        async with authorise(home, ID, TODAY):
            return False
    except (GrantEnded, GrantPaused):
        return True


async def test_a_paused_grant_runs_when_it_is_resumed(home: chez.Home, runtime: Runtime) -> None:
    """Pausing twice is pausing once; resuming lets it run; both are in the journal, and the chain holds."""
    await grant(home, bundle())
    await pause_grant(home, ID[:6], pause=b"1" * 16, now=NOW)
    await pause_grant(home, ID, pause=b"2" * 16, now=NOW)
    assert await paused(home) and len((await load_grant(home, ID)).pauses) == 1
    await resume_grant(home, ID, now=NOW)
    await resume_grant(home, ID, now=NOW)
    assert (await run_once(home, ID, runtime)).outcome == "result"
    assert (await kinds(home))[:3] == ["grant", "pause", "resumption"]
    await pause_grant(home, ID, pause=b"3" * 16, now=NOW)
    assert await paused(home)


async def test_a_pause_holds_whatever_becomes_of_the_record(home: chez.Home) -> None:
    """A record whose marks were taken away, changed or forged lifts no pause that this device knows of."""
    await grant(home, bundle())
    await pause_grant(home, ID, pause=b"1" * 16, now=NOW)
    name = (b"1" * 16).hex()
    body = msgspec.msgpack.encode(Resumption(1, ID, name, NOW))
    for marks in (
        {"pauses": {}},
        {"pauses": None, "resumptions": None},
        {"pauses": {}, "resumptions": {name: resumed(name)}},
        {"pauses": {}, "resumptions": {name: {"body": body, "signature": home.sign("grant", body)}}},
        {"pauses": {}, "resumptions": {name: "yes"}},
    ):
        await tamper(home, ID, **marks)
        assert await paused(home)
    await resume_grant(home, ID, now=NOW)
    assert not await paused(home)


async def test_a_pause_that_would_not_hold_is_refused(home: chez.Home) -> None:
    """An app that names two pauses alike, or not by 16 bytes, is told so: the second would be lifted by what lifted the
    first, and the others would never be heeded."""
    await grant(home, bundle())
    await pause_grant(home, ID, pause=b"1" * 16, now=NOW)
    await resume_grant(home, ID, now=NOW)
    wrong: list[Any] = [b"1" * 16, b"", b"1" * 17, "1" * 16]
    for name in wrong:
        with pytest.raises(InvalidValue):
            await pause_grant(home, ID, pause=name, now=NOW)
    await pause_grant(home, ID, pause=b"2" * 16, now=NOW)
    assert await paused(home)


async def test_a_list_of_grants_knows_the_journals_pauses_of_each(home: chez.Home) -> None:
    """A pause whose mark was taken away stands in the list of grants too, and for its own grant alone."""
    for number in (1, 2):
        await grant(home, bundle(), number)
    await pause_grant(home, ID, pause=b"1" * 16, now=NOW)
    await tamper(home, ID, pauses={})
    assert {one.grant.id for one in await list_grants(home) if one.pauses} == {ID}


async def test_a_pause_by_another_device_holds_and_is_lifted_here(home: chez.Home) -> None:
    """What arrives in the record stops the grant, until the device that runs it says otherwise."""
    await grant(home, bundle())
    await tamper(home, ID, pauses={"ab" * 16: NOW})
    assert await paused(home)
    await resume_grant(home, ID, now=NOW)
    assert not await paused(home)


@pytest.mark.parametrize("heeding", [refused, looked])
@pytest.mark.parametrize("mark", [{"revoked": True}, {"pauses": {"ab" * 16: NOW}}], ids=["revoked", "paused"])
async def test_a_mark_that_was_heeded_stands_when_it_is_taken_away(
    home: chez.Home, mark: dict[str, Any], heeding: Callable[[chez.Home], Awaitable[object]]
) -> None:
    """What a run or a look was refused for is in the journal, once: the record set back as it was starts nothing."""
    id = (await grant(home, bundle())).grant.id
    before = dict((await home.collection(COLLECTION).get(id)).value)
    for _ in range(2):
        await tamper(home, id, **mark)
        await heeding(home)
        await home.collection(COLLECTION).put(before, id=id)
        assert await refused(home)
    (receipt,) = await home.journal.receipts("revocation" if "revoked" in mark else "pause")
    assert receipt.body["from"] == "record"
    if "pauses" in mark:
        await resume_grant(home, id, now=NOW)
        async with authorise(home, id, TODAY):
            pass


async def test_what_is_no_pauses_id_fills_no_journal(home: chez.Home) -> None:
    """However many pauses a program writes into a record, one is kept; other words pause while they stand there."""
    id = (await grant(home, bundle())).grant.id
    await tamper(home, id, pauses={"x" * 9000: NOW})
    await heed_all(home)
    assert await paused(home) and await home.journal.receipts("pause") == []
    await tamper(home, id, pauses={f"{number:032x}": NOW for number in range(50)})
    await heed_all(home)
    await heed_all(home)
    assert len(await home.journal.receipts("pause")) == 1


async def test_another_device_pauses_and_does_not_resume(home: chez.Home, tmp_path: Path) -> None:
    """On a device that does not run the grant pausing works, and resuming is refused with what works."""
    await grant(home, bundle())
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        await pause_grant(again, ID, pause=b"1" * 16, now=NOW)
        assert (await load_grant(again, ID)).pauses
        with pytest.raises(NotAllowed, match="on the device that runs it"):
            await resume_grant(again, ID, now=NOW)


async def test_pausing_again_puts_back_a_mark_that_was_taken_away(home: chez.Home, tmp_path: Path) -> None:
    """Another device's mark that a program took away before the device that runs the grant saw it, is there again, once
    the person pauses again on the device that knows of it; its journal has one pause, and one resumption lifts it."""
    await grant(home, bundle())
    await home.backup(tmp_path / "backup")
    await chez.restore(tmp_path / "backup", tmp_path / "again", passphrase="correct horse", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "again", passphrase="correct horse") as again:
        await pause_grant(again, ID, pause=b"1" * 16, now=NOW)
        await tamper(again, ID, pauses={})
        await pause_grant(again, ID, pause=b"2" * 16, now=NOW)
        await pause_grant(again, ID, pause=b"3" * 16, now=NOW)
        marks = (await again.collection(COLLECTION).get(ID)).value["pauses"]
        assert marks == {(b"1" * 16).hex(): NOW} and len(await again.journal.receipts("pause")) == 1
    await tamper(home, ID, pauses=marks)  # as it arrives
    assert await paused(home)
    await resume_grant(home, ID, now=NOW)
    assert not await paused(home)


def resumed(pause: str, key: SigningKey = KEY, grant: str = ID) -> dict[str, bytes]:
    """A signed resumption."""
    body = msgspec.msgpack.encode(Resumption(1, grant, pause, NOW))
    return {"body": body, "signature": key.sign(f"chez/1 application {RESUME}", body)}


@for_all(st.lists(st.tuples(st.booleans(), st.sampled_from("abcd")), max_size=12), st.randoms())
def test_the_order_of_pauses_and_resumptions_does_not_matter(steps: list[tuple[bool, str]], chance: Any) -> None:
    """Marks that two devices put in merge into one state in whatever order: what stands was never resumed."""
    states = []
    for _ in range(2):
        pauses = {name: NOW for stop, name in steps if stop}
        resumptions = {name: resumed(name) for stop, name in steps if not stop}
        states.append(standing(ID, KEY.public, {"pauses": pauses, "resumptions": resumptions}, ()))
        chance.shuffle(steps)
    expected = {name for stop, name in steps if stop} - {name for stop, name in steps if not stop}
    assert states == [expected, expected]


@for_all(st.recursive(
    st.none() | st.booleans() | st.integers() | st.binary(max_size=80) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "body", "signature"]), inner),
    max_leaves=8,
))  # fmt: skip
def test_nothing_but_the_devices_own_word_lifts_a_pause(value: Any) -> None:
    """Any value in the place of a resumption, or of all of them, and any other's signature: the pause stands."""
    thief = SigningKey.from_seed(bytes(32))
    others = [resumed("a", thief), resumed("b"), resumed("a", grant="02"), value]
    for resumptions in (value, *({"a": other} for other in others)):
        assert standing(ID, KEY.public, {"pauses": {"a": NOW}, "resumptions": resumptions}, ()) == {"a"}


async def test_revoking_ends_a_run_in_progress(home: chez.Home, runtime: Runtime) -> None:
    """A job that would run on is killed by a revocation that arrives; its one message says none, its receipt why."""
    code, before = b"def run(data, params):\n    while True: pass\n", workers()
    await grant(home, bundle(code))
    async with authorise(home, ID, TODAY) as run, anyio.create_task_group() as group:

        async def revoke() -> None:
            while not await home.journal.receipts("run"):
                await anyio.lowlevel.checkpoint()
            await tamper(home, ID, revoked=True)

        group.start_soon(revoke)
        assert await unless_revoked(home, ID, lambda: run.execute(runtime)) is None
    assert workers() <= before
    (refusal,) = await home.journal.receipts("refusal")
    assert (refusal.body["outcome"], refusal.body["reason"]) == ("none", "revoked")
    with pytest.raises(GrantEnded):
        async with authorise(home, ID, TODAY):
            pass


async def test_who_waits_for_a_run_is_cancelled_also_at_its_end(
        home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is no more looked after for a revocation: what came of it is not gone on with."""
    watching, ending, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def watch(*_: object) -> None:
        try:
            watching.set()
            await asyncio.Event().wait()
        finally:
            ending.set()
            await ended.wait()

    async def work() -> int:
        await watching.wait()
        return 7

    monkeypatch.setattr(stopping, "_watch", watch)
    run = asyncio.create_task(unless_revoked(home, ID, work))
    await ending.wait()
    run.cancel()
    ended.set()
    await asyncio.wait([run])
    assert run.cancelled()


async def test_work_that_nobody_revokes_is_left_alone(home: chez.Home) -> None:
    """Its answer and its errors come through; a revoked grant, or one without a record, does not begin."""
    await grant(home, bundle())

    async def work() -> int:
        return 7

    async def fail() -> int:
        raise GrantEnded("as it is")

    async def wait() -> int:
        await anyio.sleep_forever()
        return 8

    assert await unless_revoked(home, ID, work) == 7
    with pytest.raises(GrantEnded, match="as it is"):
        await unless_revoked(home, ID, fail)
    await revoke_grant(home, ID)
    assert await unless_revoked(home, ID, wait) is None
    await home.collection(COLLECTION).delete(ID)
    assert await unless_revoked(home, ID, wait) is None


async def test_a_person_pauses_and_resumes_by_verbs(home: chez.Home) -> None:
    """The verbs answer what was done, and the list of grants says it; however often, and resuming what runs does
    nothing."""
    given = await verbs.job_grant(home, {"bundle": bundle().encoded}, Person("yes"))
    for _ in range(2):
        assert (await verbs.job_pause(home, {"grant": given["grant"]}, Person("")))["paused"]
        (told,) = (await verbs.job_grants(home, {}, Person("")))["grants"]
        assert (told["state"], told["paused"]) == ("paused", True)
        for _ in range(2):
            assert not (await verbs.job_resume(home, {"grant": given["grant"]}, Person("")))["paused"]
        (told,) = (await verbs.job_grants(home, {}, Person("")))["grants"]
        assert told["state"] == "running"
    assert len(await home.journal.receipts("resumption")) == 2


async def test_what_is_over_is_neither_paused_nor_resumed(home: chez.Home) -> None:
    """A grant that was revoked is not said to run again, and no receipt says that it was let; one that ended is told so
    whichever of the two is asked for."""
    given = await verbs.job_grant(home, {"bundle": bundle().encoded}, Person("yes"))
    asked = {"grant": given["grant"]}
    assert (await verbs.job_pause(home, asked, Person("")))["state"] == "paused"
    assert (await verbs.job_resume(home, asked, Person("")))["state"] == "running"
    await verbs.job_pause(home, asked, Person(""))
    await verbs.job_revoke(home, asked, Person(""))
    with pytest.raises(GrantEnded, match="revoked"):
        await verbs.job_resume(home, asked, Person(""))
    assert (await verbs.job_pause(home, asked, Person("")))["state"] == "revoked"
    assert len(await home.journal.receipts("resumption")) == 1
    await grant(home, bundle(version=2), 2, until=date(2026, 11, 24))
    for verb in (verbs.job_pause, verbs.job_resume):
        told = await verb(home, {"grant": "02" * 16}, Person(""))
        assert (told["state"], told["until"]) == ("ended", "2026-11-24")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_person_is_told_that_a_grant_is_over(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands say what the grant is worth, and nothing of pausing or running again."""
    said = {"grant": ID, "job": "evening", "paused": True, "state": "ended", "until": "2026-11-24"}
    monkeypatch.setattr("chez_sandbox.consent.commands.call", lambda *_: said)
    for verb in ("pause", "resume"):
        done = within(f"python -m chez job {verb} {ID} --language {language}".split(), b"")
        words = {"en": ": it ended on 2026-11-24", "fr": " : elle a pris fin le 2026-11-24"}
        assert done.stdout.strip() == f"evening (01010101){words[language]}"


@pytest.mark.parametrize("gone", [None, "", [], 0])
async def test_a_record_that_does_not_say_stops_its_job(gone: object, home: chez.Home) -> None:
    """A program that takes the map of pauses away, or the word that a grant is not revoked, starts no job by it: it is
    paused till its person resumes it, and revoked for good."""
    first, second = await grant(home, bundle(), 1), await grant(home, bundle(), 2)
    await tamper(home, first.grant.id, pauses=gone)
    assert (await load_grant(home, first.grant.id)).pauses
    await pause_grant(home, first.grant.id, pause=b"1" * 16, now=NOW)  # it is, whatever was taken away
    assert (await home.collection(COLLECTION).get(first.grant.id)).value["pauses"] == gone
    await resume_grant(home, first.grant.id, now=NOW)
    assert not (await load_grant(home, first.grant.id)).pauses
    await tamper(home, second.grant.id, revoked=gone)
    await heed_all(home)
    await tamper(home, second.grant.id, revoked=False)
    assert (await load_grant(home, second.grant.id)).revoked
