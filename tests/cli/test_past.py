"""history, undo, redo, conflicts, resolve, trash, undelete, purge."""

import asyncio
import json
import re
from pathlib import Path

import pytest

import chez as sdk
from tests.cli.conftest import Pair
from tests.cli.support import PASSPHRASE, Chez


def test_a_record_goes_back_and_forth(either: Chez) -> None:
    """Changes are listed and named by the beginning of their hash, shown at a point, compared, undone and redone."""
    either.run("put", "notes", "tea", "title=Tea", "cups=1")
    either.run("edit", "notes", "tea", "cups=2")
    newest, oldest = either.lines("history", "notes", "tea")
    assert (newest["kind"], newest["fields"]) == ("edited", ["cups"]) and newest["device_name"] and newest["time"]
    assert either.json("history", "notes", "tea", "--at", oldest["hash"][:8])["value"] == {"title": "Tea", "cups": 1}
    assert either.lines("history", "notes", "tea", "--diff", oldest["hash"]) == [
        {"field": "cups", "kind": "changed", "before": 1, "after": 2}]
    assert either.lines("history", "notes", "tea", "--limit", "1", "--before", newest["hash"][:8]) == [oldest]
    assert either.json("undo", "notes", "tea") == {"change": newest["hash"], "fields": ["cups"], "left": []}
    assert either.json("get", "notes", "tea")["value"]["cups"] == 1
    assert "done again: cups" in either.run("redo", "notes", "tea").stdout
    assert either.json("get", "notes", "tea")["value"]["cups"] == 2


@pytest.mark.slow
def test_an_undo_that_changes_nothing_does_not_say_that_it_did(owned: Chez, tmp_path: Path) -> None:
    """What an import wrote over an edit stays, where that had set the field back to what an import had given: the edit
    is told as not undone, and the field as written since."""
    first = Path(__file__).parents[1] / "data" / "bank-ofx" / "checking.ofx"
    owned.run("import", str(first))
    one = owned.lines("ls", "transactions")[0]
    for name in ("Mine", one["value"]["name"]):
        owned.run("edit", "transactions", one["id"], f"name={name}")
    (tmp_path / "newer.ofx").write_text(first.read_text().replace(one["value"]["name"], "As it was booked"))
    owned.run("import", str(tmp_path / "newer.ofx"))
    done = owned.run("undo", "transactions", one["id"])
    assert done.stdout.startswith("nothing of change ") and done.stdout.endswith(" is undone\n")
    assert done.stderr == "left as it was written since, by others or by an import: name\n"
    assert owned.json("get", "transactions", one["id"])["value"]["name"] == "As it was booked"


def test_what_was_done_in_one_sitting_is_one_line(owned: Chez) -> None:
    """Edits of the same fields in a row are one line for people, and each one with --each or --json."""
    owned.run("put", "notes", "tea", "title=Tea", "cups=1")
    for cups in (2, 3):
        owned.run("edit", "notes", "tea", f"cups={cups}")
    lines = owned.run("history", "notes", "tea").stdout.splitlines()
    assert len(lines) == 3 and "edited, 2 times since" in lines[1]
    assert len(owned.run("history", "notes", "tea", "--each").stdout.splitlines()) == 4
    assert [one["count"] for one in owned.lines("history", "notes", "tea")] == [1, 1, 1]


def test_what_is_deleted_is_in_the_trash(owned: Chez) -> None:
    """It is listed with who and when, comes back, and once purged never does; a purge looks, and asks, first."""
    owned.run("put", "notes", "tea", "title=Tea")
    owned.run("rm", "notes", "tea")
    (found,) = owned.lines("trash", "notes")
    assert (found["id"], found["value"]) == ("tea", {"title": "Tea"}) and found["device_name"] and found["time"]
    owned.run("undelete", "notes", "tea")
    assert owned.lines("trash", "notes") == []
    for identity, code in (("tea", "NotAllowed"), ("milk", "NotFound")):
        asked = owned.run("purge", "notes", identity, "--json", code=1)  # nobody is there to say yes
        assert (json.loads(asked.stderr)["error"]["code"], asked.stdout) == (code, "")
    assert owned.json("get", "notes", "tea")["value"] == {"title": "Tea"}
    owned.run("purge", "notes", "tea", "--yes")
    assert owned.error("get", "notes", "tea")["code"] == "NotFound"
    assert owned.error("put", "notes", "tea", "title=Tea")["code"] == "RecordPurged"
    assert [one["kind"] for one in owned.lines("journal", "--kind", "purge")] == ["purge"]


