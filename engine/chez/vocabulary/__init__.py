"""The vocabulary: types of record on which jobs, apps, connectors and organisations meet.

    from chez.vocabulary import Reading, Transaction
    readings = home.collection(Reading)

Each type is a msgspec Struct. `__collection__` names the collection its records live
in; `__identity__` names the fields that say *which thing in the world* a record is
about. An imported record's id is derived from its identity alone, so that the same
line of a bank's export is the same record however often, and on however many devices,
it is imported; all other fields may change with a newer export.

Instants are aware datetimes in UTC, days are dates on the calendar of where they happened,
money is `Decimal` beside an ISO 4217 code. A store keeps them as RFC 3339 text, ISO 8601 text
and decimal text (`msgspec.to_builtins`). Units are in a field's name or its description.

**What changes, and what never does.** `__version__` counts a type's forms. A newer form may
add fields, each with a default; it never renames or removes one, gives it another type, or
another meaning, nor another identity or collection: that would be a new type, in a collection of
its own. So every record of an older form is one of the newer, an app that knows the older form
reads the newer, what it does not know survives its edits, and ids stay. Words that a field may
hold are open ("pos", "fee", ...) unless its type lists them: that list never grows.
"""

from typing import Final

import msgspec

from chez.vocabulary.calendars import Day, Event
from chez.vocabulary.energy import Colour, Consumption, Flow, Reading, TariffDay
from chez.vocabulary.health import Measurement, Workout
from chez.vocabulary.media import Activity, Viewing
from chez.vocabulary.money import Account, Balance, Transaction
from chez.vocabulary.people import Contact, Direction, Follow, Message, Post, Profile
from chez.vocabulary.places import Station, Trip, Visit
from chez.vocabulary.purchases import Claim, Contract, Receipt, ReceiptLine

__all__ = (
    "VOCABULARY", "Account", "Activity", "Balance", "Claim", "Colour", "Consumption", "Contact", "Contract", "Day",
    "Direction", "Event", "Flow", "Follow", "Measurement", "Message", "Post", "Profile", "Reading", "Receipt",
    "ReceiptLine", "Station", "TariffDay", "Transaction", "Trip", "Viewing", "Visit", "Workout",
)

VOCABULARY: Final[tuple[type[msgspec.Struct], ...]] = (
    Account, Balance, Transaction, Receipt, ReceiptLine, Contract, Claim,
    Reading, Consumption, TariffDay, Event, Day,
    Visit, Trip, Station, Measurement, Workout,
    Contact, Message, Profile, Follow, Post, Viewing, Activity,
)
"""Every type above, in the order of docs/vocabulary.md."""
