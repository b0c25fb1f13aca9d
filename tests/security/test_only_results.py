"""On the wire every run looks alike: what leaves is one padded, sealed message, whatever the job does."""

import pytest
from examples.demo.search import search

import chez
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.release.release import open_message
from chez_sandbox.runtime.host import Runtime
from chez_wire.frames import Append, Credit, Hello, Open, Put, decode_client
from tests.jobs.samples import INBOX, MEAN, SEALING
from tests.jobs.test_runs import SIZE
from tests.security.departing import granted_at, run_once
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


@pytest.mark.parametrize("name", JOBS)
async def test_the_wire_tells_nothing_of_what_a_job_did(
    name: str, home: chez.Home, runtime: Runtime, wire: Wire
) -> None:
    """A run sends a greeting, a proof and one message, of the same sizes for every job, the outcome sealed inside."""
    given = await granted_at(home, wire.proxy.url, JOBS[name].encode())
    async with home.connect(wire.proxy.url) as link:
        await link.synced(30)
        before = wire.proxy.mark()
        departure = await run_once(home, given.grant.id, runtime)
        assert (await deliver(home)).sent == 1
        await link.synced(30)
        sent = wire.proxy.sent_since(before)
    frames = [(decode_client(payload), len(payload)) for payload in sent]
    toward = [(type(frame), size) for frame, size in frames if not isinstance(frame, Append | Credit)]
    # A ref is one byte, the handle and the item come with their lengths: nothing varies but the relay's name.
    assert len(departure.message) == SIZE
    assert toward == [(Hello, 39 + len(wire.proxy.name)), (Open, 109), (Put, SIZE + 40)]
    # To the person's own devices: the journal's head after each receipt, always the smallest entry.
    own = {len(frame.envelope) for frame, _ in frames if isinstance(frame, Append)}
    assert own <= {ENTRY}
    assert [frame.item for frame, _ in frames if isinstance(frame, Put)] == [departure.message]
    assert list(search(b"\0".join(sent), [b"Alice", b"station", b"2026-11-20"])) == []
    told = open_message(departure.message, SEALING, INBOX)
    assert (told.outcome, told.result) == (("result", b'{"watts":150}') if name == "good" else ("none", b""))
