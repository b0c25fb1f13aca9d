"""The city, the organisations and the services: each in a folder of its own, by the commands that they would type."""

import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import msgspec
from examples.pilot.lives import life
from examples.pilot.person import ARRIVED, Arrived
from examples.pilot.plan import ORGANISATIONS, ROOT, SERVICES, Organisation, Places, Plan, Service, keep
from examples.pilot.programs import run, serving

__all__ = ("acknowledged", "deposit", "found_organisation", "found_service", "publish", "relay", "results")

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
    """The relay; its process id. All people are behind one address, so what one address may make is raised."""
    places.relay.mkdir(exist_ok=True)
    raised = [word for name in ("inboxes_burst_per_address", "spaces_burst_per_address", "dials_burst_per_address")
              for word in ("--set", f"limits.{name}={20 * plan.people + 1000}")]
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
    await run(places.city, *chez, "sync")
    keep(places.catalogue, json.loads(said)["address"].encode())


async def found_organisation(places: Places, plan: Plan, partner: Organisation) -> None:
    """A partner makes its key and its card."""
    folder = places.organisation(partner.key)
    folder.mkdir(exist_ok=True)
    if not (folder / "key").exists():
        await run(folder, "chez-deposit", "keys", "new", "--relay", plan.url, "--out", "key", "--name", partner.name,
                  "--contact", f"dpo@{partner.domain}", "--domain", partner.domain)
    keep(folder / "card", (await run(folder, "chez-deposit", "card", "--key", "key")).encode())


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
    with (folder / "addresses.jsonl").open("w") as addresses, (folder / "batch.jsonl").open("w") as batch:
        for number in range(plan.people):
            arrived = msgspec.json.decode((places.person(number) / ARRIVED).read_bytes(), type=Arrived)
            addresses.write(_line({"customer": _customer(number), "address": arrived.addresses[partner.key]}))
            batch.writelines(_lines(plan, number, partner))
    await run(folder, "chez-deposit", "customer", "import", "addresses.jsonl", "--key", "key")
    await run(folder, "chez-deposit", "send", "batch.jsonl", "--batch", "pilot", "--key", "key")


def _customer(number: int) -> str:
    return f"C-{number:05}"


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _lines(plan: Plan, number: int, partner: Organisation) -> Iterator[str]:
    for collection, record in life(plan, number)[partner.key]:
        yield _line({"customer": _customer(number), "collection": collection, "record": record})


@asynccontextmanager
async def acknowledged(places: Places) -> AsyncIterator[None]:
    """Each partner hears, as long as the block goes on, what arrived."""
    async with AsyncExitStack() as stack:
        for partner in ORGANISATIONS:
            await stack.enter_async_context(serving(
                places.organisation(partner.key), "chez-deposit", "acks", "--follow", "--key", "key"))
        yield


async def results(places: Places) -> None:
    """Each partner takes what acknowledgements are left, and each service the results that wait for it."""
    for partner in ORGANISATIONS:
        await run(places.organisation(partner.key), "chez-deposit", "acks", "--key", "key")
    for service in SERVICES:
        await run(places.service(service.job), "chez-job", "results", "--key", "key", "--bundle", "job.chez")
