"""Consent: nothing runs but what was granted, as it was granted."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest

import chez
from chez.crypto import SigningKey
from chez.errors import InvalidValue, NotAllowed, NotFound
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent.export import export_consents
from chez_sandbox.consent.grant import MAX_STORED_BUNDLE, Grant, Granted
from chez_sandbox.consent.grants import COLLECTION, damaged_grants, grant_job, list_grants, load_grant, revoke_grant
from chez_sandbox.consent.narrowing import Narrowing
from chez_sandbox.consent.overview import all_grants
from chez_sandbox.consent.run import GrantedRun, authorise, plan_of
from chez_sandbox.consent.slots import ANSWER, MARGIN
from chez_sandbox.job_errors import GrantEnded, GrantInvalid, VersionWentBack
from tests.jobs.samples import MEAN, READS, SIGNING, manifest_text

TODAY = date(2026, 11, 24)
NOW = "2026-11-24T12:00:00+00:00"
THIEF = SigningKey.from_seed(bytes([66]) * 32)


def bundle(code: bytes = MEAN, **parts: Any) -> Bundle:
    """A signed bundle of the sample job."""
    return build_bundle(manifest_text(**parts), code, "python", SIGNING)


async def grant(home: chez.Home, job: Bundle, number: int = 1, **options: Any) -> Granted:
    """Grant a job until the end of the year; unless said, its messages leave when they are made."""
    seeds: dict[str, Any] = {"id": bytes([number]) * 16, "seed": bytes(32), "now": NOW, "until": date(2026, 12, 31),
                             "slots": "at-once"}
    return await grant_job(home, job, **(seeds | options))


async def tamper(home: chez.Home, id: str, **fields: Any) -> None:
    """Change a grant's record as another program, or another device, could."""
    async with home.collection(COLLECTION).edit(id) as draft:
        draft.update(fields)


async def test_a_grant_is_read_back_as_it_was_given(home: chez.Home) -> None:
    """A grant survives in the store, verifies, is found by a beginning of its id, and has a receipt."""
    given = await grant(home, bundle())
    assert await load_grant(home, given.grant.id[:6]) == given
    assert await list_grants(home) == [given]
    (receipt,) = await home.journal.receipts("grant")
    assert receipt.body["bundle"] == given.bundle.hash.hex()
    for none in ("ffff", ""):  # nothing is the beginning of every id, and names none
        with pytest.raises(NotFound):
            await load_grant(home, none)


async def test_new_code_in_a_grants_record_is_refused(home: chez.Home) -> None:
    """Another bundle of the same provider, put into the record, does not run."""
    given = await grant(home, bundle())
    await tamper(home, given.grant.id, bundle=bundle(MEAN + b"#").encoded)
    with pytest.raises(GrantInvalid):
        await load_grant(home, given.grant.id)
    with pytest.raises(GrantInvalid):
        async with authorise(home, given.grant.id, TODAY):
            pass
    assert await list_grants(home) == []


async def test_a_wider_scope_is_refused(home: chez.Home) -> None:
    """A bundle that reads more, signed by its provider, does not fit the old grant."""
    given = await grant(home, bundle())
    wider = bundle(reads=READS.replace('"local", "watts"', '"local", "watts", "meter"'))
    await tamper(home, given.grant.id, bundle=wider.encoded)
    with pytest.raises(GrantInvalid):
        await load_grant(home, given.grant.id)


