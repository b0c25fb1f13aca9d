"""The city, the organisations and the services: each in a folder of its own, by the commands that they would type."""

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from examples.pilot.lives import life
from examples.pilot.person import ARRIVED, Arrived
from examples.pilot.plan import ORGANISATIONS, ROOT, SERVICES, Organisation, PilotFailed, Places, Plan, Service, keep
from examples.pilot.programs import run, serving

from chez_deposit import Book, Standing, load_keys

__all__ = ("counted", "deposit", "found_organisation", "found_service", "publish", "relay", "results", "standing",
           "told")

STATIONS: Final = ROOT / "tests" / "data" / "mobility-velov" / "Lyon.json"
ABOUT: Final = """\
id = "velov"
title = "Stations Vélo'v"
description = "Where shared bikes stand in Lyon."
licence = "https://www.etalab.gouv.fr/licence-ouverte-open-licence"
themes = ["TRAN"]
language = "fr"
"""


@asynccontextmanager
async def relay(places: Places, plan: Plan) -> AsyncIterator[int]:
    """The relay; its process id.

    All people are behind one address, so what one address may make is raised; so is what waits for an organisation,
    which looks once, when everybody is through.
    """
    places.relay.mkdir(exist_ok=True)
    raised = [word for name in ("limits.inboxes_burst_per_address", "limits.spaces_burst_per_address",
                                "limits.dials_burst_per_address", "quotas.inbox_items")
              for word in ("--set", f"{name}={20 * plan.people + 1024}")]
    async with serving(places.relay, "chez-relay", "serve", "--listen", f"127.0.0.1:{plan.relay_port}", "--name",
                       f"127.0.0.1:{plan.port}", "--data", "store", "--log-file", "log", *raised,
                       ready=r"ws://") as process:
        yield process.pid


async def publish(places: Places, plan: Plan) -> None:
    """The city publishes its stations, and where its catalogue is."""
    if places.catalogue.exists():
        return
    places.city.mkdir(exist_ok=True)
    chez = ("chez", "--home", "home", "--passphrase-file", str(places.passphrase))
    if not (places.city / "home").exists():
        await run(places.city, *chez, "init", "--name", "city", "--words-file", "words")
    await run(places.city, *chez, "relay", "set", plan.url)
    if not (places.city / "key").exists():
        await run(places.city, "chez", "publisher", "new-key", "--out", "key", "--title", "Open data", "--name",
                  "City of Lyon", "--contact", "data@city.example", "--language", "fr")
    shutil.copyfile(STATIONS, places.city / "stations.json")
    (places.city / "velov.toml").write_text(ABOUT, encoding="utf-8")
    said = await run(places.city, *chez, "--json", "publisher", "publish", "stations.json", "--about", "velov.toml",
                     "--key", "key")
    keep(places.catalogue, json.loads(said)["address"].encode())


async def found_organisation(places: Places, plan: Plan, partner: Organisation) -> None:
    """A partner makes its key and its card."""
    folder = places.organisation(partner.key)
    folder.mkdir(exist_ok=True)
    if not (folder / "key").exists():
        await run(folder, "chez-deposit", "keys", "new", "--relay", plan.url, "--out", "key", "--name", partner.name,
                  "--contact", f"dpo@{partner.domain}", "--domain", partner.domain)
    keep(folder / "card", load_keys(folder / "key").card.text.encode())


async def found_service(places: Places, plan: Plan, service: Service) -> None:
    """A service makes its key, and builds and signs its job."""
    folder = places.service(service.job)
    folder.mkdir(exist_ok=True)
    if (folder / "job.chez").exists():
        return
    if not (folder / "key").exists():
        await run(folder, "chez-job", "keys", "new", "--relay", plan.url, "--out", "key", "--name", service.name,
                  "--contact", service.contact)
    await run(folder, "chez-job", "build", str(ROOT / "examples" / "jobs" / service.job), "--key", "key", "--out",
              "job.part", "--sign")
    (folder / "job.part").replace(folder / "job.chez")


async def deposit(places: Places, plan: Plan, partner: Organisation) -> None:
    """A partner enters the addresses that its customers gave it, and sends all of them what it holds, as one batch."""
    folder = places.organisation(partner.key)
    await asyncio.to_thread(_write, places, plan, partner)
    await run(folder, "chez-deposit", "customer", "import", "addresses.jsonl", "--key", "key")
    sent = json.loads(await run(folder, "chez-deposit", "send", "batch.jsonl", "--batch", "pilot", "--key", "key",
                                "--json"))
    if lost := {name: sent[name] for name in ("rejected", "ended", "gone") if sent[name]}:
        raise PilotFailed(f"of the batch of {partner.name} not everything was sent: {lost}")


def _write(places: Places, plan: Plan, partner: Organisation) -> None:
    """The addresses that a partner was given, and its batch."""
    folder = places.organisation(partner.key)
    with (folder / "addresses.jsonl").open("w") as addresses, (folder / "batch.jsonl").open("w") as batch:
        for number in range(plan.people):
            arrived = msgspec.json.decode((places.person(number) / ARRIVED).read_bytes(), type=Arrived)
            addresses.write(_line({"customer": _customer(number), "address": arrived.addresses[partner.key]}))
            batch.writelines(_line({"customer": _customer(number), "collection": collection, "record": record})
                             for collection, record in life(plan, number, partner.key))


def _customer(number: int) -> str:
    return f"C-{number:05}"


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


async def results(places: Places) -> None:
    """Each partner takes its acknowledgements, and each service the results that wait for it."""
    await asyncio.gather(
        *(run(places.organisation(one.key), "chez-deposit", "acks", "--key", "key") for one in ORGANISATIONS),
        *(run(places.service(one.job), "chez-job", "results", "--key", "key", "--bundle", "job.chez")
          for one in SERVICES))


def told(places: Places, service: Service) -> list[dict[str, Any]]:
    """What a service has in its file of results."""
    return [json.loads(line) for line in (places.service(service.job) / "results.jsonl").read_text().splitlines()]


def standing(places: Places, partner: Organisation) -> Standing:
    """How a partner's messages stand, by its book."""
    folder = places.organisation(partner.key)
    with Book(folder / "key.book", load_keys(folder / "key"), now=int(time.time())) as book:
        return book.standing()


async def counted(places: Places) -> str:
    """What the relay's operator can count in its store, without the list of its spaces."""
    lines = (await run(places.relay, "chez-relay", "inspect", "--data", "store")).splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("space "))
