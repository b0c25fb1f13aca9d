"""A person sees that a provider took a result, and nobody else sees whose it was."""

from base64 import b64encode
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chez
from chez import inboxes
from chez.crypto import SigningKey
from chez.errors import InvalidValue, NotAllowed
from chez_sandbox.consent import verbs
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.export import EXPORT, canonical, export_consents
from chez_sandbox.consent.run import authorise
from chez_sandbox.offers import acknowledged
from chez_sandbox.offers.acknowledged import (
    BATCH,
    Batch,
    acknowledge,
    batches_of,
    compose_batches,
    read_batches,
    signed_batches,
    token_of,
)
from chez_sandbox.offers.following import add_catalogue, catalogues
from chez_sandbox.offers.publishing import publish
from chez_sandbox.provider.results import ResultBook
from tests.jobs.conftest import Relay
from tests.jobs.samples import INBOX_OWNER, INBOX_WRITER, LATER, SIGNING, WHOLE
from tests.jobs.test_atomic import INSTANT
from tests.jobs.test_export import verify
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import NOW, TODAY, grant
from tests.jobs.test_identity import NEXT, of
from tests.jobs.test_offers import Two, bundle, offer, two
from tests.jobs.test_retries import keys_at, take
from tests.tries import tries

__all__ = ("two",)  # the fixture

DAY = date(2026, 11, 26)
MADE_UP = [bytes([255, number]) * 8 for number in range(BATCH)]

tokens = st.sets(st.integers(0, 400), max_size=200).map(lambda found: [token_of(b"%d" % number) for number in found])


def signed(batch: Batch, key: SigningKey = SIGNING) -> dict[str, Any]:
    """A batch as it is stored."""
    return {"batch": batch.encoded, "signature": batch.sign(key)}


