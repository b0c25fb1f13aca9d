"""From a provider's catalogue to a person's grant, with a real relay between them."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import chez
from chez.errors import NotAllowed, NotFound
from chez.home.making_public import make_public
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent import verbs
from chez_sandbox.consent.grants import list_grants, revoke_grant
from chez_sandbox.consent.inspect import fingerprint
from chez_sandbox.job_errors import CatalogueForked, CatalogueInvalid
from chez_sandbox.offers import feed, following
from chez_sandbox.offers.following import add_catalogue, beside_catalogues, catalogues, offered
from chez_sandbox.offers.publishing import publish, publish_signed
from chez_sandbox.offers.verbs import warning_words
from tests.jobs.conftest import Relay
from tests.jobs.samples import MEAN, READS, SIGNING, manifest_text
from tests.jobs.test_feed import OTHER, published, record
from tests.jobs.test_feed import bundle as keyed
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import grant
from tests.jobs.test_identity import NEXT, of
from tests.people.persons import persons

Two = tuple[chez.Home, chez.Home]


def bundle(version: int = 1, code: bytes = MEAN, **parts: Any) -> Bundle:
    """A version of the sample job."""
    return build_bundle(manifest_text(version=version, **parts), code, "python", SIGNING)


@pytest.fixture
async def two(relay: Relay, tmp_path: Path) -> AsyncIterator[Two]:
    """The homes of a provider and of a person, at one relay."""
    async with persons(tmp_path, "provider", "anna", relay=relay.url) as (provider, anna):
        yield provider, anna


async def offer(home: chez.Home, *bundles: Bundle, space: str = "Jobs") -> str:
    """Publish bundles in this order; the catalogue's address."""
    catalogue = await make_public(home, space)
    for one in bundles:
        await publish(home, catalogue, one, SIGNING)
    await home.sync()
    return catalogue.address


async def shown(home: chez.Home) -> dict[str, Any]:
    """What `chez job catalogue` answers."""
    answer: dict[str, Any] = await verbs.VERBS["job-catalogue"](home, {}, Person(""))
    return answer


async def test_a_job_goes_from_the_catalogue_to_a_grant_and_its_update_is_told(two: Two) -> None:
    """What is published is found, shown with its hash, and granted; a new version is told with what it asks for more,
    and nothing of it is granted by that. Publishing the same bundle twice makes one line."""
    provider, anna = two
    first = bundle()
    address = await offer(provider, first, first)
    added = await verbs.VERBS["job-catalogue-add"](anna, {"address": address}, Person(""))
    (one,) = added["catalogues"]
    assert [line["bundle"] for line in one["offers"]] == [first.hash.hex()] and added["updates"] == []
    assert one["card"] == {"name": "Example Energy Advice", "contact": "privacy@example.org", "domain": "example.org"}
    words = "\n".join(added["words"])
    assert first.hash.hex() in words and one["head"] in words and "how much power" in words
    assert (await offered(anna, "mean-power")).encoded == first.encoded
    person = Person("y")
    await verbs.job_grant(anna, {"bundle": (await offered(anna, "example.org/mean-power")).encoded}, person)
    assert "line 1 of the catalogue" in "\n".join(person.shown[0]["job"]["words"])

    text = manifest_text(version=2, reads=READS.replace('"watts"]', '"watts", "meter"]'))
    posing = text.replace(b"on average.", rb"on average.\nBank of X, bank.example\n  key in words: a b c")
    await offer(provider, build_bundle(posing, MEAN + b"#", "python", SIGNING))
    await anna.sync()
    second = await shown(anna)
    (newer,) = second["updates"]
    theirs = [line for line in second["words"] if "Bank of X" in line or "a b c" in line]
    assert [line[:6] for line in theirs] == ["    | ", "    | ", "  it s"]
    assert not any("\n" in line for line in second["words"])
    assert (newer["job"], newer["version"], newer["granted"]) == ("mean-power", 2, 1)
    assert "it reads more of readings: meter" in newer["changes"] and "its code is another" in newer["changes"]
    assert [(one.grant.job_version, one.revoked) for one in await list_grants(anna)] == [(1, False)]
    told = await verbs.job_grants(anna, {}, Person(""))
    assert "Nothing of it runs before you grant it" in "\n".join(told["words"])
    assert [r.body["number"] for r in await provider.journal.receipts("offer-published")] == [1, 2]


