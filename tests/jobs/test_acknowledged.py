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


class Acknowledging:
    """A provider that takes Anna's results of one job and acknowledges them; `asked` names what it took so far."""

    def __init__(self, provider: chez.Home, anna: chez.Home, relay: Relay, folder: Path) -> None:
        self.provider, self.anna, self.relay, self.folder = provider, anna, relay, folder
        self.job = bundle(relay=relay.url, reads=WHOLE)
        self.tokens: list[bytes] = []

    async def begin(self) -> None:
        """Anna grants the job twice and runs it under both; the first result leaves, and the other is still here."""
        await inboxes.create(self.relay.url, INBOX_OWNER, INBOX_WRITER.public, ttl=86_400)
        await add_catalogue(self.anna, await offer(self.provider, self.job))
        await self.anna.sync()
        await catalogues(self.anna)
        for number in (1, 2):
            given = await grant(self.anna, self.job, number)
            async with authorise(self.anna, given.grant.id, TODAY) as run:
                await run.release(await run.execute(INSTANT))
            if number == 1:
                await deliver(self.anna, LATER)

    async def compose(self, key: SigningKey) -> dict[str, Any]:
        """Batches, not signed yet, of what came so far, and how many messages are said for the first time."""
        asked = {"space": "Jobs", "provider": key.public, "tokens": self.tokens}
        return await verbs.VERBS["job-compose-acknowledgements"](self.provider, asked, Person(""))

    async def take(self, key: SigningKey) -> list[bytes]:
        """The one message that waits is taken; the batches that are to be signed for it, by who holds `key`."""
        with ResultBook(self.folder / f"{len(self.tokens)}.jsonl", keys_at(self.relay.url), [self.job]) as book:
            (line,) = await take(self.relay.url, book, 30.0)
        self.tokens.append(token_of(bytes.fromhex(line["id"])))
        made = await self.compose(key)
        assert made["messages"] == 1  # what was said before is not said again
        return [bytes.fromhex(body) for body in made["batches"]]

    async def publish(self, bodies: list[bytes], key: SigningKey) -> None:
        """The batches are signed and published, and Anna hears of it."""
        batches = [(body, key.sign("chez/1 acknowledgements", body)) for body in bodies]
        await verbs.VERBS["job-acknowledge"](self.provider, {"space": "Jobs", "batches": batches}, Person(""))

    async def received(self) -> list[str | None]:
        """The days on which Anna is told that her messages were received, each in the order of its grant."""
        return [row["received"] for row in (await verbs.job_left(self.anna, {}, Person("")))["left"]]

    def sign(self, document: dict[str, Any]) -> dict[str, Any]:
        """An export that Anna's device signs anew, whatever it says by now."""
        document["chez:proof"]["chez:signature"] = b64encode(self.anna.sign(EXPORT, canonical(document))).decode()
        return document


@pytest.fixture
async def acknowledging(two: Two, relay: Relay, tmp_path: Path) -> Acknowledging:
    """Begun."""
    made = Acknowledging(*two, relay, tmp_path)
    await made.begin()
    return made


@pytest.mark.slow
async def test_a_person_sees_what_was_received_and_writes_nothing_of_it(acknowledging: Acknowledging) -> None:
    """Once the provider acknowledges what it took, `chez left` says so for these messages, not for one that is
    still here; the device sends nothing because of it."""
    anna = acknowledging.anna
    (body,) = bodies = await acknowledging.take(SIGNING)
    with pytest.raises(InvalidValue, match="not signed"):
        forged = {"space": "Jobs", "batches": [(body, bytes(64))]}
        await verbs.VERBS["job-acknowledge"](acknowledging.provider, forged, Person(""))
    await acknowledging.publish(bodies, SIGNING)
    assert await acknowledging.compose(SIGNING) == {"batches": [], "messages": 0}
    assert await acknowledging.received() == [None, None]
    await anna.sync()
    receipts, offset = len(await anna.journal.receipts()), (await anna.status()).offset
    told = await verbs.job_left(anna, {}, Person(""))
    assert [row["received"] for row in told["left"]] == [msgspec.msgpack.decode(body, type=Batch).day, None]
    assert "received by the provider on" in "\n".join(told["words"])
    await anna.sync()
    assert (len(await anna.journal.receipts()), (await anna.status()).offset) == (receipts, offset)


@pytest.mark.slow
async def test_an_export_proves_what_was_received(acknowledging: Acknowledging, tmp_path: Path) -> None:
    """Of that consent and no other, whatever a device that lies puts beside it."""
    await acknowledging.publish(await acknowledging.take(SIGNING), SIGNING)
    await acknowledging.anna.sync()
    document = await export_consents(acknowledging.anna, NOW, TODAY)
    assert ["chez:countersignature" in record for record in document["@graph"][:2]] == [True, False]
    done = verify(document, tmp_path)
    assert done.returncode == 0 and done.stdout.count("countersigned, running") == 1, done.stdout + done.stderr
    document["@graph"][1]["chez:countersignature"] = document["@graph"][0]["chez:countersignature"]
    assert "AssertionError" in verify(acknowledging.sign(document), tmp_path).stderr


@pytest.mark.slow
async def test_a_next_key_acknowledges_in_the_place_of_the_one_that_signed_it(
    acknowledging: Acknowledging, tmp_path: Path
) -> None:
    """In the same catalogue, and what was granted under the old one; an export has how it follows, and a device that
    lies puts no stranger's key in between."""
    anna, provider = acknowledging.anna, acknowledging.provider
    bodies = await acknowledging.take(SIGNING)
    await acknowledging.publish(bodies, SIGNING)
    day = msgspec.msgpack.decode(bodies[0], type=Batch).day
    await anna.sync()
    await publish(provider, provider.space("Jobs"), of(NEXT, SIGNING, version=2, relay=acknowledging.relay.url), NEXT)
    await deliver(anna, LATER)
    await acknowledging.publish(await acknowledging.take(NEXT), NEXT)
    await anna.sync()
    assert await acknowledging.received() == [day, day]
    document = await export_consents(anna, NOW, TODAY)
    steps = [record["chez:countersignature"]["chez:succession"] for record in document["@graph"][:2]]
    assert steps[0] == [] and [step["chez:key"] for step in steps[1]] == [NEXT.public.hex()]
    done = verify(document, tmp_path)
    assert done.returncode == 0 and done.stdout.count("countersigned, running") == 2, done.stdout + done.stderr
    steps[1][0]["chez:key"] = bytes(32).hex()
    assert verify(acknowledging.sign(document), tmp_path).returncode != 0
