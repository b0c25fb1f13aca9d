"""A device of one's own that went bad starts a space's first epoch once more: what was imported stays what it is."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import BinaryIO

from chez import crypto
from chez.connectors import Found, Item, Source
from chez.keys.epochs import Epoch, commitment
from chez.spaces.space import SpaceKeys, keep_statement, store_epoch
from chez.spaces.statements import NewEpoch, sign_statement
from chez.store.database import Connection
from chez.vocabulary import TariffDay
from tests.people.recovering import back, founded
from tests.people.support import join
from tests.relay.within import Within


class Days:
    """A connector of two days, whatever the file."""

    name, version, title, types = "days", 1, "days", (TariffDay,)

    def recognise(self, head: bytes, name: str) -> bool:
        return False

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for day in (1, 2):
            yield Found(TariffDay(scheme="tempo", date=date(2000, 1, day), colour="blue"), day)


def _once_more(space: SpaceKeys, device: crypto.SigningKey) -> tuple[NewEpoch, Epoch]:
    """A first epoch beside the one that there is, whose id is lower, by a device that knows of none."""
    state = space.membership.state
    certificate = next(iter(state.certificates[device.public]))
    first = min(state.epochs)
    while True:
        secret, append, admin = (crypto.random_bytes(32) for _ in range(3))
        body = NewEpoch(space.id, sorted([space.id, certificate]), device.public, 1, [], commitment(secret),
                        crypto.SigningKey.from_seed(append).public, crypto.SigningKey.from_seed(admin).public)
        id = sign_statement(body, device).hash
        if id < first:
            return body, Epoch(id, 1, secret, append, admin)


async def test_what_was_imported_stays_what_it_is(tmp_path: Path, server: Within) -> None:
    """To import the same again changes nothing, and who comes by the log alone has all of it."""
    file = tmp_path / "days.csv"
    file.write_text("day,steps\n1,1\n")
    async with founded(tmp_path, server.url, "laptop") as (laptop, words):
        async with join(laptop, tmp_path / "thief", "thief", server.url) as thief:
            await laptop.import_file(file, connector=Days(), in_process=True)
            before = (await laptop.status()).records
            await laptop.sync()
            await thief.sync()

            def work(db: Connection) -> None:
                replica, device = thief._replica, thief._device.signing
                body, epoch = _once_more(replica.space, device)
                keep_statement(db, replica.space.n, replica.space.membership, sign_statement(body, device))
                store_epoch(db, replica.space.n, epoch)
                replica.space.epochs = {**replica.space.epochs, epoch.id: epoch}
                replica.rotate(db)  # which leads to both, and has a packet for everybody

            await thief._database.write(work)
            await thief.sync()
            await laptop.sync()
            assert len(laptop._replica.space.membership.state.epochs) == 3
            await laptop.devices.remove("thief")
            await laptop.sync()
            result = await back(tmp_path / "new", words, server.url)
            assert (result.records, result.quarantined, result.missing) == (before, 0, 0)
            await laptop.import_file(file, connector=Days(), in_process=True)
            assert (await laptop.status()).records == before
