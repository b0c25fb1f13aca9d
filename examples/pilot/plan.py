"""What one pilot is: how many people, whose data is made from which seed, on which day; and where everything lies."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import msgspec

__all__ = ("MOST_PEOPLE", "ORGANISATIONS", "ROOT", "SERVICES", "Organisation", "PilotFailed", "Places", "Plan",
           "Service", "keep", "open_plan")

ROOT: Final = Path(__file__).resolve().parents[2]

MOST_PEOPLE: Final = 100_000
"""Five digits name a person."""


class PilotFailed(Exception):
    """Something that the pilot stands for did not happen; says what."""


@dataclass(frozen=True, slots=True)
class Organisation:
    """A partner that gives data back, and the collections of the vocabulary that it does."""

    key: str
    name: str
    domain: str
    collections: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A company with a job of examples/jobs; it may be one of the partners."""

    job: str
    name: str
    contact: str


ORGANISATIONS: Final = (
    Organisation("bank", "Banque Exemple", "bank.example", ("accounts", "transactions")),
    Organisation("insurer", "Mutuelle Exemple", "insurer.example", ("contracts", "claims")),
    Organisation("energy", "Energie Exemple", "energy.example", ("contracts", "readings")),
    Organisation("shop", "Supermarché Exemple", "shop.example", ("receipts", "receipt_lines")),
)

SERVICES: Final = (
    Service("budget-categories", "Budget Friend", "privacy@budget.example"),
    Service("claims-prefilled", "Mutuelle Exemple", "dpo@insurer.example"),
    Service("standby-power", "Watt Advice", "privacy@watt.example"),
    Service("bike-or-car", "Ways of the City", "privacy@ways.example"),
)


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pilot. `day` is the people's today: data is of the month before its month, which jobs read."""

    people: int
    seed: int
    day: date
    relay_port: int
    """Where the relay listens."""
    port: int
    """Where people and organisations dial: a counter of bytes, which passes everything on to the relay."""

    @property
    def url(self) -> str:
        """What is dialled."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def month(self) -> date:
        """The first day of the last whole month."""
        return (self.day.replace(day=1) - timedelta(days=1)).replace(day=1)

    def two_devices(self, number: int) -> bool:
        """Whether a person has a phone beside the laptop: one in ten, the second one first."""
        return number % 10 == 1

    def service_of(self, number: int) -> Service:
        """The service that a person uses: they take turns."""
        return SERVICES[(number + self.seed) % len(SERVICES)]


@dataclass(frozen=True, slots=True)
class Places:
    """The pilot's folder."""

    folder: Path

    @property
    def plan(self) -> Path:
        """The plan, as JSON."""
        return self.folder / "plan.json"

    @property
    def relay(self) -> Path:
        """The relay's store and log."""
        return self.folder / "relay"

    @property
    def city(self) -> Path:
        """The city's home and key."""
        return self.folder / "city"

    @property
    def passphrase(self) -> Path:
        """Everybody's passphrase: it opens the homes of one pilot, and no one lives in them."""
        return self.folder / "passphrase"

    @property
    def catalogue(self) -> Path:
        """The address of the city's catalogue, which everybody may have."""
        return self.folder / "city" / "address"

    def organisation(self, key: str) -> Path:
        """A partner's folder: its key, its book, its batch."""
        return self.folder / key

    def service(self, job: str) -> Path:
        """A service's folder: its key, its job, its results."""
        return self.folder / f"service-{job}"

    @property
    def homes_folder(self) -> Path:
        """Where the people's folders are."""
        return self.folder / "people"

    def person(self, number: int) -> Path:
        """A person's folder: the home, and how far they came."""
        return self.homes_folder / f"{number:05}"

    def homes(self, number: int) -> tuple[Path, ...]:
        """The homes of a person's devices, the laptop's first."""
        return tuple(path for name in ("home", "phone") if (path := self.person(number) / name).exists())


def open_plan(places: Places, wanted: Plan) -> Plan:
    """The plan of a folder: the one that was begun there, else `wanted`, which is kept.

    Raises `PilotFailed` for a folder with another pilot in it, or with something else.
    """
    try:
        kept = msgspec.json.decode(places.plan.read_bytes(), type=Plan)
    except FileNotFoundError:
        if places.folder.exists() and any(places.folder.iterdir()):
            raise PilotFailed(f"{places.folder} has something else in it: choose an empty folder") from None
        places.folder.mkdir(parents=True, exist_ok=True)
        keep(places.plan, msgspec.json.encode(wanted))
        return wanted
    except msgspec.DecodeError:
        raise PilotFailed(f"{places.plan} is none of a pilot") from None
    if (kept.people, kept.seed) != (wanted.people, wanted.seed):
        raise PilotFailed(f"the pilot in {places.folder} has {kept.people} people and the seed {kept.seed}: "
                          "say the same to go on with it, or choose another folder")
    return kept


def keep(path: Path, content: bytes) -> None:
    """Replace a file: at any instant it is whole, or not there."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