async def test_a_grant_can_not_be_forged_or_stretched(home: chez.Home) -> None:
    """A changed body or seed, another device's signature, a foreign or missing one, another encoding: all refused."""
    given = await grant(home, bundle())
    body = msgspec.msgpack.encode(given.grant)
    richer = msgspec.structs.replace(given.grant, bits=1e9, runs=10**6)
    thief, longer = SigningKey.from_seed(bytes(32)), b"\xdd\0\0" + body[1:]
    assert msgspec.msgpack.decode(longer, type=Grant) == given.grant
    foreign = msgspec.structs.replace(given.grant, device=thief.public.hex())
    forgeries: list[dict[str, Any]] = [
        {"body": msgspec.msgpack.encode(richer)},
        {"body": body + b"\0"},
        {"body": longer, "signature": home.sign("grant", longer)},
        {"signature": thief.sign("chez/1 application grant", body)},
        {"signature": home.sign("another purpose", body)},
        {"signature": b""},
        {"signature": "text"},
        {"body": 7},
        {"bundle": b"\x96"},
        {"seed": bytes(31) + b"\1"},
        {"seed": "text"},
    ]
    record = dict((await home.collection(COLLECTION).get(given.grant.id)).value)
    for forgery in forgeries:
        await home.collection(COLLECTION).put({**record, **forgery}, id=given.grant.id)
        with pytest.raises(GrantInvalid):
            await load_grant(home, given.grant.id)
    # Signed consistently, but by another device: it verifies, and does not run here.
    encoded = msgspec.msgpack.encode(foreign)
    signature = thief.sign("chez/1 application grant", encoded)
    await home.collection(COLLECTION).put({**record, "body": encoded, "signature": signature}, id=given.grant.id)
    with pytest.raises(GrantEnded):
        async with authorise(home, given.grant.id, TODAY):
            pass


@pytest.mark.parametrize("wrong", [
    {"narrowed": Narrowing((("salaries", "x"),))}, {"narrowed": Narrowing((), (("readings", 10**9),))},
    {"bits": float("nan")}, {"runs": 10**9}, {"hold_hours": 10**15, "review": "hold"}, {"until": "zzzz"},
    {"granted": "soon"}, {"granted": "0001-01-01T00:00:00+14:00"}, {"id": "../../lock"}, {"job": "another-job"},
    {"job_version": 10**6}, {"code": "00" * 32}, {"provider": THIEF.public.hex()}, {"id": "07" * 15}, {"id": "0A" * 16},
], ids=str)  # fmt: skip
async def test_a_record_that_nobody_could_have_given_hides_no_other(home: chez.Home, wrong: dict[str, Any]) -> None:
    """Signed by whatever key, a grant of what the job does not ask for, or is not, is one damaged grant: the others are
    told of, exported and run, and it keeps no later version from being granted."""
    given = await grant(home, bundle())
    forged = msgspec.structs.replace(given.grant, **({"id": "07" * 16, "device": THIEF.public.hex()} | wrong))
    record = dict((await home.collection(COLLECTION).get(given.grant.id)).value)
    signed = {"body": forged.body, "signature": THIEF.sign("chez/1 application grant", forged.body)}
    await home.collection(COLLECTION).put(record | signed, id=forged.id)
    states = [one["state"] for one in await all_grants(home, TODAY)]
    assert states == ["running", "damaged"] and await list_grants(home) == [given]
    assert given.grant.id in str(await export_consents(home, NOW, TODAY))
    with pytest.raises(GrantInvalid):
        await load_grant(home, forged.id)
    assert (await grant(home, bundle(version=2), 2)).grant.job_version == 2
    assert not (home.path.parent / "lock.lock").exists()


async def test_a_grants_record_under_another_id_is_refused(home: chez.Home) -> None:
    """Copying a grant does not make two of it."""
    given = await grant(home, bundle())
    record = (await home.collection(COLLECTION).get(given.grant.id)).value
    await home.collection(COLLECTION).put(record, id="02" * 16)
    with pytest.raises(GrantInvalid):
        await load_grant(home, "02" * 16)


async def test_versions_only_rise(home: chez.Home) -> None:
    """An older version, or other bytes under a granted version, can't be granted; a newer one can."""
    await grant(home, bundle(version=2), 1)
    with pytest.raises(VersionWentBack):
        await grant(home, bundle(version=1), 2)
    with pytest.raises(VersionWentBack):
        await grant(home, bundle(MEAN + b"#", version=2), 2)
    await grant(home, bundle(version=2), 2)
    await grant(home, bundle(version=3), 3)
    with pytest.raises(VersionWentBack):
        await grant(home, bundle(version=2), 4)
    await home.collection(COLLECTION).delete("03" * 16)
    with pytest.raises(VersionWentBack):
        await grant(home, bundle(version=2), 4)


