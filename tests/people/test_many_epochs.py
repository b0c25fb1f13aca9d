"""An owner of a shared space starts epochs without end: what a member tells its other devices has room all the same."""

from pathlib import Path

import pytest

from chez import crypto
from chez.keys.epochs import Epoch, commitment
from chez.spaces.rotation import _link, holds
from chez.spaces.space import SpaceKeys, add_to_space
from chez.spaces.statements import NewEpoch, Previous, Signed, sign_statement
from tests.people.persons import persons, shared
from tests.people.support import ids, join, open_again
from tests.relay.within import Within

EPOCHS = 3000


def _chain(space: SpaceKeys, device: crypto.SigningKey) -> tuple[list[Signed], list[Epoch]]:
    """Epochs one after the other, each with a link to the one before."""
    last, said, epochs = space.epoch, [], []
    for number in range(last.number + 1, last.number + EPOCHS + 1):
        secret, append, admin = (crypto.random_bytes(32) for _ in range(3))
        link = Previous(last.id, last.number, _link(space.id, last.id, secret, last.secret, crypto.random_bytes(24)))
        said.append(sign_statement(NewEpoch(
            space.id, [last.id], device.public, number, [link], commitment(secret),
            *(crypto.SigningKey.from_seed(seed).public for seed in (append, admin))), device))
        last = Epoch(said[-1].hash, number, secret, append, admin)
        epochs.append(last)
    return said, epochs


@pytest.mark.slow
async def test_a_member_keeps_in_step_with_its_own_devices(tmp_path: Path, server: Within) -> None:
    """Its private space goes on, and another device of its opens the shared one by what it is told."""
    async with persons(tmp_path, "mallory", "alice", relay=server.url) as (mallory, alice):
        space = await mallory.create_space("Trip")
        await shared(space, mallory, alice, role="owner")
        said, epochs = _chain(mallory._spaces.find("Trip").space, mallory._device.signing)
        n = alice._spaces.find("Trip").space.n
        # As its log would leave it, had it been read; that takes its time.
        await alice._database.write(lambda db: add_to_space(db, n, said, epochs, sent=True))
    async with open_again(tmp_path / "alice") as alice:
        async with join(alice, tmp_path / "phone", "phone", server.url) as phone:
            assert phone._spaces.find("Trip").space.epoch.id == epochs[-1].id
            await alice.collection("notes").put({"n": 1}, id="after")
            await alice.sync()
            await phone.sync()
            assert await ids(phone) == {"after"}


async def test_the_next_epoch_costs_what_the_first_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose keys are to be sealed under is told by the newest alone, whatever the number of those before it."""
    looked: list[Epoch] = []

    def counted(epoch: Epoch, said: NewEpoch) -> bool:
        looked.append(epoch)
        return holds(epoch, said)

    async with persons(tmp_path, "anna") as (anna,):
        space = await anna.create_space("Trip")
        monkeypatch.setattr("chez.spaces.space.holds", counted)
        counts = []
        for _ in range(20):
            looked.clear()
            await space.rotate()
            counts.append(len(looked))
        assert len(set(counts)) == 1 and counts[0] < 10
