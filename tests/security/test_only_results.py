"""On the wire every run looks alike: what leaves is one padded, sealed message, whatever the job does."""

import base64
from contextlib import suppress

import pytest
from examples.demo.search import search

import chez
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.consent.run import authorise
from chez_sandbox.release.release import open_message
from chez_sandbox.runtime.host import Runtime
from chez_wire.frames import Append, Hello, Open, Put, decode_client
from tests.jobs.samples import INBOX, LATER, MEAN, SEALING
from tests.jobs.test_grants import TODAY
from tests.jobs.test_runs import SIZE
from tests.security.departing import granted_at
from tests.security.wire import Wire

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
}


ENDINGS = [*JOBS, "the person says no", "the run is left early"]
"""How a run can end: by what the job does, or, for a good one, by what the person or the program does."""

RECEIPTS = 4
"""Of every run: the debit, the departure, the word that it may have left, the delivery.

Each is a commit of its own, and moves the journal's head."""


async def end_run(home: chez.Home, id: str, runtime: Runtime, ending: str) -> None:
    """One granted run that ends like this."""
    with suppress(InterruptedError):
        async with authorise(home, id, TODAY) as run:
            execution = await run.execute(runtime)
            if ending == "the run is left early":
                raise InterruptedError
            await (run.decline() if ending == "the person says no" else run.release(execution))


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_wire_tells_nothing_of_how_a_run_ended(
    ending: str, home: chez.Home, runtime: Runtime, wire: Wire
) -> None:
    """The same frames leave for every ending: a greeting, a proof and one message, and four heads of the journal."""
    given = await granted_at(home, wire.proxy.url, JOBS.get(ending, JOBS["good"]).encode())
    async with home.connect(wire.proxy.url) as link:
        await link.synced(30)
        before = wire.proxy.mark()
        await end_run(home, given.grant.id, runtime, ending)
        assert (await deliver(home, LATER)).sent == 1
        await link.synced(30)
        sent = wire.proxy.sent_since(before)
    (left,) = [*await home.journal.receipts("release"), *await home.journal.receipts("refusal")]
    message = base64.b64decode(left.body["message"])
    frames = [(decode_client(payload), len(payload)) for payload in sent]
    toward = [(type(frame), size) for frame, size in frames if not isinstance(frame, Append)]
    # A ref is one byte, the handle and the item come with their lengths: nothing varies but the relay's name.
    assert len(message) == SIZE
    assert toward == [(Hello, 39 + len(wire.proxy.name)), (Open, 109), (Put, SIZE + 40)]
    # To the person's own devices: the journal's head after each receipt, always the smallest entry.
    assert [len(frame.envelope) for frame, _ in frames if isinstance(frame, Append)] == [ENTRY] * RECEIPTS
    assert [frame.item for frame, _ in frames if isinstance(frame, Put)] == [message]
    assert list(search(b"\0".join(sent), [b"Alice", b"station", b"2026-11-20"])) == []
    told = open_message(message, SEALING, INBOX)
    assert (told.outcome, told.result) == (("result", b'{"watts":150}') if ending == "good" else ("none", b""))