@settings(max_examples=tries(40))
@given(tokens)
def test_batches_have_one_size_and_every_token(found: list[bytes]) -> None:
    """However many messages there are, each is acknowledged, no batch is shorter, and order tells nothing."""
    batches = compose_batches(SIGNING.public, DAY, found, MADE_UP)
    assert len(batches) == -(-len(found) // BATCH)
    assert len({len(batch.encoded) for batch in batches}) <= 1
    assert all(list(batch.tokens) == sorted(batch.tokens) for batch in batches)
    said = read_batches(map(signed, batches))
    assert set(found) <= set(said) and set(said) - set(found) <= set(MADE_UP) and len(said) == BATCH * len(batches)
    assert set(said.values()) <= {"2026-11-26"}
    if batches and len(found) % BATCH:
        with pytest.raises(InvalidValue):
            compose_batches(SIGNING.public, DAY, found, [])


def test_what_the_provider_did_not_sign_says_nothing() -> None:
    """Another's signature, a changed batch, one of no real day and what is none leave the provider's own word; its
    first day counts, and another key's batch is that key's word alone."""
    (batch,) = compose_batches(SIGNING.public, DAY, [bytes(16)], MADE_UP)
    (later,) = compose_batches(SIGNING.public, date(2026, 11, 27), [bytes(16)], MADE_UP)
    other = SigningKey.from_seed(bytes([9]) * 32)
    (foreign,) = compose_batches(other.public, DAY, [bytes(16)], MADE_UP)
    wrong: list[dict[str, Any]] = [
        signed(foreign), signed(batch, other), signed(batch) | {"signature": bytes(64)}, {}, {"batch": b"1"},
        signed(batch) | {"batch": batch.encoded + b"1"}, signed(batch) | {"batch": 7},
        *(signed(msgspec.structs.replace(batch, day=day)) for day in ("0000-99-99", "2026-02-30")),
    ]  # fmt: skip
    assert read_batches(wrong) == {}
    assert read_batches([signed(later), *wrong, signed(batch)])[bytes(16)] == "2026-11-26"
    assert [one.provider for one, _, _ in signed_batches([signed(foreign, other)])] == [other.public]


async def test_a_token_is_in_one_batch(home: chez.Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches that were composed of the same messages twice are not both written, as what they share is real; nor is
    more than is read."""
    space = await home.create_space("Jobs", public=True)
    found = [token_of(b"%d" % number) for number in range(3)]
    first, second, third = (
        compose_batches(SIGNING.public, DAY, tokens, [bytes([number, place]) * 8 for place in range(BATCH)])[0]
        for number, tokens in enumerate((found, found[:2], [token_of(b"9")]), start=1)
    )
    for refused in ([first, second], [first, first]):
        with pytest.raises(NotAllowed, match="already"):
            await acknowledge(home, space, [(batch, batch.sign(SIGNING)) for batch in refused])
    await acknowledge(home, space, [(first, first.sign(SIGNING))])
    with pytest.raises(NotAllowed, match="already"):
        await acknowledge(home, space, [(second, second.sign(SIGNING))])
    monkeypatch.setattr(acknowledged, "MAX_BATCHES", 1)
    with pytest.raises(NotAllowed, match="at most 1 batches"):
        await acknowledge(home, space, [(third, third.sign(SIGNING))])
    assert set(await batches_of(space)) == set(first.tokens)
    assert len(read_batches(map(signed, (first, third)))) == BATCH


@pytest.mark.slow
async def test_a_person_sees_what_was_received_and_writes_nothing_of_it(
    two: Two, relay: Relay, tmp_path: Path
) -> None:
    """Once the provider acknowledges what it took, `chez left` says so for these messages, not for one that is
    still here, and an export proves it of that consent and no other; the device sends nothing because of it. A key that
    the old one signed acknowledges in its place, and the export has how it follows."""
    provider, anna = two
    await inboxes.create(relay.url, INBOX_OWNER, INBOX_WRITER.public, ttl=86_400)
    job = bundle(relay=relay.url, reads=WHOLE)
    await add_catalogue(anna, await offer(provider, job))
    await anna.sync()
    await catalogues(anna)
    for number in (1, 2):
        given = await grant(anna, job, number)
        async with authorise(anna, given.grant.id, TODAY) as run:
            await run.release(await run.execute(INSTANT))
        if number == 1:
            await deliver(anna, LATER)
    with ResultBook(tmp_path / "results.jsonl", keys_at(relay.url), [job]) as book:
        (line,) = await take(relay.url, book, 30.0)
    asked = {"space": "Jobs", "provider": SIGNING.public, "tokens": [token_of(bytes.fromhex(line["id"]))]}
    made = await verbs.VERBS["job-compose-acknowledgements"](provider, asked, Person(""))
    (body,) = made["batches"]
    batches = [(bytes.fromhex(body), SIGNING.sign("chez/1 acknowledgements", bytes.fromhex(body)))]
    day = msgspec.msgpack.decode(bytes.fromhex(body), type=Batch).day
    with pytest.raises(InvalidValue, match="not signed"):
        forged = {"space": "Jobs", "batches": [(bytes.fromhex(body), bytes(64))]}
        await verbs.VERBS["job-acknowledge"](provider, forged, Person(""))
    await verbs.VERBS["job-acknowledge"](provider, {"space": "Jobs", "batches": batches}, Person(""))
    again = await verbs.VERBS["job-compose-acknowledgements"](provider, asked, Person(""))
    assert again == {"batches": [], "messages": 0}

    before = await verbs.job_left(anna, {}, Person(""))
    assert [row["received"] for row in before["left"]] == [None, None]
    await anna.sync()
    receipts, offset = len(await anna.journal.receipts()), (await anna.status()).offset
    told = await verbs.job_left(anna, {}, Person(""))
    assert [row["received"] for row in told["left"]] == [day, None]
    assert "received by the provider on" in "\n".join(told["words"])
    await anna.sync()
    assert (len(await anna.journal.receipts()), (await anna.status()).offset) == (receipts, offset)

    document = await export_consents(anna, NOW, TODAY)
    assert ["chez:countersignature" in record for record in document["@graph"][:2]] == [True, False]
    done = verify(document, tmp_path)
    assert done.returncode == 0 and done.stdout.count("countersigned, running") == 1, done.stdout + done.stderr
    # A device that lies: a word on one consent is none on another.
    document["@graph"][1]["chez:countersignature"] = document["@graph"][0]["chez:countersignature"]
    document["chez:proof"]["chez:signature"] = b64encode(anna.sign(EXPORT, canonical(document))).decode()
    assert "AssertionError" in verify(document, tmp_path).stderr

    # The provider's next key goes on in the same catalogue, and acknowledges what was granted under the old one.
    await publish(provider, provider.space("Jobs"), of(NEXT, SIGNING, version=2, relay=relay.url), NEXT)
    await deliver(anna, LATER)
    with ResultBook(tmp_path / "more.jsonl", keys_at(relay.url), [job]) as book:
        (line,) = await take(relay.url, book, 30.0)
    every = [*asked["tokens"], token_of(bytes.fromhex(line["id"]))]
    asked = {"space": "Jobs", "provider": NEXT.public, "tokens": every}
    made = await verbs.VERBS["job-compose-acknowledgements"](provider, asked, Person(""))
    assert made["messages"] == 1  # the old key said the other
    bodies = [bytes.fromhex(body) for body in made["batches"]]
    batches = [(body, NEXT.sign("chez/1 acknowledgements", body)) for body in bodies]
    await verbs.VERBS["job-acknowledge"](provider, {"space": "Jobs", "batches": batches}, Person(""))
    await anna.sync()
    told = await verbs.job_left(anna, {}, Person(""))
    assert [row["received"] for row in told["left"]] == [day, day]
    document = await export_consents(anna, NOW, TODAY)
    steps = [record["chez:countersignature"]["chez:succession"] for record in document["@graph"][:2]]
    assert steps[0] == [] and [step["chez:key"] for step in steps[1]] == [NEXT.public.hex()]
    done = verify(document, tmp_path)
    assert done.returncode == 0 and done.stdout.count("countersigned, running") == 2, done.stdout + done.stderr
    # A device that lies: a stranger's key that nobody signed.
    steps[1][0]["chez:key"] = bytes(32).hex()
    document["chez:proof"]["chez:signature"] = b64encode(anna.sign(EXPORT, canonical(document))).decode()
    assert verify(document, tmp_path).returncode != 0
