"""chez import, on the real files."""

import json
import os
import re
import shutil
import signal
from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.cli.support import Chez, Terminal

DATA = Path(__file__).parents[1] / "data"
TEMPO = DATA / "energy-linky-fr" / "tempo_days_2014.csv"
BANK = DATA / "bank-ofx"


def test_importing_twice_changes_nothing(either: Chez) -> None:
    """A file is recognised, read, reported; the second time everything is unchanged."""
    first = either.json("import", str(TEMPO))
    assert first["added"] > 300 and first["unchanged"] == 0 and first["file"] == str(TEMPO)
    listed = {one["name"]: one["records"] for one in either.lines("collections")}
    assert sum(listed.values()) == first["added"] and first["collections"] == list(listed)
    again = either.json("import", str(TEMPO))
    assert (again["added"], again["updated"]) == (0, 0) and again["unchanged"] == first["added"]


def test_a_relative_path_is_the_callers(owned: Chez, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner sits in another folder; the path still means what it means here."""
    monkeypatch.chdir(BANK)
    assert owned.json("import", "checking.ofx")["added"] > 0


def test_bad_rows_are_told_with_line_and_reason_and_good_ones_kept(owned: Chez, tmp_path: Path) -> None:
    """Rejects are no failure: exit code 0, each with its line and reason, for people and programs."""
    lines = TEMPO.read_text().splitlines()
    lines[5] = "not a row \x1b[2J at all"
    file = tmp_path / "broken.csv"
    file.write_text("\n".join(lines))
    report = owned.json("import", str(file), "--connector", owned.json("import", str(TEMPO))["connector"])
    assert [reject["line"] for reject in report["rejects"]] == [6] and report["rejects"][0]["reason"]
    people = owned.run("import", str(file))
    assert "1 rejected" in people.stdout and "line 6: " in people.stderr and "\x1b" not in people.stderr


def test_what_can_not_be_read_is_an_error_and_the_rest_goes_on(owned: Chez, tmp_path: Path) -> None:
    """Unknown format, empty, folder, missing: exit code 1, and the good file is imported all the same."""
    (tmp_path / "noise").write_bytes(bytes(range(256)))
    (tmp_path / "empty").touch()
    names = [str(tmp_path / "noise"), str(tmp_path / "empty"), str(tmp_path), str(tmp_path / "nowhere")]
    done = owned.run("import", *names, str(TEMPO), code=1)
    assert len([line for line in done.stderr.splitlines() if line.startswith("chez: ")]) == 4
    assert f"chez: {tmp_path / 'empty'} is empty\n" in done.stderr
    assert "chez import --formats" in done.stderr and "Enedis" not in done.stderr
    assert "added" in done.stdout and TEMPO.name in done.stdout
    assert owned.error("import", str(TEMPO), "--connector", "nonsense")["code"] == "NotFound"


def test_the_name_of_a_file_is_on_its_line(owned: Chez, tmp_path: Path) -> None:
    """One that breaks lines can't pretend to be a second report; one that is no text is named, with what to do."""
    forged = tmp_path / "days.csv\nbank.ofx: ofx, 12 added"
    forged.write_bytes(TEMPO.read_bytes())
    done = owned.run("import", str(forged))
    assert done.stdout.startswith("days.csv\\nbank.ofx") and len(done.stdout.splitlines()) == 1
    latin = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9t\xe9.csv")
    Path(latin).write_bytes(TEMPO.read_bytes())
    error = owned.error("import", latin)
    assert "no text" in error["message"] and error["hint"].startswith("rename the file")


def test_an_empty_name_is_that_of_no_file(owned: Chez) -> None:
    """As of a variable that is not set: all of the folder where the command ran was read."""
    assert "an empty name is that of no file" in owned.run("import", "", code=2).stderr
    assert owned.lines("imports") == []


def test_the_formats_are_listed_without_a_home(empty: Chez) -> None:
    """`--formats` names every connector, for people and programs."""
    names = [one["connector"] for one in empty.lines("import", "--formats")]
    assert {"linky", "ofx", "icalendar"} <= set(names)
    assert all(name in empty.run("import", "--formats").stdout for name in names)


def test_a_bar_at_the_terminal(chez: Chez) -> None:
    """At a terminal a bar shows how far the import is."""
    terminal = Terminal(chez.arguments("import", str(TEMPO)))
    assert terminal.finish() == 0
    assert "100 %" in terminal.seen and "█" in terminal.seen


@pytest.mark.slow
def test_a_bar_is_as_wide_as_there_is_room(chez: Chez) -> None:
    """At a narrow terminal the figures stay whole, and a terminal that can't draw a line anew gets no bar."""
    for columns, bar in (("40", "import  "), ("48", "█ ")):
        narrow = Terminal(chez.arguments("import", str(TEMPO)), {"COLUMNS": columns})
        assert narrow.finish() == 0
        assert re.search(rf"{bar}100 %  ([\d,]+) of \1", narrow.seen)
    dumb = Terminal(chez.arguments("import", str(TEMPO)), {"TERM": "dumb"})
    assert dumb.finish() == 0
    assert "unchanged" in dumb.seen and "\x1b" not in dumb.seen and "█" not in dumb.seen


def test_keep_read_again_and_list(owned: Chez, tmp_path: Path) -> None:
    """--keep keeps the file, --again reads it when it is gone, and `chez imports` lists both imports."""
    file = tmp_path / "days.csv"
    file.write_text("".join(TEMPO.read_text().splitlines(keepends=True)[:20]))
    assert owned.run("import", "--keep", str(file)).stdout.strip().endswith("20 added, 0 updated, 0 unchanged, "
                                                                           "0 rejected, kept")
    file.unlink()
    [again] = owned.lines("import", "--again")
    assert (again["file"], again["unchanged"], again["added"]) == ("days.csv", 20, 0)
    first, second = owned.lines("imports")
    [day, *_] = owned.lines("ls", "tariff_days")
    owned.run("put", "tariff_days", day["id"], json.dumps({**day["value"], "colour": "mine"}))
    told = owned.run("import", "--again")
    assert "20 unchanged (1 with what you changed in them)" in told.stdout and "--overwrite" in told.stderr
    assert (first["file"], first["connector"], first["added"], second["unchanged"]) == ("days.csv", "tempo", 20, 20)
    assert "1 updated, 19 unchanged, 0" in owned.run("import", "--again", "--overwrite").stdout
    assert owned.lines("get", "tariff_days", day["id"])[0]["value"]["colour"] == day["value"]["colour"]
    shown = owned.run("imports").stdout
    assert "days.csv" in shown and "tempo/1" in shown and first["sha256"][:12] in shown


def test_rejects_go_into_a_file(owned: Chez, tmp_path: Path) -> None:
    """--rejects writes every rejected row with file, line and reason, for its owner alone, and overwrites nothing."""
    file, rejects = tmp_path / "days.csv", tmp_path / "rejects.jsonl"
    file.write_text(TEMPO.read_text()[:200] + "\nno day\n" * 25)
    owned.run("import", "--rejects", str(rejects), str(file))
    found = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert len(found) >= 25 and {one["file"] for one in found} == {str(file)}
    assert all(one["line"] > 1 and one["reason"] for one in found) and rejects.stat().st_mode & 0o77 == 0
    assert owned.error("import", "--rejects", str(rejects), str(file))["code"] == "InvalidValue"


def test_a_full_disk_that_takes_no_rejects_is_said(
        owned: Chez, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a typed error that names the file; what was imported stays."""
    file = tmp_path / "days.csv"
    file.write_text(TEMPO.read_text()[:200] + "\nno day\n" * 25)
    with monkeypatch.context() as disk:
        disk.setattr("chez.cli.commands.importing.os.fdopen",
                     lambda *_, **__: open("/dev/full", "w", encoding="utf-8"))
        failed = owned.error("import", "--rejects", str(tmp_path / "rejects.jsonl"), str(file))
    assert failed["code"] == "StorageFailed" and "rejects.jsonl can't be written: No space" in failed["message"]
    assert owned.json("import", str(file))["added"] == 0


def test_files_or_again(owned: Chez, tmp_path: Path) -> None:
    """Neither files nor --again, or both, is a mistake of the command line; nothing kept is told."""
    owned.run("import", code=2)
    owned.run("import", "--again", "--keep", code=2)
    assert "no export is kept" in owned.run("import", "--again").stderr


def test_a_folder_is_the_zip_that_was_unpacked_into_it(owned: Chez, tmp_path: Path) -> None:
    """A folder's files come home with their place in it, are kept as a zip, and are there when the zip is imported; a
    foreign manifest.json makes no export of Chez of it."""
    folder = tmp_path / "bank"
    (folder / "2014").mkdir(parents=True)
    (folder / "2014" / "days.csv").write_text("".join(TEMPO.read_text().splitlines(keepends=True)[:20]))
    (folder / "manifest.json").write_text("{}")
    (folder / "away").symlink_to(BANK, target_is_directory=True)
    report = owned.json("import", "--keep", str(folder))
    assert (report["connector"], report["added"], report["kept"]) == ("zip", 20, True)
    assert {one["member"]: one["reason"] for one in report["rejects"]} == {
        "away": "it is a link, and links are not followed", "manifest.json": "no connector knows this file"}
    packed = shutil.make_archive(str(tmp_path / "bank"), "zip", folder / "2014", ".")
    assert owned.json("import", packed)["unchanged"] == 20
    shutil.rmtree(folder)
    [again] = owned.lines("import", "--again")
    assert (again["file"], again["unchanged"], again["rejected"]) == ("bank", 20, 1)


@pytest.mark.slow
def test_ctrl_c_and_on_again(chez: Chez, tmp_path: Path) -> None:
    """Interrupted in the middle, an import ends with 130, and the next one goes on from there and says so."""
    rows, start = 15_000, date(1950, 1, 1)
    file = tmp_path / "days.csv"
    file.write_text("".join(f"{start + timedelta(days=n):%d/%m/%Y};BLEU\n" for n in range(rows)))
    terminal = Terminal(chez.arguments("import", str(file)))
    terminal.expect_like(r"\b[1-9]\d %")
    terminal.interrupt(group=True)
    # A key pressed once more while the process ends finds nobody: the system ends it, which is 130 to a shell too.
    assert terminal.finish() in (130, -signal.SIGINT) and "interrupted" in terminal.seen
    report = chez.json("import", str(file))
    assert 0 < report["resumed"] <= report["unchanged"] < rows
    assert report["added"] + report["unchanged"] == rows


@pytest.mark.slow
def test_a_year_of_half_hours(owned: Chez) -> None:
    """The Linky load curve comes in whole, and SQL counts it."""
    report = owned.json("import", str(DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"))
    assert report["added"] + report["rejected"] == 17_520
    [collection] = owned.lines("collections")
    assert collection["records"] == report["added"]
    counted = owned.lines("sql", f"select count(*) as c from {collection['name']}")
    assert counted == [{"c": report["added"]}]
