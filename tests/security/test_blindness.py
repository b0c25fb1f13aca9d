"""What the relay stores, logs and carries holds nothing readable, in any usual encoding."""

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.demo.search import search

import chez
from chez.crypto import Kdf
from chez_relay.cluster.nodes import NODES
from chez_sandbox.consent.delivery import deliver
from chez_sandbox.runtime.host import Runtime
from chez_wire.envelope import MAGIC
from tests.jobs.samples import LATER
from tests.relay.clusters import cluster
from tests.security.departing import granted_at, run_once
from tests.security.wire import Wire, recorded_relay

__all__ = ("cluster",)

RECORD = {"MARKER_field_22d1": "MARKER-value-7f3a", "list": ["MARKER-inner-0c4d"]}
MARKERS = [
    b"MARKER_field_22d1", b"MARKER-value-7f3a", b"MARKER-inner-0c4d", b"MARKER-id-91bc", b"MARKER_collection_5e",
    b"MARKER-laptop-c4", b"MARKER-phone-d8", b"MARKER-parameter-3b", b"MARKER_parameter_6a",
]  # fmt: skip
PARAMETERS = 'MARKER_parameter_6a = "MARKER-parameter-3b"'


@pytest.fixture(params=["sqlite", pytest.param("nodes", marks=pytest.mark.slow)])
def wire(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wire]:
    """A relay process behind a recording proxy, over each store."""
    with recorded_relay(tmp_path, request.getfixturevalue("cluster") if request.param == "nodes" else None) as running:
        yield running


async def test_no_marker_reaches_the_relay(tmp_path: Path, wire: Wire, home: chez.Home, runtime: Runtime) -> None:
    """Records, ids, names and a job's parameters are in no byte that it, or a node under it, stored, logged or carried.
    """
    laptop, phone = tmp_path / "laptop", tmp_path / "phone"
    await chez.create(laptop, passphrase="a", name="MARKER-laptop-c4", kdf=Kdf.minimum())
    async with chez.open(laptop, passphrase="a") as first:
        await first.set_relay(wire.proxy.url)
        await first.collection("MARKER_collection_5e").put(RECORD, id="MARKER-id-91bc")
        await first.sync()
        async with first.pair() as pairing:
            joining = asyncio.create_task(
                chez.join(phone, pairing.code, passphrase="b", name="MARKER-phone-d8", kdf=Kdf.minimum()))
            await pairing.confirm(_yes)
            await joining
    async with chez.open(phone, passphrase="b") as second:
        await second.sync()
        assert (await second.collection("MARKER_collection_5e").get("MARKER-id-91bc")).value == RECORD
    given = await granted_at(home, wire.proxy.url, parameters=PARAMETERS)
    await home.sync(wire.proxy.url)
    await run_once(home, given.grant.id, runtime)
    assert (await deliver(home, LATER)).sent == 1
    seen = wire.seen()
    assert len(seen["wire"]) > 10_000 and any(len(data) > 4096 for data in seen.values())
    sealed = re.search(re.escape(MAGIC) + b".{64}", seen["wire"], re.DOTALL)
    assert sealed and {name.partition("/")[0] for name in seen if sealed[0] in seen[name]} > {"wire"}, "nothing is here"
    assert wire.data.name == "relay" or seen.keys() >= {f"{name}.log" for name in NODES}
    assert {name: list(search(data, MARKERS)) for name, data in seen.items()} == {name: [] for name in seen}


def test_the_search_finds_what_is_hidden() -> None:
    """Plain, hexadecimal, UTF-16, and base64 at each alignment are all found, so finding nothing means something."""
    for marker in MARKERS:
        hidden = [marker, marker.hex().encode(), marker.hex().upper().encode(), marker.decode().encode("utf-16-le")]
        hidden += [base64.b64encode(b"?" * shift + marker + b"!") for shift in range(3)]
        hidden += [base64.urlsafe_b64encode(b"?" * shift + marker + b"!") for shift in range(3)]
        assert all(any(search(b"\0" * 9 + one + b"\0" * 9, [marker])) for one in hidden)


async def _yes(*_: object, **__: object) -> str:
    return "yes"