async def test_versions_may_leave_numbers_out_but_never_come_back(home: chez.Home) -> None:
    """Whatever numbers come in whatever order, one is granted only if none above it was; other jobs have their own."""
    highest = 0
    for number, version in enumerate([3, 7, 4, 3, 7, 6, 2**31, 8, 2**31 - 1, 2**31], 1):
        if version >= highest:
            await grant(home, bundle(version=version), number)
            highest = version
        else:
            with pytest.raises(VersionWentBack):
                await grant(home, bundle(version=version), number)
    assert [granted.grant.job_version for granted in await list_grants(home)] == [3, 7, 7, 2**31, 2**31]
    await grant(home, bundle(job="another", version=1), 99)


async def test_a_person_may_grant_less_but_not_more(home: chez.Home) -> None:
    """Runs and bits can be narrowed within what the manifest asks for, and what noises nothing has no epsilon; a job
    that fits no record is not granted at all."""
    given = await grant(home, bundle(), runs=2, bits=25.0)
    assert (given.grant.runs, given.grant.bits) == (2, 25.0)
    holds: list[dict[str, Any]] = [{"hold_hours": 1}, {"review": "hold"}, {"review": "hold", "hold_hours": 721}]
    for options in ({"runs": 101}, {"bits": 1001.0}, {"runs": 0}, {"bits": 1.0}, {"epsilon": 0.1}, *holds):
        with pytest.raises(InvalidValue):
            await grant(home, bundle(), 2, **options)
    large = build_bundle(manifest_text(job="large"), b"\0asm" + bytes(MAX_STORED_BUNDLE), "component", SIGNING)
    with pytest.raises(NotAllowed, match="bytes"):
        await grant(home, large, 2)
    assert await list_grants(home) == [given]


@pytest.mark.parametrize("wrong", [
    {"id": b"short"}, {"seed": b"short"}, {"now": "today"}, {"runs": 1.5}, {"runs": True},
    {"review": "never"}, {"slots": "daily"}, {"review": "hold", "hold_hours": 1.5},
])  # fmt: skip
async def test_what_could_not_be_read_back_is_not_granted(home: chez.Home, wrong: dict[str, Any]) -> None:
    """An app's mistake makes no grant that is damaged from its beginning: nothing is stored, nothing receipted."""
    with pytest.raises(InvalidValue, match="16 random bytes"):
        await grant(home, bundle(), **wrong)
    assert await damaged_grants(home) == {} and await home.journal.receipts("grant") == []


async def test_the_time_of_a_message_leaves_room_for_the_longest_run_and_answer(home: chez.Home) -> None:
    """However long the code takes, and the person who is shown the result, a message leaves by the same slot; one that
    is held, when it was held."""
    reviews: list[tuple[dict[str, Any], int]] = [
        ({"review": "show-me-first"}, ANSWER), ({"review": "within-the-grant"}, 0),
        ({"review": "hold", "hold_hours": 1}, 3600),
    ]  # fmt: skip
    for number, (options, more) in enumerate(reviews, 1):
        given = await grant(home, bundle(), number, runs=1, slots="hour", **options)
        plan = plan_of(given)
        assert (plan.step, plan.wait) == (3600, given.bundle.manifest.limits.seconds + MARGIN + more)


async def test_a_revoked_or_ended_grant_does_not_run(home: chez.Home) -> None:
    """Revocation holds even when the record's mark is taken back; days and runs are counted."""
    given = await grant(home, bundle())
    await revoke_grant(home, given.grant.id)
    (receipt,) = await home.journal.receipts("revocation")
    assert (receipt.body["job"], receipt.body["provider"]) == (given.grant.job, given.grant.provider)
    await tamper(home, given.grant.id, revoked=False)
    with pytest.raises(GrantEnded, match="revoked"):
        async with authorise(home, given.grant.id, TODAY):
            pass
    later = await grant(home, bundle(), 2)
    with pytest.raises(GrantEnded, match="ended"):
        async with authorise(home, later.grant.id, date(2027, 1, 1)):
            pass
    await tamper(home, later.grant.id, revoked=True)
    with pytest.raises(GrantEnded, match="revoked"):
        async with authorise(home, later.grant.id, TODAY):
            pass


