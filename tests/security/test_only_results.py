"""On the wire every run looks alike: what leaves is one padded, sealed message, whatever the job does."""

import base64
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import pytest
from examples.demo.search import search

import chez
from chez import inboxes
from chez.crypto import Kdf
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent import verbs
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.grants import revoke_grant
from chez_sandbox.consent.run import authorise, withdraw
from chez_sandbox.release.release import message_size, open_message
from chez_sandbox.runtime.host import Runtime
from chez_wire.frames import Append, Put, decode_client
from tests.jobs.conftest import fill
from tests.jobs.samples import (
    INBOX,
    INBOX_OWNER,
    INBOX_WRITER,
    LATER,
    MEAN,
    READS,
    RESULT,
    SEALING,
    SIGNING,
    WHOLE,
    manifest_text,
)
from tests.jobs.test_flow import Person, same_runtime
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_runs import LIMITS
from tests.privacy.samples import COUNT, WINDOWED, rest
from tests.runtime.jobs import component
from tests.security.wire import Wire, recorded_relay

__all__ = ("same_runtime",)  # the fixture

ENTRY = 1024 + 124 + 16
"""Bytes of the smallest envelope: the padding's floor, the header, the tag."""

JOBS = {
    "good": MEAN.decode(),
    "loops": "def run(data, params):\n    while True: pass\n",
    "allocates": "def run(data, params):\n    x = []\n    while True: x.append(bytearray(1 << 20))\n",
    "recurses": "def run(data, params):\n    return run(data, params)\n",
    "opens a file": "def run(data, params):\n    return {'watts': len(open('/etc/passwd').read())}\n",
    "imports socket": "import socket\ndef run(data, params):\n    return {'watts': 0}\n",
    "reads an ungranted collection": "def run(data, params):\n    return {'watts': len(list(data.rows('diary')))}\n",
    "returns a wrong value": "def run(data, params):\n    return {'watts': 'met Alice at the station'}\n",
    "returns an oversize value": "def run(data, params):\n    return {'watts': 'met Alice at the station' * 400_000}\n",
    "gives up": "def run(data, params):\n    data.fail('not-applicable')\n",
}


COMPONENTS = {"a good component": "", "a component that traps": "unreachable"}

NOISED = {
    "noised": "def run(data, params):\n    return {'ok': len(list(data.rows('readings'))) == 96}\n",
    "noised, and gives up": "def run(data, params):\n    data.fail('not-applicable')\n",
    "noised, and returns a wrong value": "def run(data, params):\n    return {'ok': 'met Alice at the station'}\n",
}
"""Jobs that say something beside a count to which the host adds noise."""

ENDINGS = [
    *JOBS, *COMPONENTS, *NOISED, "too few rows", "the person says no", "the run is left early", "revoked", "withdrawn",
    "noised, and the person says no", "noised, and was drawn before",
]  # fmt: skip
"""How a run can end: by what the job does, or, for a good one, by what the person or the program does."""

TOLD = {"good": b'{"watts":150}', "a good component": b'{"watts":1230}'}
"""What the provider reads of a run, where that is a result without noise."""

RECEIPTS = 3
"""Of every run: the debit, the word that its message may have left, the delivery.

Each is a commit of its own, and moves the journal's head. The message itself is receipted when the run ends, and that
waits for the second of them. A noised run has one more, for the draw before its code; a revocation is a write like any
other."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A home of readings, and its relay."""

    home: chez.Home
    wire: Wire


@pytest.fixture(scope="module")
async def standing(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Standing]:
    """One for all: each run is of a grant of its own."""
    folder = tmp_path_factory.mktemp("only-results")
    await chez.create(folder / "home", passphrase="correct horse", name="laptop", kdf=Kdf.minimum())
    async with chez.open(folder / "home", passphrase="correct horse") as home:
        await fill(home)
        with recorded_relay(folder) as wire:
            await inboxes.create(wire.proxy.url, INBOX_OWNER, INBOX_WRITER.public, ttl=3600)
            yield Standing(home, wire)


def job(ending: str, relay: str, number: int) -> Bundle:
    """The job whose run ends so, the provider's job of this number."""
    name = f"job-{number}"
    if ending in COMPONENTS:
        text = manifest_text(job=name, relay=relay, rest=RESULT.replace('note = "none"', "watts = 1234") + LIMITS)
        return build_bundle(text, component(run=COMPONENTS[ending]), "component", SIGNING)
    if ending.startswith("noised"):
        noise = rest(COUNT, own='ok = { type = "boolean" }')
        code = NOISED.get(ending, NOISED["noised"])
        return bundle(code.encode(), relay=relay, job=name, reads=WINDOWED, rest=noise + LIMITS)
    reads = READS + "min_rows = 1000\n" if ending == "too few rows" else READS
    return bundle(JOBS.get(ending, JOBS["good"]).encode(), job=name, relay=relay, reads=reads, rest=RESULT + LIMITS)


