"""Whatever happens on the way, devices that can talk again hold the same records, and all of them.

`CHEZ_SEED=17 pytest tests/simulation` replays one run exactly; a longer run needs its
`CHEZ_STEPS` too, as a failure prints it.
"""

import hashlib
import os
import subprocess
import sys

import msgspec
import pytest

from chez.records import automerge
from chez.records.rows import ABSENT, PURGED
from chez.records.values import to_json
from chez.store.database import Connection
from chez.sync import arrivals
from chez.sync.chains import relearn
from tests.simulation.device import Device
from tests.simulation.household import NOW
from tests.simulation.replaying import replaying
from tests.simulation.world import World

STEPS = int(os.environ.get("CHEZ_STEPS", "400"))
SEEDS = [int(os.environ["CHEZ_SEED"])] if "CHEZ_SEED" in os.environ else list(range(25))


def records(db: Connection) -> dict[tuple[bytes, str, str], tuple[str, str | None, int, str]]:
    """Every record of every space as a device's projection has it, after checking it against its document."""
    out = {}
    rows = db.execute("SELECT record.n, space.id, collection, record.id, json, kinds, deleted FROM record "
                      "JOIN space ON space.n = record.space").fetchall()
    for n, space, collection, id, json, kinds, deleted in rows:
        if deleted == ABSENT:  # nothing of it counts any more: who never had it has no row
            continue
        if deleted == PURGED:
            out[space, collection, id] = (json, kinds, deleted, "")
            continue
        base = [row[0] for row in db.execute("SELECT doc FROM snapshot WHERE record = ?", (n,))]
        base += [row[0] for row in db.execute("SELECT bytes FROM change WHERE record = ? AND bytes IS NOT NULL "
                                              "ORDER BY n", (n,))]
        document = automerge.load(b"".join(base), bytes(32))
        value = automerge.extract(document)
        assert deleted == (value.pop("_deleted", False) is True), (collection, id)
        ordered = to_json(dict(sorted(value.items())))
        shown = automerge_order(json)
        assert ordered[0] == shown, (collection, id)
        heads = ",".join(sorted(head.hex() for head in document.get_heads()))
        out[space, collection, id] = (shown, kinds_in_order(kinds), deleted, heads)
    return out


def automerge_order(json: str) -> str:
    """The same JSON with keys in order: a projection keeps the writer's order, a document sorts."""
    return msgspec.json.encode(msgspec.json.decode(json), order="sorted").decode()


def kinds_in_order(kinds: str | None) -> str | None:
    """The list of places in one order."""
    return None if kinds is None else msgspec.json.encode(sorted(msgspec.json.decode(kinds), key=str)).decode()


def play(seed: int, steps: int = STEPS) -> World:
    """One run: faults and edits, then peace; what is promised holds, or the seed is printed."""
    world = World(seed)
    with replaying(world, seed, steps):
        world.chaos(steps)
        world.heal()
        check(world)
    return world


def check(world: World) -> None:
    """The promises of sync."""
    first = records(world.devices[0].db)
    assert first
    for device in world.devices:
        assert device.idle, device.name
        mine = records(device.db)
        assert mine.keys() == first.keys(), device.name
        assert {key: (mine[key], first[key]) for key in mine if mine[key] != first[key]} == {}, device.name
        assert world.workload.missing(device.db) == [], device.name
        for table, condition in (("quarantine", ""), ("parked", ""), ("locked", ""),
                                 ("change", " WHERE state <> 0 AND hash <> x''"),  # but numbers that are kept
                                 ("sealed", ""), ("statement", " WHERE sent = 0"),
                                 ("space", " WHERE announce = 1")):
            left = device.db.execute(f"SELECT count(*) FROM {table}{condition}").fetchone()[0]
            assert left == 0, (device.name, table)
        assert members(device) == members(world.devices[0]), device.name
        assert not any(one.space.membership.state.rotation_owed for one in device.replicas.values()), device.name
        noted = derived(device)
        for n in device.replicas:
            relearn(device.db, n, NOW)
        assert derived(device) == noted, device.name


def derived(device: Device) -> list[tuple[object, ...]]:
    """What is written down of the entries beside them, each of which it can be learned from anew."""
    return [row for table in ("named", "branch") for row in device.db.execute(f"SELECT '{table}', * FROM {table}")]


def members(device: Device) -> dict[bytes, tuple[object, ...]]:
    """For each space that a device has, who belongs to it and by which statements, and the keys that are here.

    Not those of epochs that take no effect: whoever was there has them, and seals nothing by them.
    """
    spaces = {replica.space.id: replica.space for replica in device.replicas.values()}
    return {id: (space.membership.devices, space.membership.named_heads,
                 sorted(space.epochs.keys() & space.membership.state.epochs.keys()), space.name, space.handle)
            for id, space in spaces.items()}


def digest(seed: int) -> str:
    """A run's whole trace, in one hash."""
    return hashlib.sha256("\n".join(play(seed, 400).trace).encode()).hexdigest()


@pytest.mark.parametrize("seed", [*SEEDS[:5], *(pytest.param(seed, marks=pytest.mark.slow) for seed in SEEDS[5:15]),
                                  *(pytest.param(seed, marks=pytest.mark.exhaustive) for seed in SEEDS[15:])])
def test_convergence(seed: int) -> None:
    """After cuts, crashes, partitions and lost relay stores, all devices hold every acknowledged write."""
    play(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS[:6])
def test_convergence_in_small_turns(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where a page is worked off a few operations at a time, with edits, cuts and crashes in between."""
    monkeypatch.setattr(arrivals, "TURN", 1 + seed * 20)
    play(seed)


@pytest.mark.exhaustive
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("thousand", range(1, 5))
def test_convergence_of_many_runs(thousand: int) -> None:
    """The same for more seeds, twenty-five each, with longer runs."""
    for seed in range(thousand * 1000, thousand * 1000 + 25):
        play(seed, 2 * STEPS)


@pytest.mark.slow
def test_a_seed_is_a_run() -> None:
    """One seed gives one trace, byte for byte, in any process and under any hash seed."""
    here = digest(7)
    assert here == digest(7)
    code = "from tests.simulation.test_convergence import digest; import sys; sys.stdout.write(digest(7))"
    for number in ("1", "2"):
        found = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": number},
                               capture_output=True, text=True, check=True, cwd=os.getcwd())
        assert found.stdout == here