async def test_a_grant_runs_to_the_end_of_its_last_day(home: chez.Home) -> None:
    """The day that it was given until is its last one, and counts."""
    given = await grant(home, bundle(), until=TODAY)
    async with authorise(home, given.grant.id, TODAY):
        pass
    with pytest.raises(GrantEnded, match="ended"):
        async with authorise(home, given.grant.id, TODAY + timedelta(days=1)):
            pass


@pytest.mark.parametrize("mark", [None, 0, 1, "", "no"])
async def test_any_other_mark_than_that_it_is_not_revoked_revokes(home: chez.Home, mark: object) -> None:
    """What another device, or another Chez, wrote there is heeded as a revocation, whatever it is."""
    given = await grant(home, bundle())
    await tamper(home, given.grant.id, revoked=mark)
    assert (await load_grant(home, given.grant.id)).revoked
    await revoke_grant(home, given.grant.id)
    await revoke_grant(home, given.grant.id)
    assert len(await home.journal.receipts("revocation")) == 1


async def test_a_grant_of_this_device_that_was_deleted_is_revoked_without_its_record(home: chez.Home) -> None:
    """The receipt is enough: nothing comes back from the trash for that."""
    given = await grant(home, bundle())
    await home.collection(COLLECTION).delete(given.grant.id)
    with pytest.raises(GrantInvalid, match="revoked all the same"):
        await revoke_grant(home, given.grant.id)
    assert len(await home.journal.receipts("revocation", grant=given.grant.id)) == 1
    with pytest.raises(NotFound):
        await home.collection(COLLECTION).get(given.grant.id)


async def test_without_a_grant_no_run_can_be_constructed(home: chez.Home) -> None:
    """`GrantedRun` refuses every maker but `authorise`."""
    given = await grant(home, bundle())
    with pytest.raises(NotAllowed):
        GrantedRun(home, given, 1, TODAY, None, object())  # type: ignore[arg-type]


async def test_one_grant_runs_once_at_a_time(home: chez.Home) -> None:
    """A second run of the same grant waits for the first to end, by a typed refusal."""
    given = await grant(home, bundle())
    async with authorise(home, given.grant.id, TODAY):
        with pytest.raises(NotAllowed, match="running"):
            async with authorise(home, given.grant.id, TODAY):
                pass
    async with authorise(home, given.grant.id, TODAY):
        pass


def test_a_grants_fields_are_closed() -> None:
    """A grant with a field more, or of another version, does not decode."""
    fields = [1, "a", "b", 1, "c", "d", "e", "f", "g", "h", 1, 1.0, "show-me-first", b"", "hour", 0, [[], []], 0.5]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(fields), type=Grant).id == "a"
    for wrong in ([*fields, 1], [2, *fields[1:]], fields[:-3], [*fields[:-2], [[], [], 1], 0.5]):
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(msgspec.msgpack.encode(wrong), type=Grant)


@pytest.mark.parametrize("field", ["body", "signature", "bundle", "seed"])
async def test_a_record_that_lacks_a_part_is_one_bad_grant(field: str, home: chez.Home) -> None:
    """Without it, or with something else in its place, the record is named as damaged; the other grants are there."""
    given = [await grant(home, bundle(), number) for number in (1, 2, 3)]
    await tamper(home, given[0].grant.id, **{field: "text"})
    async with home.collection(COLLECTION).edit(given[1].grant.id) as draft:
        del draft[field]
    assert await list_grants(home) == given[2:]
    assert sorted(await damaged_grants(home)) == [one.grant.id for one in given[:2]]
