"""space list, create, show, and --space for commands about records: with and without an owner."""

from pathlib import Path

import pytest

from tests.cli.support import Chez


def test_a_space_from_create_to_show(either: Chez) -> None:
    """A space is made, listed beside the private one, filled, and shown with what it holds."""
    made = either.json("space", "create", "Trip to Rome")
    assert (made["name"], made["private"], made["records"], made["link"]) == ("Trip to Rome", False, 0, "off")
    either.run("put", "costs", "train", "euros=84", "--space", "Trip to Rome")
    either.run("put", "costs", "train", "euros=1")
    assert [(one["name"], one["records"]) for one in either.lines("space", "list")] == [
        ("private", 1), ("Trip to Rome", 1)]
    shown = either.json("space", "show", made["id"][:8])
    assert shown["id"] == made["id"] and shown["collections"] == [{"name": "costs", "records": 1}]
    for words in (("space", "list"), ("status",)):
        people = either.run(*words).stdout
        assert "Trip to Rome" in people and made["id"][:12] in people and "{" not in people


@pytest.mark.slow
def test_commands_about_records_take_a_space(either: Chez, tmp_path: Path) -> None:
    """Each command that reads or writes records means the space that is named, the private one by default."""
    either.run("space", "create", "Trip")
    where = ("--space", "Trip")
    for words in (("put", "notes", "a", "title=ours"), ("edit", "notes", "a", "cups=2"), ("get", "notes", "a")):
        either.run(*words, *where)
    assert either.error("get", "notes", "a")["code"] == "NotFound"
    assert either.error("ls", "notes")["code"] == "NotFound"
    assert [one["value"] for one in either.lines("ls", "notes", *where)] == [{"title": "ours", "cups": 2}]
    assert [one["id"] for one in either.lines("search", "notes", "--field", "title", "ours", *where)] == ["a"]
    assert len(either.lines("history", "notes", "a", *where)) == 2
    either.run("undo", "notes", "a", *where)
    assert either.json("get", "notes", "a", *where)["value"] == {"title": "ours"}
    file = tmp_path / "photo.txt"
    file.write_text("light")
    either.run("attach", "notes", "a", "photo", str(file), *where)
    either.run("fetch", "notes", "a", "photo", str(tmp_path / "back.txt"), *where)
    assert (tmp_path / "back.txt").read_text() == "light"
    assert either.json("blob", "status", *where)["known"] == 1 and either.json("blob", "status")["known"] == 0
    assert either.lines("ls") == [{"name": "notes", "records": 1}] == either.lines("collections", *where)
    found = either.lines("sql", "select _space, title from notes")
    assert found == [{"_space": "Trip", "title": "ours"}]
    either.run("rm", "notes", "a", *where)
    assert [one["id"] for one in either.lines("trash", "notes", *where)] == ["a"]


def test_files_go_into_and_out_of_a_space(either: Chez, tmp_path: Path) -> None:
    """import and export of one space, and an export of all that comes back to each."""
    either.run("space", "create", "Trip")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"title": "one"}\n{"title": "two"}\n')
    either.run("put", "notes", "--file", str(rows), "--space", "Trip")
    either.run("put", "notes", "mine", "title=mine")
    either.run("export", str(tmp_path / "trip"), "--space", "Trip")
    either.run("export", str(tmp_path / "all"))
    assert (tmp_path / "trip" / "records" / "notes.jsonl").read_text().count("\n") == 2
    assert (tmp_path / "all" / "records" / "notes.jsonl").read_text().count("\n") == 1
    report = either.json("import", str(tmp_path / "all"))
    assert (report["unchanged"], report["skipped"]) == (3, [])
    either.run("space", "create", "Copy")
    assert either.json("import", str(tmp_path / "trip"), "--space", "Copy")["added"] == 2


def test_mistakes_about_spaces(either: Chez) -> None:
    """A space that is not there, a name that can't be one or is taken, an option where it means nothing."""
    assert either.error("get", "notes", "a", "--space", "Nowhere")["code"] == "NotFound"
    assert either.error("space", "show", "Nowhere")["code"] == "NotFound"
    assert either.error("space", "create", "private")["code"] == "InvalidValue"
    assert either.error("space", "create", "Trip", "--relay", "nonsense")["code"] == "InvalidValue"
    assert either.error("status", "--space", "Trip", code=2)["code"] == "Usage"