async def test_a_forked_catalogue_is_refused_loudly(two: Two) -> None:
    """A second line under a number that a device saw, a second catalogue of one key and a special bundle for one person
    are each named, and nothing is granted of them."""
    provider, anna = two
    address = await offer(provider, bundle())
    id = await add_catalogue(anna, address)
    await anna.sync()
    assert [one.problem for one in await catalogues(anna)] == [None]
    special = bundle(code=MEAN + b"#")
    with pytest.raises(CatalogueForked, match="another bundle as version 1"):
        await verbs.job_grant(anna, {"bundle": special.encoded}, Person("y"))
    private = Person("n")
    await verbs.job_grant(anna, {"bundle": bundle(job="only-you").encoded}, private)
    assert "made for you alone" in "\n".join(private.shown[0]["job"]["words"])

    space = provider.space("Jobs")
    records = space.collection(feed.COLLECTION)
    (kept,) = [one async for one in records]
    forged = record(feed.next_line(feed.Feed(), special), special)
    with pytest.raises(CatalogueInvalid):
        await publish_signed(provider, space, special, feed.next_line(feed.Feed(), special), forged["signature"])
    # A provider that bends its own program: first another history in the place of the one that was seen, then both.
    await records.put(forged, id="bent")
    for withheld in (True, False):
        await (records.delete(kept.id) if withheld else records.put(kept.value, id="again"))
        await provider.sync()
        await anna.sync()
        (after,) = await catalogues(anna)
        assert isinstance(after.problem, CatalogueForked) and after.bundles == ()
        with pytest.raises(CatalogueForked):
            await offered(anna, "mean-power")
        for verb in ("job-catalogue", "job-grants"):
            assert "WARNING" in "\n".join((await verbs.VERBS[verb](anna, {}, Person("")))["words"])
        with pytest.raises(CatalogueForked):
            await verbs.job_grant(anna, {"bundle": bundle().encoded}, Person("y"))
    assert await list_grants(anna) == [] and id == after.space


def test_a_warning_is_of_one_catalogue_only() -> None:
    """The name that a provider gave its space, and what of a manifest a problem quotes, begin no line of their own."""
    wrong = CatalogueInvalid("it quotes\nBank of X, bank.example", "ask\n  its key")
    lines = warning_words([following.Catalogue("", "Jobs\nBank of X", (), feed.Feed(), (), wrong)], "en")
    assert [line[:9] for line in lines] == ["WARNING  ", "  ask its"] and not any("\n" in line for line in lines)


async def test_a_line_that_was_taken_back_is_warned_of(home: chez.Home) -> None:
    """Where fewer lines stand than a device saw, or none, the catalogue and the screen before granting warn, and refuse
    nothing: an older version is the newest again, or lines are still to come. What was seen and is not readable is
    told."""
    space = await home.create_space("Jobs", public=True)
    for number, one in enumerate(published(keyed(), keyed(version=2))):
        await space.collection(feed.COLLECTION).put(one, id=str(number))
    kept = home.collection(following.COLLECTION)
    await kept.put({"keys": {}, "seen": {}}, id=space.id)
    (whole,) = await catalogues(home)
    assert (whole.missing, "WARNING" in "\n".join((await shown(home))["words"])) == (0, False)
    await space.collection(feed.COLLECTION).delete("1")
    for _ in range(2):  # what is seen now makes nobody forget what was
        (short,) = await catalogues(home)
        assert (short.missing, short.problem, short.bundles[0].manifest.version) == (1, None, 1)
        assert "taken back" in beside_catalogues([short], keyed())
        assert "saw 1 more at its end" in "\n".join((await shown(home))["words"])
    await space.collection(feed.COLLECTION).delete("0")
    (empty,) = await catalogues(home)
    assert (empty.missing, empty.keys) == (2, whole.keys) and "taken back" in beside_catalogues([empty], keyed())
    for damaged in ({"keys": {}}, {"keys": {}, "seen": {"0": "00"}}, {"keys": {}, "seen": {"99999": "00"}},
                    {"seen": {}}, {"keys": {"00": "first"}, "seen": {}}):
        await kept.put(damaged, id=space.id)
        (told,) = (await shown(home))["catalogues"]
        assert "not readable" in str(told["problem"])


async def test_catalogues_of_two_providers_are_no_fork(home: chez.Home) -> None:
    """Each key's history is its own, also where both have a line of one number, or a job of one name that was granted
    of one of them; a catalogue whose space is followed no more is none."""
    for name, key in (("Jobs", SIGNING), ("Others", OTHER)):
        space = await home.create_space(name, public=True)
        (line,) = published(keyed(key=key), key=key)
        await space.collection(feed.COLLECTION).put(line)
        await home.collection(following.COLLECTION).put({"keys": {}, "seen": {}}, id=space.id)
    await home.collection(following.COLLECTION).put({"keys": {}, "seen": {}}, id="00" * 32)
    await grant(home, keyed())
    assert [one.problem for one in await catalogues(home)] == [None, None]


@pytest.mark.slow
async def test_two_catalogues_of_one_key_are_held_against_each_other(two: Two) -> None:
    """One key has one history, in whichever spaces: both are refused, and its own home refuses to write another."""
    provider, anna = two
    await add_catalogue(anna, await offer(provider, bundle()))
    with pytest.raises(NotAllowed, match="one catalogue"):
        await offer(provider, bundle(code=MEAN + b"#"), space="Other")
    special = bundle(code=MEAN + b"#")
    other = provider.space("Other")
    await other.collection(feed.COLLECTION).put(record(feed.next_line(feed.Feed(), special), special))
    await provider.sync()
    await add_catalogue(anna, other.address)
    await anna.sync()
    assert [isinstance(one.problem, CatalogueForked) for one in await catalogues(anna)] == [True, True]


