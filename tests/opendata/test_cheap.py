"""What crosses the wire: a catalogue of many datasets once, then what changed, and nothing for a look."""

from pathlib import Path

import pytest

from chez.opendata.following import add_catalogue, catalogues, find, named, subscribe
from tests.opendata.support import TIME, about, address, put_up, stations, table
from tests.people.persons import persons
from tests.people.proxy import behind, proxy

MANY = 900


@pytest.mark.slow
async def test_a_catalogue_of_many_datasets_is_cheap_and_looking_costs_nothing(tmp_path: Path) -> None:
    """Nine hundred descriptions are some hundreds of kilobytes once, a change of one some kilobytes, a new version of
    a table its changed rows; searching, showing and querying send no byte."""
    async with (proxy() as front, behind(front, tmp_path / "relay"),
                persons(tmp_path, "city", "anna", relay=front.url) as (city, anna)):
        said = [about(f"dataset-{number}", title=f"Title {number}", keywords=(f"word{number % 30}",))
                for number in range(MANY)]
        await put_up(city, *said)

        async def cost() -> int:
            before = front.carried
            await anna.sync()
            return front.carried - before

        before = front.carried
        await add_catalogue(anna, address(city))
        whole = front.carried - before + await cost()
        assert whole < 600_000
        quiet = front.carried
        (there,) = await catalogues(anna)
        assert len(there.datasets) == MANY and (await find(anna, "dataset-77")).metadata.title == "Title 77"
        assert front.carried == quiet

        await put_up(city, about("dataset-7", title="Another"), time=TIME + 1)
        assert await cost() < 20_000
        first = said[3]
        await put_up(city, first, file=table(tmp_path, stations(3000)), time=TIME + 2)
        await cost()
        await subscribe(anna, first.id)
        fetched = await cost()
        await put_up(city, first, file=table(tmp_path, stations(3000, n5=99, n6=99)), time=TIME + 3)
        assert await cost() < min(20_000, fetched / 5)
        quiet = front.carried
        assert (await anna.sql("SELECT count(*) FROM open_dataset_3 WHERE bikes = 99")).rows == [(2,)]
        assert (await named(anna, first.id, check=True)).rows == 3000 and front.carried == quiet
        # Nor does a look leave anything that a later sync would send.
        assert (await anna.status()).pending == 0
