"""The same real files imported on two devices apart: after they meet, as if imported once."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

import chez
from chez.connectors import Found, Item, Source
from chez.connectors.linky import Linky
from chez.crypto import Kdf
from chez.errors import InvalidValue
from chez.home.importing import BATCH
from tests.home.conftest import PASSPHRASE
from tests.home.consistency import problems
from tests.relay.within import relay

DATA = Path(__file__).resolve().parents[1] / "data"
LINKY = DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"
HEAD = 3  # lines before the readings

Everything = dict[tuple[str, str], Any]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two devices of one person, and the relay they meet at."""

    laptop: chez.Home
    phone: chez.Home
    url: str

    async def meet(self) -> None:
        """Both send and fetch, until each has had the chance to answer the other."""
        for home in (self.laptop, self.phone, self.laptop, self.phone):
            report = await home.sync(self.url)
            assert report.quarantined == 0
        assert (await self.laptop.status()).pending == (await self.phone.status()).pending == 0


@pytest.fixture
async def pair(path: Path, tmp_path: Path) -> AsyncIterator[Pair]:
    """A phone joined to a laptop through a real relay."""
    async with AsyncExitStack() as stack:
        process = await stack.enter_async_context(relay(tmp_path / "relay"))
        laptop = await stack.enter_async_context(chez.open(path, passphrase=PASSPHRASE))
        await laptop.sync(process.url)
        async with laptop.pair(process.url) as pairing:
            joining = chez.join(tmp_path / "phone", pairing.code, passphrase=PASSPHRASE, name="phone",
                                kdf=Kdf.minimum())  # fmt: skip
            await asyncio.gather(joining, pairing.confirm())
        phone = await stack.enter_async_context(chez.open(tmp_path / "phone", passphrase=PASSPHRASE))
        yield Pair(laptop, phone, process.url)


def part(folder: Path, first: int, last: int) -> Path:
    """An export that covers some of the readings of the real one, as downloaded another day would."""
    lines = LINKY.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    file = folder / f"linky-{first}-{last}.csv"
    file.write_text("".join(lines[:HEAD] + lines[HEAD + first : HEAD + last]), encoding="utf-8-sig")
    return file


async def everything(home: chez.Home) -> Everything:
    """All records of a home with their values and sources; its store is sound."""
    assert await home._database.read(lambda db: problems(db, home.device_id)) == []
    return {(info.name, record.id): (record.value, record.source)
            for info in await home.collections() async for record in home.collection(info.name)}


def values(found: Everything) -> dict[tuple[str, str], Any]:
    """The same without sources."""
    return {key: value for key, (value, _) in found.items()}


@pytest.fixture
async def once(tmp_path: Path) -> AsyncIterator[chez.Home]:
    """A home of somebody else, for comparison."""
    await chez.create(tmp_path / "once", passphrase=PASSPHRASE, kdf=Kdf.minimum())
    async with chez.open(tmp_path / "once", passphrase=PASSPHRASE) as home:
        yield home


async def imported(home: chez.Home, *files: Path) -> int:
    """Import files; how many records were added."""
    reports = [await home.import_file(file) for file in files]
    assert all(not report.rejects and not report.updated for report in reports)
    return sum(report.added for report in reports)


def bag(found: Everything) -> list[str]:
    """The values without ids, which depend on the person."""
    return sorted(repr((name, sorted(value.items()))) for (name, _), (value, _) in found.items())


@pytest.mark.slow
async def test_the_same_files_on_two_devices(pair: Pair, once: chez.Home, tmp_path: Path) -> None:
    """A part of a Linky export and a bank's OFX, imported on both offline, are each record once, alike on both."""
    files = (part(tmp_path, 0, 100), DATA / "bank-ofx" / "checking.ofx")
    added = await imported(pair.laptop, *files)
    assert await imported(pair.phone, *files) == added == await imported(once, *files) > 100
    before = await everything(pair.laptop)
    assert values(before) == values(await everything(pair.phone))
    await pair.meet()
    after = await everything(pair.laptop)
    assert after == await everything(pair.phone)
    assert values(after) == values(before) and bag(after) == bag(await everything(once))
    assert await imported(pair.phone, *files) == 0


async def test_overlapping_exports_on_two_devices(pair: Pair, once: chez.Home, tmp_path: Path) -> None:
    """Two exports that overlap make the records that the whole export makes, with no reading doubled or lost."""
    assert await imported(pair.laptop, part(tmp_path, 0, 80)) == 80
    assert await imported(pair.phone, part(tmp_path, 40, 120)) == 80
    await pair.meet()
    assert await imported(once, part(tmp_path, 0, 120)) == 120
    found = await everything(pair.laptop)
    assert found == await everything(pair.phone) and len(found) == 120
    assert bag(found) == bag(await everything(once))
    assert await imported(pair.laptop, part(tmp_path, 0, 120)) == 0


@pytest.mark.slow
async def test_edits_of_imported_records_meet(pair: Pair, tmp_path: Path) -> None:
    """A note added on one device and a deletion on the other survive the meeting of two imports of one file."""
    file = DATA / "bank-ofx" / "checking.ofx"
    for home in (pair.laptop, pair.phone):
        await imported(home, file)
    noted, deleted, *_ = sorted([record.id async for record in pair.laptop.collection("transactions")])
    async with pair.laptop.collection("transactions").edit(noted) as draft:
        draft["note"] = "mine"
    await pair.phone.collection("transactions").delete(deleted)
    await pair.meet()
    found = await everything(pair.laptop)
    assert found == await everything(pair.phone)
    assert found["transactions", noted][0]["note"] == "mine" and ("transactions", deleted) not in found
    for home in (pair.laptop, pair.phone):
        assert await imported(home, file) == 0
    assert await everything(pair.laptop) == found


class Cut(Linky):
    """The reader of load curves, until it is cut off."""

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        for item in super().read(file, source):
            if isinstance(item, Found) and item.row > BATCH + 30:
                raise RuntimeError("cut off")
            yield item


@pytest.mark.slow
async def test_an_import_does_not_go_on_where_another_device_brought_a_corrected_export(pair: Pair, tmp_path: Path
                                                                                        ) -> None:
    """One that was cut off here is read from its beginning, so that all of it is as its file says."""
    file, corrected = part(tmp_path, 0, BATCH + 60), tmp_path / "corrected.csv"
    text = file.read_text("utf-8-sig")
    corrected.write_text(re.sub(r";(\d+)$", r";\g<1>1", text, flags=re.M), "utf-8-sig")
    with pytest.raises(InvalidValue):
        await pair.laptop.import_file(file, connector=Cut(), in_process=True)
    await pair.meet()
    done = await pair.phone.import_file(corrected)
    assert not done.rejects and done.updated > BATCH
    await pair.meet()
    done = await pair.laptop.import_file(file)
    assert done.resumed == 0 and done.updated == BATCH + 60
