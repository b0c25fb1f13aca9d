"""Which connector reads a file, and what is said when none does."""

import hashlib
import os
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import chez.connectors as registry
from chez.connectors import connectors, find, open_source, read, recognise
from chez.connectors.registry import BUILT_IN
from chez.errors import ChezError, InvalidValue, NotFound
from tests.connectors.support import (
    CAISSE_EPARGNE,
    CAMT,
    DATA,
    GREEN_BUTTON,
    LINKY,
    MESINFOS,
    MT940,
    OFX,
    POWER,
    TEMPO,
    VELOV,
)


@pytest.mark.parametrize(("path", "name"), [
    (LINKY, "linky"), (TEMPO, "tempo"), (POWER, "household-power"),
    (GREEN_BUTTON, "green-button"), *((path, "mesinfos") for path in MESINFOS),
    (CAISSE_EPARGNE, "caisse-epargne"),
    *((path, "ofx") for path in sorted(OFX.rglob("*.ofx"))),
    *((path, "camt") for path in sorted(CAMT.glob("*.xml"))),
    (VELOV / "Lyon.json", "gbfs"), (VELOV / "lyon_velov.geojson", "geojson"),
    *((path, "mt940") for path in sorted(MT940.glob("*.sta"))),
], ids=lambda value: getattr(value, "name", value))
def test_recognises_every_real_file(path: Path, name: str) -> None:
    """Each real file is recognised by exactly its own connector."""
    assert recognise(path).name == name
    head = path.read_bytes()[:65536]
    assert [c.name for c in connectors() if c.recognise(head, path.name)] == [name]


def test_the_files_are_the_ones_attributed() -> None:
    """tests/data/SOURCES.md names every data file with its hash, and nothing else lies there."""
    listed = {}
    for line in (DATA / "SOURCES.md").read_text().splitlines():
        parts = line.split(maxsplit=2)  # names may have blanks
        if len(parts) == 3 and len(parts[0]) == 64:
            listed[parts[2]] = parts[0]
    files = [path for path in DATA.glob("*/**/*") if path.is_file()]
    found = {str(path.relative_to(DATA)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    assert found == listed


@pytest.mark.parametrize("content", [
    b"hello", b"a,b,c\n1,2,3\n", b"<html><body>OFX</body></html>",
    LINKY.read_text("utf-8-sig").encode("utf-16"), bytes(1000), b"<?xml version='1.0'?><feed/>",
])
def test_an_unknown_format_names_the_known_ones(tmp_path: Path, content: bytes) -> None:
    """A file of no known format is refused with the list of those that are known."""
    path = tmp_path / "export.bin"
    path.write_bytes(content)
    with pytest.raises(InvalidValue) as caught:
        recognise(path)
    assert "linky" in caught.value.hint and "tempo" in caught.value.hint and "ofx" in caught.value.hint


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    """A missing path, a folder, an empty file and a pipe (at once, without waiting) give typed errors."""
    with pytest.raises(NotFound):
        recognise(tmp_path / "missing")
    with pytest.raises(InvalidValue):
        recognise(tmp_path)
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidValue):
        recognise(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidValue):
        recognise(tmp_path / "pipe")


def test_source_describes_the_file() -> None:
    """A source carries the name without folder, the size and the SHA-256."""
    file, source = open_source(TEMPO)
    with file:
        assert file.read(3) == b"01/"
    assert (source.name, source.size) == (TEMPO.name, TEMPO.stat().st_size)
    assert source.sha256 == hashlib.sha256(TEMPO.read_bytes()).digest()


def test_find() -> None:
    """A connector is found by its name; a wrong one names the right ones."""
    assert find("linky").title
    with pytest.raises(NotFound, match="linky"):
        find("fax")


class _Broken:
    """A third party's connector with a mistake in it."""

    name, version, title = "broken", 1, "a broken one"

    def recognise(self, head: bytes, name: str) -> bool:
        return head.startswith(b"broken")

    def read(self, file: object, source: object) -> object:
        raise KeyError("oops")


def broken() -> _Broken:
    """The entry point of `_Broken`."""
    return _Broken()


def test_installed_connectors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package adds a connector by entry point; its failure while reading is a typed error with its name."""
    entry = EntryPoint("broken", "tests.connectors.test_registry:broken", registry.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    path = tmp_path / "file"
    path.write_bytes(b"broken")
    assert recognise(path).name == "broken"
    with pytest.raises(ChezError, match="'broken' failed"):
        list(read(path))


@pytest.mark.parametrize("place", ["no_such_module:thing", "tests.connectors.test_registry:nothing",
                                   "tests.connectors.test_registry:raising", "tests.connectors.test_registry:TEMPO"])
def test_a_broken_package_hinders_no_other(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str) -> None:
    """What does not load is told with its name and why, where something is not found; all others work."""
    entry = EntryPoint("gone", place, registry.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [entry])
    assert recognise(TEMPO).name == "tempo" and "gone" not in [c.name for c in connectors()]
    [told] = registry.broken()
    assert (told.name, told.place) == ("gone", place) and told.reason
    (tmp_path / "noise").write_bytes(b"noise")
    with pytest.raises(InvalidValue) as caught:
        recognise(tmp_path / "noise")
    assert "'gone'" in caught.value.hint and place in caught.value.hint
    with pytest.raises(NotFound) as unknown:
        find("gone")
    assert "'gone'" in unknown.value.hint


class _Deaf(_Broken):
    """One that fails when it is asked whether it knows a file, and takes a name that is taken."""

    def recognise(self, head: bytes, name: str) -> bool:
        raise RuntimeError("oops")

    recognise_members = recognise


class _Thief(_Broken):
    name, title = "tempo", "the same name"


def raising() -> _Broken:
    """An entry point that raises."""
    raise RuntimeError("oops")


def test_one_that_raises_when_asked_knows_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A `recognise` that raises counts as a no, and nobody takes the name of a built-in connector."""
    entries = [EntryPoint(kind.__name__, f"tests.connectors.test_registry:{kind.__name__}", registry.GROUP)
               for kind in (_Deaf, _Thief)]
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    (tmp_path / "noise").write_bytes(b"PK\x03\x04 noise")
    with pytest.raises(ChezError):
        recognise(tmp_path / "noise")
    assert type(find("tempo")).__module__ == "chez.connectors.tempo"


def test_the_built_in_ones_are_entry_points() -> None:
    """pyproject.toml and the registry name the same connectors, in the same places."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"][registry.GROUP] == dict(BUILT_IN)
    assert [c.name for c in connectors()][: len(BUILT_IN)] == [name for name, _ in BUILT_IN]


def test_to_recognise_loads_no_parser() -> None:
    """Asking which connector knows a file imports none of the libraries that parse."""
    libraries = ("gpxpy", "icalendar", "ijson", "lxml", "mt940", "ofxtools", "vobject", "xml.etree.ElementTree")
    code = (f"import sys; from pathlib import Path; from chez.connectors import recognise; "
            f"recognise(Path({str(TEMPO)!r})); print([m for m in {libraries!r} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "[]"