def test_the_trash_and_conflicts_of_everything(owned: Chez) -> None:
    """Without a collection they are of all spaces, each row with where it is from, for people only as far as needed."""
    owned.run("put", "notes", "tea", "title=Tea")
    owned.run("put", "books", "sea", "title=Sea")
    assert owned.lines("trash") == owned.lines("conflicts") == owned.lines("conflicts", "notes") == []
    owned.run("rm", "notes", "tea")
    owned.run("rm", "books", "sea")
    assert [(one["space"], one["collection"], one["id"]) for one in owned.lines("trash")] == [
        ("private", "books", "sea"), ("private", "notes", "tea")]
    assert len(owned.lines("trash", "--limit", "1")) == 1
    assert owned.run("trash").stdout.split()[:2] == ["collection", "id"]
    owned.run("space", "create", "Our trip")
    owned.run("put", "notes", "map", "title=Map", "--space", "Our trip")
    owned.run("rm", "notes", "map", "--space", "Our trip")
    assert owned.run("trash").stdout.split()[:2] == ["space", "collection"]
    assert [one["id"] for one in owned.lines("trash", "--limit", "2")] == ["map", "sea"]  # the last ones of all spaces
    assert [one["id"] for one in owned.lines("trash", "--space", "Our trip")] == ["map"]
    assert [one["id"] for one in owned.lines("trash", "notes")] == ["tea"]


@pytest.mark.slow
def test_conflicts_are_told_in_the_persons_language(two: Pair) -> None:
    """In English and in French: the columns, and that there is none; the number that is shown is what resolve takes."""
    two.laptop.run("put", "notes", "tea", "title=Tea")
    two.laptop.run("sync")
    two.phone.run("sync")
    for device, title in ((two.laptop, "Thé vert"), (two.phone, "Thé noir")):
        device.run("edit", "notes", "tea", f"title={title}")
    two.laptop.run("sync")
    two.phone.run("sync")
    heads, *rows = two.phone.run("conflicts", "notes", "--language", "fr").stdout.splitlines()
    assert heads.split() == ["collection", "id", "champ", "numéro", "appareil", "valeur"] and len(rows) == 2
    assert two.phone.run("conflicts", "notes", "tea").stdout.split()[:4] == ["field", "number", "device", "value"]
    two.phone.run("resolve", "notes", "tea", "title", "2")
    for words, said in ((), "d'un enregistrement n'a"), (("notes",), "de « notes » n'a"), (("notes", "tea"), "de cet"):
        assert said in two.phone.run("conflicts", *words, "--language", "fr").stderr
    assert "of a record of 'notes' has more than one" in two.phone.run("conflicts", "notes").stderr


def test_the_trash_of_everything_has_what_one_publishes(owned: Chez) -> None:
    """A public space that this person writes in is among the spaces whose trash and conflicts are shown."""
    owned.run("space", "create", "Open data", "--public")
    owned.run("put", "notes", "map", "title=Map", "--space", "Open data")
    owned.run("rm", "notes", "map", "--space", "Open data")
    assert [(one["space"], one["id"]) for one in owned.lines("trash")] == [("Open data", "map")]


def test_a_record_that_can_not_be_read_is_named(chez: Chez) -> None:
    """`chez conflicts` goes on past a damaged record, and ends by saying which it is, how many more, and what to do."""
    for id in ("milk", "tea"):
        chez.run("put", "notes", id, "title=Tea")
        chez.run("edit", "notes", id, "title=Milk")
    asyncio.run(_spoil(chez))
    error = chez.error("conflicts", "notes")
    assert error["code"] == "Damaged" and "chez doctor" in error["hint"]
    assert "record 'milk' in 'notes' can't be read" in error["message"]
    assert error["message"].endswith("; nor can 1 other record")
    assert chez.error("conflicts", "notes", "tea")["code"] == "Damaged"
    assert chez.error("purge", "notes", "tea")["code"] == "NotAllowed"  # it is there, and nobody is to say yes


