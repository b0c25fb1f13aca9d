"""put, get, edit, rm, ls, sql, with and without an owner."""

import json
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.support import Chez, Terminal
from tests.disks import only_read


def test_a_record_from_put_to_rm(either: Chez) -> None:
    """A record is put, shown, edited, listed, asked for in SQL, deleted, and then unknown: each time by a process."""
    either.inside, either.forked = False, True
    put = either.json("put", "notes", "monday", '{"title": "Tea", "cups": 2}')
    assert put == {"collection": "notes", "id": "monday"}
    assert either.json("get", "notes", "monday")["value"] == {"title": "Tea", "cups": 2}
    edited = either.json("edit", "notes", "monday", "cups=3", "with=[\"milk\"]")
    assert edited["value"] == {"title": "Tea", "cups": 3, "with": ["milk"]}
    edited = either.json("edit", "notes", "monday", "--unset", "with")
    assert edited["value"] == {"title": "Tea", "cups": 3}
    other = either.run("put", "notes", "title=Milk", "cups=0").stdout.strip()
    assert either.lines("ls", "notes", "--where", "cups>=1") == [edited]
    assert {one["id"] for one in either.lines("ls", "notes")} == {"monday", other}
    assert either.lines("ls") == [{"name": "notes", "records": 2}]
    found = either.lines("sql", "select title, cups from notes where cups > ?", "1")
    assert found == [{"title": "Tea", "cups": 3}]
    either.run("rm", "notes", "monday")
    assert either.error("get", "notes", "monday")["code"] == "NotFound"


def test_words_are_found(either: Chez) -> None:
    """Fields are declared once, words are found with what is around them, and before that one is told how."""
    either.run("put", "notes", "tea", "title=Green tea", "body=with milk")
    either.run("put", "notes", "milk", "title=Milk")
    assert "--field" in either.error("search", "notes", "tea")["hint"]
    found = either.lines("search", "notes", "--field", "title", "--field", "body", "MILK")
    assert [one["id"] for one in found] == ["milk", "tea"] and found[0]["snippet"] == "[Milk]"
    assert found[1]["value"]["title"] == "Green tea" and found[0]["rank"] <= found[1]["rank"]
    assert [one["id"] for one in either.lines("search", "notes", "gre*", "milk")] == ["tea"]
    assert either.lines("search", "notes", "tea green") == []
    people = either.run("search", "notes", "green tea").stdout
    assert "[Green] [tea]" in people or "[Green tea]" in people
    assert either.lines("search", "notes", "'\"*(") == []


def test_errors_are_the_same_with_and_without_an_owner(either: Chez) -> None:
    """Each mistake has its code, one line for people, and no stack trace."""
    either.run("put", "notes", "monday", "cups=1")
    cases = {
        ("get", "notes", "nobody"): "NotFound", ("edit", "notes", "nobody", "a=1"): "NotFound",
        ("rm", "notes", "nobody"): "NotFound", ("ls", "nothing"): "NotFound",
        ("put", "notes", "{broken"): "InvalidValue",
        ("sql", "delete from notes"): "", ("sql", "select"): "",
        ("edit", "notes", "monday", "--unset", "nothing"): "NotFound",
        ("put", "notes", "big", "n=99999999999999999999999999"): "",
    }
    too_long = either.error("put", "n" * 129, "a=1")
    assert too_long["code"] == "InvalidValue"
    assert too_long["message"] == "the collection must have at most 128 characters"
    assert either.error("put", "", "a=1")["message"] == "the collection is empty"
    large = either.error("put", "notes", "x", f"a={10 ** 30}")
    assert "does not fit 64 bits" in large["message"] and large["hint"] == "Store it as text."
    for words, hint in ((("space", "create", "a" * 65), "say it shorter"), (("space", "pick", "ab"), "give more of it"),
                        (("space", "create", ""), "give at least one character")):
        assert either.error(*words)["hint"] == hint
    for words, code in cases.items():
        error = either.error(*words)
        assert error["code"] != "Unexpected", (words, error)
        assert not code or error["code"] == code, (words, error)
    people = either.run("get", "notes", "nobody", code=1)
    assert people.stdout == "" and people.stderr.startswith("chez: ")
    assert either.json("get", "notes", "monday")["value"] == {"cups": 1}


def test_a_home_on_a_disk_that_is_only_read_is_read(chez: Chez) -> None:
    """An old disk, a snapshot: what is there is shown, and what would write says why it can't."""
    chez.run("put", "notes", "tea", "title=Tea")
    with only_read(chez.home):
        assert chez.json("get", "notes", "tea")["value"] == {"title": "Tea"}
        assert "Tea" in chez.run("ls", "notes").stdout
        assert "Tea" in chez.run("sql", "SELECT title FROM notes").stdout
        assert "sound" in chez.run("doctor").stdout
        assert chez.json("status")["records"] == 1
        for words in (("put", "notes", "milk", "title=Milk"), ("rm", "notes", "tea"), ("sync",)):
            told = chez.error(*words)
            assert told["code"] == "NotAllowed" and "nothing can be written there" in told["message"], told
            assert "disk is read-only" in told["hint"]
    chez.run("put", "notes", "milk", "title=Milk")


