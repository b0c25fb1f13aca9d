"""journal at the command line: it reads like a diary, for people and for programs."""

import asyncio

import chez as sdk
from tests.cli.conftest import Pair
from tests.cli.support import PASSPHRASE, Chez


def test_the_journal_reads_like_a_diary(two: Pair) -> None:
    """What was done is told in sentences, in order; spaces go by the name they have now; --kind shows some alone."""
    laptop = two.laptop
    laptop.run("space", "create", "Trip")
    laptop.run("space", "rotate", "Trip")
    laptop.run("space", "rename", "Trip", "Rome")
    laptop.run("device", "rename", "phone", "pocket")
    told = [one["text"] for one in laptop.lines("journal")]
    assert told == [
        "You made this home, as device 'test'.", "You let in 'phone' as a device of yours.",
        "You made the space 'Trip'.", "You started epoch 2 in 'Rome': what is written since has new keys.",
        "You renamed 'Trip' to 'Rome'.", "You renamed device 'phone' to 'pocket'."]
    shown = laptop.run("journal").stdout.splitlines()
    assert len(shown) == 1 + len(told) and all(
        line.endswith(text) for line, text in zip(shown[1:], told, strict=True))
    only = laptop.run("journal", "--kind", "space-created").stdout.splitlines()
    assert len(only) == 2 and "'Trip'" in only[1]
    assert [one["text"] for one in two.phone.lines("journal")] == ["This home joined your others, as device 'phone'."]


def test_where_no_receipt_is_asked_for_it_is_said(chez: Chez) -> None:
    """A kind that there is nothing of, and former devices of a home that was no other: words, and no bare heading."""
    for words, said in ((("--kind", "importt"), "no such receipt"), (("--former",), "no other device before")):
        told = chez.run("journal", *words)
        assert told.stdout == "" and said in told.stderr.lower()
        assert chez.lines("journal", *words) == []


def test_receipts_that_others_write_are_told_and_steer_nothing(chez: Chez) -> None:
    """A package's kind is told by its sentence, a kind that nobody knows shown whole, and what is in it only shown."""
    asyncio.run(_write(chez, {"delivered": {"grant": "ab" * 32, "sequence": 3}, "app-did": {"n": "\x1b[2J\nx"},
                              "space-left": {"name": "\x1b[2J\nx"}, "invitation-asked": {
                                  "name": "x", "space": "ab" * 32, "relay": "\x1b[2J\nx"}}))
    delivered = chez.lines("journal")[1]["text"]
    assert delivered == "The message of run 3 by grant abababababab was delivered to its provider."
    shown = chez.run("journal").stdout
    assert "\x1b" not in shown and len(shown.splitlines()) == 6
    assert "app-did: {" in shown and "You left '\\x1b[2J\\nx'." in shown


async def _write(chez: Chez, receipts: dict[str, dict[str, object]]) -> None:
    async with sdk.open(chez.home, passphrase=PASSPHRASE) as home:
        for kind, body in receipts.items():
            await home.journal.append(kind, body)