async def end_run(home: chez.Home, id: str, runtime: Runtime, ending: str) -> None:
    """One granted run that ends like this."""
    with suppress(InterruptedError):
        async with authorise(home, id, TODAY) as run:
            execution = await run.execute(runtime)
            if ending == "the run is left early":
                raise InterruptedError
            if ending == "revoked":
                await revoke_grant(home, id)
            await (run.decline() if ending.endswith("the person says no") else run.release(execution))
    if ending == "withdrawn":
        await withdraw(home, id)


def shapes(sent: list[bytes]) -> tuple[list[tuple[str, int]], list[int]]:
    """What a relay sees of frames: each one's kind and size toward the provider, and the sizes of the entries."""
    frames = [(decode_client(payload), len(payload)) for payload in sent]
    return (
        [(type(frame).__name__, size) for frame, size in frames if not isinstance(frame, Append)],
        [len(frame.envelope) for frame, _ in frames if isinstance(frame, Append)],
    )


def toward(wire: Wire, message: int) -> list[tuple[str, int]]:
    """All that goes to the provider's inbox: a greeting, a proof, and one message of so many bytes."""
    # A ref is one byte, the handle and the item come with their lengths: nothing varies but the relay's name.
    return [("Hello", 39 + len(wire.proxy.name)), ("Open", 109), ("Put", message + 40)]


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_wire_tells_nothing_of_how_a_run_ended(ending: str, standing: Standing, runtime: Runtime) -> None:
    """The same frames leave for every ending: a greeting, a proof and one message, and as many heads of the journal."""
    home, wire, number = standing.home, standing.wire, ENDINGS.index(ending) + 1
    given = await grant(home, job(ending, wire.proxy.url, number), number)
    if ending == "noised, and was drawn before":
        await end_run(home, given.grant.id, runtime, "the run is left early")
        await deliver(home, LATER)
    async with home.connect(wire.proxy.url) as link:
        await link.synced(90)
        before = wire.proxy.mark()
        await end_run(home, given.grant.id, runtime, ending)
        await link.synced(90)
        begun = shapes(wire.proxy.sent_since(before))
        assert (await deliver(home, LATER)).sent == 1
        await link.synced(90)
        sent = wire.proxy.sent_since(before)
    left = [one for kind in ("release", "refusal") for one in await home.journal.receipts(kind, grant=given.grant.id)]
    message = base64.b64decode(max(left, key=lambda one: one.number).body["message"])
    assert len(message) == message_size(given.bundle.manifest.schema)
    to_provider, entries = shapes(sent)
    assert to_provider == toward(wire, len(message))
    # To the person's own devices: the journal's head, always the smallest entry, and none when the run ends.
    more = ending.startswith("noised") or ending == "revoked"
    assert begun == ([], [ENTRY] * (1 + more)) and entries == [ENTRY] * (RECEIPTS + more)
    assert [frame.item for frame in map(decode_client, sent) if isinstance(frame, Put)] == [message]
    assert list(search(b"\0".join(sent), [b"Alice", b"station", b"2026-11-20"])) == []
    told = open_message(message, SEALING, INBOX)
    if ending in ("noised", "noised, and was drawn before"):
        assert told.outcome == "result"
    else:
        assert (told.outcome, told.result) == (("result", TOLD[ending]) if ending in TOLD else ("none", b""))


@pytest.mark.usefixtures("same_runtime")
async def test_through_the_verb_the_wire_tells_no_more(home: chez.Home, wire: Wire) -> None:
    """`chez job run` sends the same for a yes, a no and a failure: two entries more, of what this device holds
    and of which run the message was."""
    url, seen = wire.proxy.url, []
    await inboxes.create(url, INBOX_OWNER, INBOX_WRITER.public, ttl=3600)
    async with home.connect(url) as link:
        for number, (ending, answer) in enumerate((("good", "y"), ("good", "n"), ("gives up", "y")), 1):
            run = bundle(JOBS[ending].encode(), job=f"job-{number}", relay=url, reads=WHOLE, rest=RESULT + LIMITS)
            given = await grant(home, run, number, until=date(9999, 1, 1))
            await link.synced(90)
            before = wire.proxy.mark()
            done = await verbs.job_run(home, {"grant": given.grant.id}, Person(answer))
            assert done["delivery"]["sent"] == 1
            await link.synced(90)
            seen.append((done["outcome"], shapes(wire.proxy.sent_since(before))))
    (_, (to_provider, entries)) = seen[0]
    assert [outcome for outcome, _ in seen] == ["result", "none", "none"]
    assert seen == [(outcome, (to_provider, entries)) for outcome, _ in seen]
    assert to_provider == toward(wire, message_size(bundle().manifest.schema)) and len(entries) == RECEIPTS + 2
