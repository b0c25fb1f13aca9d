"""A city and a person, each at a command line."""

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.support import Chez, running_relay, within
from tests.opendata.support import LICENCE, stations, table
from tests.ports import free_port


@pytest.fixture
def city(tmp_path: Path) -> Iterator[Chez]:
    """The publisher's home, in this process."""
    yield from home(tmp_path, "city")


@pytest.fixture
def anna(tmp_path: Path) -> Iterator[Chez]:
    """A person's home, in this process."""
    yield from home(tmp_path, "anna")


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """A relay's."""
    with running_relay(tmp_path / "relay", free_port()) as running:
        yield running


def home(folder: Path, name: str) -> Iterator[Chez]:
    """A fresh home."""
    made = Chez(folder / name, folder / f"{name}-passphrase", inside=True)
    made.init()
    yield made
    made.end()


def test_a_time_that_is_in_no_calendar_keeps_no_versions_from_being_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A publisher may sign any number of seconds up to 2^40: it is shown as that number."""
    common: dict[str, Any] = {"rows": 1, "added": 1, "changed": 0, "removed": 0, "whole": True}
    said = {"head": "2:ab", "editions": [{"number": number, "time": seconds, **common}
                                         for number, seconds in ((2, 2**40), (1, 1_790_000_000))]}
    monkeypatch.setattr("chez.cli.commands.data.call", lambda *_: said)
    done = within("python -m chez data versions velov --language en".split(), b"")
    assert done.returncode == 0 and "1099511627776" in done.stdout and "2026-09-21 14:13 UTC" in done.stdout


@pytest.mark.slow
def test_a_city_publishes_and_a_person_looks_up(city: Chez, anna: Chez, url: str, tmp_path: Path) -> None:
    """With the commands alone a dataset is described, published, found, shown, subscribed, queried, updated, gone back
    in, exported and left; a file with broken rows is refused with their lines, and a terminal is steered by nothing in
    it."""
    for one in (city, anna):
        one.run("relay", "set", url)
    key, about = tmp_path / "key", tmp_path / "velov.toml"
    said = city.json("publisher", "new-key", "--out", str(key), "--title", "Données", "--name", "Grand Lyon",
                     "--contact", "data@example.org", "--language", "fr")
    assert city.json("publisher", "show-key", "--key", str(key)) == said
    about.write_text(f'id = "velov"\ntitle = "Stations Vélo\'v"\ndescription = "Where bikes\\u001b[31m are."\n'
                     f'licence = "{LICENCE}"\nthemes = ["TRAN"]\nidentity = ["id"]\n', "utf-8")
    described = city.json("publisher", "describe", str(about), "--key", str(key))
    assert described["published"][0]["rows"] == 2 and described["sync"] == ""
    anna.run("data", "add", described["address"])
    assert "not here" in anna.run("data", "search", "VELO").stdout
    assert anna.error("data", "subscribe", "velov")["code"] == "NotFound"

    path = table(tmp_path, [*stations(9), ("x",)])
    publish = ("publisher", "publish", str(path), "--about", str(about), "--key", str(key))
    refused = city.run(*publish, code=1).stderr
    assert "line 11: the row has 1 cells" in refused and "nothing was published" in refused
    assert "9 rows: 9 added" in city.run(*publish, "--partly").stdout
    assert "Nothing changed" in city.run(*publish, "--partly").stdout
    anna.run("data", "update")
    (hit,) = anna.lines("data", "search", "stat", "vélo", "--theme", "tran")
    assert (hit["id"], hit["rows"], hit["subscribed"]) == ("velov", 9, False)
    assert anna.lines("data", "search", "nothing") == []
    assert "version 1, 9 rows in open_velov" in anna.run("data", "subscribe", "velov").stdout
    shown = anna.run("data", "show", "velov")
    assert said["words"] in shown.stdout and "\x1b" not in shown.stdout and "open_velov, 9 rows" in shown.stdout
    assert "Station 3" in anna.run("sql", "select name from open_velov where bikes = 3").stdout

    table(tmp_path, stations(10, n3=55))
    assert "1 added, 1 changed, 0 removed" in city.run(*publish).stdout
    assert "version 2, 10 rows" in anna.run("data", "update").stdout
    assert [one["number"] for one in anna.json("data", "versions", "velov")["editions"]] == [2, 1]
    old = [json.loads(line)["value"] for line in anna.run("data", "versions", "velov", "--at", "1").stdout.splitlines()]
    assert sorted(row["id"] for row in old) == list(range(9)) and all(row["bikes"] != 55 for row in old)
    (exported,) = anna.lines("data", "export")
    assert exported["dcat:dataset"][0]["dcat:version"] == "2"
    assert "velov: unsubscribed" in anna.run("data", "unsubscribe", "velov").stdout
    assert anna.json("data", "list")["datasets"] == []
    assert city.json("publisher", "withdraw", "velov", "--anew", "--key", str(key))["published"][0]["removed"] == 1
    anna.run("data", "update")
    assert anna.error("data", "show", "velov")["code"] == "NotFound"
    assert city.error("publisher", "withdraw", "velov", "--key", str(key))["code"] == "NotFound"
    assert anna.error("data", "remove", "Nothing")["code"] == "NotFound"
    anna.run("data", "remove", "Open data")
    assert anna.json("data", "update")["catalogues"] == [] and "Open data" not in anna.run("space", "list").stdout


@pytest.mark.slow
def test_a_publisher_that_is_killed_publishes_again(city: Chez, anna: Chez, url: str, tmp_path: Path) -> None:
    """Killed after the first of several versions of a large table was written, the command is run again and goes on
    from there; who subscribed in between had what was signed, and has all of it then."""
    for one in (city, anna):
        one.run("relay", "set", url)
    key, about = tmp_path / "key", tmp_path / "large.toml"
    city.run("publisher", "new-key", "--out", str(key), "--title", "Data", "--name", "City", "--contact", "x@y.org")
    about.write_text(f'id = "large"\ntitle = "A large table"\ndescription = "Rows."\nlicence = "{LICENCE}"\n'
                     'identity = ["id"]\n')
    path = table(tmp_path, stations(6_000))
    command = city.arguments("publisher", "publish", str(path), "--about", str(about), "--key", str(key))
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout is not None
        assert b"version 1, 5,000 rows" in running.stdout.readline()
        running.kill()
    done = city.lines("publisher", "publish", str(path), "--about", str(about), "--key", str(key))
    numbers = [part["number"] for one in done for part in one["published"] if part["dataset"] == "large"]
    assert numbers in ([2], [])  # it may have been quicker than its end
    anna.run("data", "add", city.run("space", "address", "Open data").stdout.strip())
    assert anna.json("data", "subscribe", "large")["rows"] == 6_000
    assert anna.json("data", "show", "large")["here"]["problem"] is None


@pytest.mark.slow
def test_a_publisher_goes_on_with_a_new_key(city: Chez, anna: Chez, url: str, tmp_path: Path) -> None:
    """`succeed` makes a key file and has the new key sign what the former one did; cut off before that, `renew` goes
    on. The former key is refused, and a follower is told once, in English or French, with both keys in words."""
    for one in (city, anna):
        one.run("relay", "set", url)
    old, new, lost = tmp_path / "key", tmp_path / "new", tmp_path / "lost"
    said = city.json("publisher", "new-key", "--out", str(old), "--title", "Data", "--name", "City", "--contact",
                     "x@y.org")
    (tmp_path / "velov.toml").write_text(f'id = "velov"\ntitle = "Bikes"\ndescription = "x"\nlicence = "{LICENCE}"\n')
    describe = ("publisher", "describe", str(tmp_path / "velov.toml"), "--key")
    anna.run("data", "add", city.json(*describe, str(old))["address"])
    cut = city.run("publisher", "succeed", "--key", str(old), "--out", str(lost), "--catalogue", "Nothing", code=1)
    assert f"`chez publisher renew --key {lost} --catalogue Nothing`" in cut.stderr and lost.exists()
    assert city.error("publisher", "succeed", "--key", str(old), "--out", str(lost))["code"] == "HomeExists"
    assert city.lines("publisher", "renew", "--key", str(lost))[0]["published"][0]["dataset"] == "catalogue"
    anna.run("sync")
    assert anna.error("data", "subscribe", "velov")["code"] == "NotFound"  # nothing of it is there, nor anything noted
    city.run("publisher", "publish", str(table(tmp_path, stations(2))), "--about", str(tmp_path / "velov.toml"),
             "--key", str(lost))
    anna.run("sync")
    assert "NEW KEY  Open data" in anna.run("data", "subscribe", "velov").stdout
    *done, made = city.lines("publisher", "succeed", "--key", str(lost), "--out", str(new))
    assert [one["published"][0]["number"] for one in done] == [2, 4] and new.stat().st_mode & 0o77 == 0
    assert city.lines("publisher", "renew", "--key", str(new)) == [{"published": []}]
    assert city.error(*describe, str(old))["code"] == "NotAllowed"
    told = anna.run("data", "update", "--language", "fr").stdout
    assert "NOUVELLE CLÉ  Open data" in told and f"en mots : {made['words']}" in told and said["words"] in told
    listed = anna.run("data", "list").stdout
    assert "NEW KEY" not in listed and f"formerly: {said['words']}" in listed and made["words"] in listed
    assert made["words"] in anna.run("journal").stdout and said["words"] in anna.run("data", "show", "velov").stdout
    assert anna.error("data", "trust", "Open data", *made["words"].split())["code"] == "InvalidValue"


@pytest.mark.slow
def test_room_is_told_and_given_in_two_languages(city: Chez, anna: Chez, url: str, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset that wants more than the room it was subscribed with stands there, which is told with what to do, until
    `data room` gives it more; each answer of `chez data` is in French where that is asked for, or is the locale."""
    for one in (city, anna):
        one.run("relay", "set", url)
    key, about = tmp_path / "key", tmp_path / "velov.toml"
    city.run("publisher", "new-key", "--out", str(key), "--title", "Données", "--name", "Lyon", "--contact", "x@y.org")
    about.write_text(f'id = "velov"\ntitle = "Vélos"\ndescription = "x"\nlicence = "{LICENCE}"\nidentity = ["id"]\n'
                     'spatial = {name = "Lyon"}\n')
    path = table(tmp_path, [(number, random.Random(number).randbytes(1_500).hex(), 3) for number in range(500)])
    done = city.json("publisher", "publish", str(path), "--about", str(about), "--key", str(key))

    def french(*words: str) -> str:
        ended = anna.run("data", *words, "--language", "fr")
        return ended.stdout + ended.stderr

    assert "Aucun catalogue" in french("list") and "No catalogue" in anna.run("data", "list").stdout
    assert "1 jeu de données, par Lyon" in french("add", done["address"])
    assert "titre" in french("search") and "abonné" not in french("search", "vélo")
    assert "Pas d'abonnement : chez data subscribe velov" in french("show", "velov")
    assert anna.error("data", "room", "velov")["code"] == "NotFound"
    told = french("subscribe", "velov", "--room", "1")
    assert "ATTENTION  jeu de données velov : veut plus de place" in told and "Mio sur 1" in told
    full = anna.run("data", "room", "velov")
    assert full.stdout == "" and "of 1 MiB" in full.stderr and "chez data room NAME --mib N" in full.stderr
    assert anna.json("data", "list")["datasets"][0]["full"]["bytes_limit"] == 1 << 20
    assert french("room", "velov", "--mib", "40").startswith("velov : ")
    given = anna.json("data", "room", "velov", "--records", "5000")
    assert (given["full"], given["bytes_limit"], given["records_limit"]) == (False, 40 << 20, 5_000)
    assert given["records"] > 500 and "of 5000 records" in anna.run("data", "room", "velov").stdout
    assert "velov : version 1, 500 lignes dans open_velov" in french("update")
    assert "ajoutées" in french("versions", "velov") and "abonné" in french("search", "vélo")
    assert "rows in" in anna.run("data", "list").stdout
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert "lignes dans" in anna.run("data", "list").stdout
    assert "open_velov, 500 lignes" in anna.run("data", "show", "velov").stdout
    assert "abonnement terminé" in anna.run("data", "unsubscribe", "velov").stdout
    assert "n'est plus suivi" in anna.run("data", "remove", "Open data").stdout