def test_a_wrong_command_line_is_exit_code_2(empty: Chez) -> None:
    """What is asked wrongly is told with how to ask, also as JSON."""
    for words in (("get", "notes"), ("put", "notes"), ("put", "notes", "a", "b"), ("nonsense",),
                  ("put", "notes", "a=1", "a=2"), ("edit", "notes", "tea", "a=1", "b=1", "a=1"),
                  ("ls", "notes", "--where", "x"), ("ls", "--limit", "3"), ("ls", "notes", "--limit", "-1")):
        assert empty.error(*words, code=2)["code"] == "Usage"
        assert "usage: chez" in empty.run(*words, code=2).stderr


@pytest.mark.slow
def test_many_records_from_a_file_and_back(owned: Chez, tmp_path: Path) -> None:
    """JSON Lines go in in batches, come out in pages, whole; tables stop at 100 and say so."""
    rows = [{"n": n, "text": f"number {n} " + "x" * 300} for n in range(2500)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    ids = owned.lines("put", "rows", "--file", str(file))
    assert len({one["id"] for one in ids}) == 2500
    assert sorted((one["value"] for one in owned.lines("ls", "rows")), key=lambda row: row["n"]) == rows
    shown = owned.run("ls", "rows", "--order-by", "n")
    assert len(shown.stdout.splitlines()) == 101 and "more" in shown.stderr
    assert [one["value"]["n"] for one in owned.lines("ls", "rows", "--order-by", "-n", "--limit", "3")] == [
        2499, 2498, 2497]
    assert owned.lines("sql", "select count(*) as c, max(n) as m from rows") == [{"c": 2500, "m": 2499}]
    assert len(owned.lines("sql", "select n from rows", "--limit", "10")) == 10


def test_a_file_of_records_has_a_bound(owned: Chez, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read whole may not fill memory: a device that never ends is refused, with what to do."""
    monkeypatch.setattr("chez.cli.values.MAX_FILE", 1 << 20)
    error = owned.error("put", "notes", "--file", "/dev/zero")
    assert error["message"] == "/dev/zero has more than 1 MiB" and error["hint"]


@pytest.mark.parametrize("bad", [b'{"_x":5}', b'{"x":%d}' % 2**70])
def test_of_a_file_with_a_record_that_is_refused_it_is_told_what_stays(
        chez: Chez, bad: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch goes in whole or not at all; whoever mends the file knows from where on it is to be put again."""
    monkeypatch.setattr("chez.cli.commands.records.BATCH_RECORDS", 2)
    lines = [b'{"x":%d}' % n for n in range(6)]
    done = chez.run("--json", "put", "a", "--file", "-", stdin=b"\n".join([*lines[:3], bad, *lines[4:]]), code=1)
    told = json.loads(done.stderr.splitlines()[-1])["error"]
    assert told["code"] == "InvalidValue" and "The first 2 of 6 were put before" in told["hint"]
    ids = {json.loads(line)["id"] for line in done.stdout.splitlines()}
    assert {(one["id"], one["value"]["x"]) for one in chez.lines("ls", "a")} == {*zip(
        sorted(ids, key=lambda id: int(chez.json("get", "a", id)["value"]["x"])), (0, 1), strict=True)}
    assert "put before" not in chez.error("put", "a", "--file", "-", stdin=b"\n".join([bad, *lines]))["hint"]


def test_records_from_standard_input(owned: Chez) -> None:
    """An array, one object and JSON Lines are all read; what is no record is named."""
    assert len(owned.lines("put", "a", "--file", "-", stdin=b'[{"x":1},{"x":2}]')) == 2
    assert owned.json("put", "a", "one", "--file", "-", stdin=b'{"x":3}') == {"collection": "a", "id": "one"}
    assert len(owned.lines("put", "a", "--file", "-", stdin=b'\xef\xbb\xbf{"x":4}\n\n{"x":5}\n')) == 2
    assert "line 2" in owned.error("put", "a", "--file", "-", stdin=b'{"x":4}\n{"x":\n')["message"]
    assert "line 3" in owned.error("put", "a", "--file", "-", stdin=b'{"x":4}\n\n{"x":\n')["message"]
    assert "record 2" in owned.error("put", "a", "--file", "-", stdin=b'[{"x":4}, 5]')["message"]
    assert owned.error("put", "a", "--file", "/nowhere/file")["code"] == "NotFound"
    assert owned.json("sql", "select count(*) as c from a") == {"c": 5}


def test_hostile_data_is_neutralised_everywhere(owned: Chez, tmp_path: Path) -> None:
    """Escape sequences in ids, fields, names and values never reach the terminal raw."""
    evil = "\x1b[2J\x1b]0;owned\x07\r\u202e\x9b1m[bold]x[/bold]"
    owned.run("put", "notes", "a", json.dumps({evil: evil, "title": evil}))
    for words in (("ls", "notes"), ("get", "notes", "a"), ("sql", "select * from notes"), ("ls",),
                  ("get", "notes", evil), ("ls", evil), ("put", evil, "a=1"), ("put", "notes", "--id", evil, "a=1"),
                  ("sql", evil), ("import", evil)):
        for options in ((), ("--json",)):
            terminal = Terminal(owned.arguments(*options, *words))
            terminal.finish()
            for raw in ("\x1b[2J", "\x1b]0", "\x07", "\u202e", "\x9b"):
                assert raw not in terminal.seen, (words, terminal.seen)
    # Markup in data is text too.
    terminal = Terminal(owned.arguments("ls", "notes"))
    terminal.finish()
    assert "[bold]" in terminal.seen


def test_an_editor_changes_only_what_changed(owned: Chez, tmp_path: Path) -> None:
    """$EDITOR gets the record as JSON; changed, new and removed fields become one change."""
    owned.run("put", "notes", "monday", '{"title": "Tea", "cups": 2, "gone": true}')
    editor = tmp_path / "editor.py"
    editor.write_text("import json, pathlib, sys\np = pathlib.Path(sys.argv[1])\n"
                      "v = json.loads(p.read_text())\n"
                      "v['cups'] = 3; v['new'] = [1]; del v['gone']\n"
                      "import os, time; p.write_text(json.dumps(v)); os.utime(p, (1, time.time() + 9))\n"
                      f"pathlib.Path({str(tmp_path / 'mode')!r}).write_text(oct(p.stat().st_mode))\n")
    done = owned.json("edit", "notes", "monday", env={"EDITOR": f"{sys.executable} {editor}"})
    assert done["value"] == {"title": "Tea", "cups": 3, "new": [1]}
    assert stat.S_IMODE(int((tmp_path / "mode").read_text(), 8)) == 0o600
    assert "nothing changed" in owned.run("edit", "notes", "monday", env={"EDITOR": "true"}).stderr


def test_what_was_written_in_an_editor_is_not_lost(owned: Chez, tmp_path: Path) -> None:
    """What is no JSON opens again as it was written, at a terminal, until it is or the person gives up."""
    owned.run("put", "notes", "monday", '{"title": "Tea"}')
    editor = tmp_path / "editor.py"
    editor.write_text("import os, pathlib, sys, time\np = pathlib.Path(sys.argv[1])\nv = p.read_text()\n"
                      "p.write_text(v.replace('Tea', 'Green tea').replace('}', ', }') if ', }' not in v\n"
                      "             else v.replace(', }', '}'))\nos.utime(p, (1, time.time() + 9))\n")
    env = {"EDITOR": f"{sys.executable} {editor}"}
    for answer, title in (("n\n", "Tea"), ("\n", "Green tea")):
        terminal = Terminal(owned.arguments("edit", "notes", "monday"), env)
        terminal.expect("Open it again?")
        assert "the edited record is no JSON" in terminal.seen
        terminal.type(answer)
        assert terminal.finish() == 0
        assert owned.json("get", "notes", "monday")["value"] == {"title": title}
    assert owned.run("edit", "notes", "monday", env=env, code=1).stderr.startswith("chez: the edited record is no JSON")


def test_without_a_terminal_no_editor_is_begun(owned: Chez, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that says no field is told so: the system's editor would wait for a person who is not there."""
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    owned.run("put", "notes", "monday", '{"title": "Tea"}')
    refused = owned.error("edit", "notes", "monday", code=2)
    assert "no terminal" in refused["message"] and "FIELD=VALUE" in refused["message"]


def test_rows_of_many_fields_are_blocks_where_they_do_not_fit(owned: Chez) -> None:
    """At a narrow terminal each record is a block, in which no word is broken and what is empty is left out."""
    fields = {f"field_{n}": f"value-{n}-of-many" for n in range(9)}
    owned.run("put", "wide", "a", json.dumps(fields))
    owned.run("put", "wide", "b", json.dumps({"field_3": "alone"}))
    for columns, word in (("80", "field_3  value-3-of-many"), ("400", "value-2-of-many   value-3-of-many")):
        terminal = Terminal(owned.arguments("ls", "wide"), {"COLUMNS": columns})
        assert terminal.finish() == 0
        assert word in terminal.seen
    terminal = Terminal(owned.arguments("ls", "wide"), {"COLUMNS": "80"})
    terminal.finish()
    blocks = terminal.seen.replace("\r", "").strip().split("\n\n")
    assert [line.split() for line in blocks[1].splitlines()] == [["id", "b"], ["field_3", "alone"]]


def test_tables_for_people(owned: Chez) -> None:
    """Without a terminal tables are plain and aligned; at one they are framed by rich."""
    owned.run("put", "notes", "a", "title=Tea", "cups=2")
    owned.run("put", "notes", "b", "title=Lemonade")
    plain = [line.split() for line in owned.run("ls", "notes", "--order-by", "cups").stdout.splitlines()]
    assert sorted(map(sorted, plain)) == [["2", "Tea", "a"], ["Lemonade", "b"], ["cups", "id", "title"]]
    terminal = Terminal(owned.arguments("ls", "notes"))
    assert terminal.finish() == 0
    assert "Lemonade" in terminal.seen and "─" in terminal.seen
