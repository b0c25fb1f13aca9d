"""chez import, on the real files."""

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
    assert sum(listed.values()) == first["added"]
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
    assert "added" in done.stdout and TEMPO.name in done.stdout
    assert owned.error("import", str(TEMPO), "--connector", "nonsense")["code"] == "NotFound"


def test_a_bar_at_the_terminal(chez: Chez) -> None:
    """At a terminal a bar shows how far the import is."""
    terminal = Terminal(chez.arguments("import", str(TEMPO)))
    assert terminal.finish() == 0
    assert "100 %" in terminal.seen and "█" in terminal.seen


@pytest.mark.slow
def test_a_year_of_half_hours(owned: Chez) -> None:
    """The Linky load curve comes in whole, and SQL counts it."""
    report = owned.json("import", str(DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"))
    assert report["added"] + report["rejected"] == 17_520
    [collection] = owned.lines("collections")
    assert collection["records"] == report["added"]
    counted = owned.lines("sql", f"select count(*) as c from {collection['name']}")
    assert counted == [{"c": report["added"]}]