@pytest.mark.slow
async def test_what_was_granted_from_a_file_is_held_against_a_catalogue_that_comes_later(two: Two) -> None:
    """A grant of another bundle than the catalogue has as this version makes it refused; of the same one, nothing."""
    provider, anna = two
    await grant(anna, bundle(code=MEAN + b"#"))
    await add_catalogue(anna, await offer(provider, bundle()))
    await anna.sync()
    (told,) = await catalogues(anna)
    assert isinstance(told.problem, CatalogueForked) and "another bundle as version 1" in str(told.problem)
    await revoke_grant(anna, "01" * 16)
    assert [one.problem for one in await catalogues(anna)] == [None]


@pytest.mark.slow
async def test_a_new_key_keeps_its_followers(two: Two) -> None:
    """A follower finds what a key publishes that the old one signed, in the same catalogue under one head, and is told
    of the update and of the key in a plain line; the old key's publishing and a second catalogue of
    either are refused."""
    provider, anna = two
    address = await offer(provider, of(SIGNING))
    await add_catalogue(anna, address)
    await anna.sync()
    await grant(anna, (await offered(anna, "mean-power")))
    first = (await catalogues(anna))[0].feed.head
    space = provider.space("Jobs")
    line = (await publish(provider, space, of(NEXT, SIGNING, version=2), NEXT)).line
    assert (line.number, line.previous.hex()) == (2, first.partition(":")[2])
    with pytest.raises(NotAllowed, match="or of a newer one"):
        await publish(provider, space, of(SIGNING, version=3), SIGNING)
    elsewhere = await make_public(provider, "Other")
    with pytest.raises(NotAllowed, match="one catalogue"):
        await publish(provider, elsewhere, of(SIGNING, version=3), SIGNING)
    await provider.sync()
    await anna.sync()
    told = await shown(anna)
    (one,), (update,) = told["catalogues"], told["updates"]
    assert (one["problem"], one["provider"], one["formerly"]) == (
        None, NEXT.public.hex(), [fingerprint(SIGNING.public.hex())])  # fmt: skip
    assert (update["version"], update["granted"]) == (2, 1)
    assert "a key before, which signed" in "\n".join(told["words"])
    assert (await offered(anna, f"{SIGNING.public.hex()}/mean-power")).manifest.version == 2
    compared = await verbs.VERBS["job-catalogue-compare"](anna, {"head": first}, Person(""))
    assert compared["state"] == "same"
    special = of(SIGNING, version=9)
    await elsewhere.collection(feed.COLLECTION).put(record(feed.next_line(feed.Feed(), special), special))
    await provider.sync()
    await add_catalogue(anna, elsewhere.address)
    await anna.sync()
    assert [isinstance(found.problem, CatalogueForked) for found in await catalogues(anna)] == [True, True]


@pytest.mark.slow
async def test_what_others_see_is_compared(two: Two) -> None:
    """A head that stands here is the same, a later one is not known yet, and another of its number is a fork."""
    provider, anna = two
    await add_catalogue(anna, await offer(provider, bundle(), bundle(2)))
    compare = verbs.VERBS["job-catalogue-compare"]
    with pytest.raises(NotFound):
        await offered(anna, "mean-power")
    await anna.sync()
    (one,) = await catalogues(anna)
    first = one.feed.offers[0].line
    for head, state in ((one.feed.head, "same"), (f"1:{first.hash.hex()}", "same"), (f"3:{'00' * 32}", "later")):
        assert (await compare(anna, {"head": head}, Person("")))["state"] == state
    with pytest.raises(CatalogueForked, match="different lines 2"):
        await compare(anna, {"head": f"2:{'00' * 32}"}, Person(""))


@pytest.mark.slow
async def test_a_catalogue_of_another_key_and_a_record_that_was_changed_are_told(two: Two) -> None:
    """The key is pinned when something of a catalogue was seen; what was seen and is not readable is no catalogue."""
    provider, anna = two
    address = await offer(provider, bundle())
    id = await add_catalogue(anna, address)
    await anna.sync()
    await catalogues(anna)
    space, other = provider.space("Jobs"), keyed(key=OTHER)
    records = space.collection(feed.COLLECTION)
    for one in [one async for one in records]:
        await records.delete(one.id)
    await records.put(record(feed.next_line(feed.Feed(), other), other, OTHER))
    await provider.sync()
    await anna.sync()
    (told,) = await catalogues(anna)
    assert told.problem is not None and "another provider's key" in str(told.problem)
    await anna.collection(following.COLLECTION).put({"keys": {}, "seen": {"1": 7}}, id=id)
    (told,) = await catalogues(anna)
    assert told.problem is not None and "not readable" in str(told.problem)
    await add_catalogue(anna, address)
    assert [one.problem for one in await catalogues(anna)] == [None]
