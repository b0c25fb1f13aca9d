"""What is outstanding in a space is remembered from one live change to the next, and only as long as it is true."""

from collections.abc import Iterator

import pytest

from chez.store.database import Connection
from chez.sync import intake, outstanding
from tests.sync.test_hearing import Family


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[outstanding.Outstanding]:
    """What was found, each time that the store was asked."""
    found: list[outstanding.Outstanding] = []

    def ask(db: Connection, space: int) -> outstanding.Outstanding:
        found.append(outstanding.outstanding(db, space))
        return found[-1]

    monkeypatch.setattr(intake, "outstanding", ask)
    return found


def changes(family: Family) -> Iterator[list[bytes]]:
    """What the founder sends of one field that it changes again and again."""
    number = 0
    while True:
        number += 1
        family.founder.records.put(family.founder.db, 1, "notes", "one", {"n": number})
        yield family.founder.sends()


def live() -> tuple[Family, Iterator[list[bytes]]]:
    """A device that has taken in a live change, and those that follow."""
    family = Family()
    made = changes(family)
    for _ in range(4):  # the first ones go through the document
        family.other.receives(next(made))
    return family, made


def shown(family: Family) -> object:
    """The field as the other device shows it."""
    row = family.other.records.rows.find(family.other.db, 1, "notes", "one")
    return None if row is None else row.value["n"]


def test_live_changes_ask_once(asked: list[outstanding.Outstanding]) -> None:
    """Nothing else was written in between, so nothing else can be outstanding."""
    family, made = live()
    asked.clear()
    for _ in range(5):
        family.other.receives(next(made))
    assert (asked, shown(family)) == ([], 9)


def test_what_was_written_in_between_is_found(asked: list[outstanding.Outstanding]) -> None:
    """Whoever wrote it: an entry that waited for the one that comes is taken in behind it."""
    family, made = live()
    first, second = next(made), next(made)
    asked.clear()
    family.other.db.execute("UPDATE cursor SET position = position + 1 WHERE space = 1")
    family.other.receives(second)  # parked
    assert (len(asked), shown(family)) == (2, 4)  # before it and, for it was no plain one, behind it
    family.other.db.execute("UPDATE cursor SET position = position - 2 WHERE space = 1")
    family.other.receives(first)
    assert (shown(family), family.other.count("parked")) == (6, 0)


def test_nothing_is_remembered_of_what_was_undone(asked: list[outstanding.Outstanding]) -> None:
    """The store counts changes that were undone as well; what they left is not there any more."""
    family, made = live()
    db, replica, page = family.other.db, family.other.replicas[1], next(made)
    asked.clear()
    db.execute("BEGIN")
    db.execute("INSERT INTO locked (space, id, epoch, relay, position, envelope) VALUES (1, x'00', x'00', 1, 0, x'00')")
    family.other.receives(page)
    assert [found.locked for found in asked] == [1]
    db.execute("ROLLBACK")
    replica.forget()
    family.other.records.forget()
    asked.clear()
    db.execute("BEGIN")
    family.other.receives(page)
    db.execute("COMMIT")
    assert [found.locked for found in asked] == [0, 0]  # before and, for the document was asked, behind it
    assert shown(family) == 5