async def _spoil(chez: Chez) -> None:
    async with sdk.open(chez.home, passphrase=PASSPHRASE) as home:
        await home._database.write(lambda db: db.execute("UPDATE change SET bytes = substr(bytes, 1, 40)"))


def test_who_finds_no_record_is_told_where_it_is(owned: Chez) -> None:
    """In the trash, in another space, or among what the collection has; a collection of another space is told too, and
    what else was wrong with a record that is there keeps its own words."""
    owned.run("space", "create", "Our trip")
    owned.run("put", "notes", "tea", "title=Tea", "--space", "Our trip")
    assert "notes" in owned.run("ls").stdout
    assert owned.error("ls", "notes") == {
        "code": "NotFound", "message": "there is no collection 'notes' in the space 'private'",
        "hint": "It is in the space 'Our trip': --space 'Our trip'"}
    assert owned.error("ls", "nothing") == {
        "code": "NotFound", "message": "there is no collection 'nothing' in this home",
        "hint": "chez ls shows which there are"}
    for words in (("get",), ("edit", "cups=2"), ("rm",), ("history",), ("undo",), ("fetch", "photo"), ("undelete",)):
        hint = owned.error(words[0], "notes", "tea", *words[1:])["hint"]
        assert hint == "It is in the space 'Our trip': --space 'Our trip'", words
    there = ("--space", "Our trip")
    assert owned.error("get", "notes", "x", *there)["hint"].startswith("chez ls notes --space 'Our trip' lists")
    assert owned.error("get", "nothing", "tea")["hint"] == "chez ls shows which collections there are"
    owned.run("rm", "notes", "tea", *there)
    assert "chez undelete notes tea --space 'Our trip'" in owned.error("get", "notes", "tea", *there)["hint"]
    owned.run("undelete", "notes", "tea", *there)
    assert "leave out what it has not" in owned.error("edit", "notes", "tea", "--unset", "cups", *there)["hint"]


def test_mistakes_are_told(owned: Chez) -> None:
    """What there is nothing of has its code, one line for people, and no stack trace."""
    owned.run("put", "notes", "tea", "title=Tea")
    cases = {
        ("history", "notes", "nobody"): "NotFound", ("history", "notes", "tea", "--at", "0000"): "NotFound",
        ("history", "notes", "tea", "--at", "x"): "InvalidValue", ("redo", "notes", "tea"): "NotFound",
        ("undo", "notes", "nobody"): "NotFound", ("undelete", "notes", "tea"): "NotFound",
        ("trash", "a b"): "InvalidValue", ("conflicts", "a b"): "InvalidValue",
        ("resolve", "notes", "tea", "title", "1"): "NotFound", ("purge", "notes", "nobody", "--yes"): "NotFound",
    }
    for words, code in cases.items():
        assert owned.error(*words)["code"] == code, words
    assert owned.lines("conflicts", "notes", "tea") == [] and owned.lines("trash", "nothing") == []
    for words in (["conflicts", "notes", "tea"], ["trash", "nothing"], ["contact", "list"], ["deposits"]):
        none = owned.run(*words)
        assert not none.stdout and none.stderr.strip().endswith("."), "no bare heads of a table: a sentence"
    plain = [line.split() for line in owned.run("history", "notes", "tea").stdout.splitlines()]
    assert plain[0] == ["change", "when", "device", "what", "fields"] and plain[1][-2:] == ["created", "title"]


def test_times_for_people_and_for_programs(owned: Chez) -> None:
    """People read local time to the second, everywhere alike; --json has all that is known, in UTC."""
    owned.run("put", "notes", "tea", "title=Tea")
    owned.run("rm", "notes", "tea")
    iso = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+05:30"
    for words in (("history", "notes", "tea"), ("trash", "notes"), ("journal",)):
        shown = owned.run(*words, env={"TZ": "Asia/Kolkata"}).stdout.splitlines()
        assert len(shown) > 1 and all(len(re.findall(iso, line)) == 1 for line in shown[1:]), shown
        for one in owned.lines(*words):
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z", one["time"]), one
