"""Scenarios: making homes, and every way of writing records."""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import chez
from chez.crypto import Kdf
from chez.errors import StorageFailed, WrongPassphrase
from chez.home import importing
from tests.durability.scene import (
    PASSPHRASE,
    Place,
    Scenario,
    Step,
    everything,
    follow,
    made,
    opened,
    write_back_often,
)

__all__ = ("CREATING", "IMPORTING", "PASSPHRASE_CHANGE", "WRITING")

OTHER: Final = "battery staple"
DATA: Final = Path(__file__).resolve().parents[1] / "data"
LINKY: Final = DATA / "energy-linky-fr" / "linky_courbe_de_charge_30min.csv"
LINES: Final = 15
BATCH: Final = 5
KINDS: Final = ("readings", "notes")
"""The collection that comes from each file."""

State = dict[tuple[str, str], Any]


# --- making a home --------------------------------------------------------------------


async def _nothing(folder: Path) -> None:
    pass


def _new(folder: Path) -> Path:
    """Where the home is made: in folders that are not there yet."""
    return folder / "new" / "folders" / "home"


async def _create(place: Place) -> None:
    try:
        await made(_new(place.folder))
    except StorageFailed:
        place.relieve()
        await made(_new(place.folder))
    place.say("made")


async def _created(folder: Path, acknowledged: Sequence[str]) -> None:
    if acknowledged or _new(folder).exists():
        async with opened(_new(folder)) as home:
            assert (await home.journal.verify()).receipts == 1
    else:
        await made(_new(folder))
    assert [path.name for path in _new(folder).parent.iterdir() if not path.name.startswith(".")] == ["home"]


# --- another passphrase ---------------------------------------------------------------


async def _change(place: Place) -> None:
    try:
        await chez.change_passphrase(place.home, PASSPHRASE, OTHER, kdf=Kdf.minimum())
    except StorageFailed:
        place.relieve()
        with suppress(WrongPassphrase):  # it is the new one, and only its receipt could not be written
            await chez.change_passphrase(place.home, PASSPHRASE, OTHER, kdf=Kdf.minimum())
    place.say("changed")


async def _changed(folder: Path, acknowledged: Sequence[str]) -> None:
    try:
        async with opened(folder / "home", OTHER) as home:
            kinds = {receipt.kind for receipt in await home.journal.receipts()}
            assert kinds & {"passphrase-changed", "key-file-changed"}
            return
    except WrongPassphrase:
        assert not acknowledged
    async with opened(folder / "home"):
        pass


# --- records --------------------------------------------------------------------------


async def _some_records(folder: Path) -> None:
    await made(folder / "home")
    async with chez.open(folder / "home", passphrase=PASSPHRASE) as home:
        await home.collection("notes").put_many([{"n": n, "text": f"old {n}"} for n in range(6)],
                                                ids=[f"old{n}" for n in range(6)])


def _notes(home: chez.Home) -> "chez.Collection[dict[str, Any]]":
    return home.collection("notes")


def _done(home: chez.Home) -> "chez.Collection[dict[str, Any]]":
    return home.collection("done")


async def _edit(home: chez.Home) -> None:
    async with _notes(home).edit("a") as draft:
        draft["text"], draft["more"] = "edited", [1, 2.5, {"deep": b"bytes"}]


def _move(transaction: chez.Transaction, home: chez.Home) -> None:
    transaction.put(_done(home), transaction.get(_notes(home), "old0").value, id="old0")
    transaction.delete(_notes(home), "old0")
    transaction.reserve({"account": 1e9}, 1.0, "moved", {"to": "done"})


STEPS: Final[Sequence[tuple[Step, State]]] = (
    (lambda home: _notes(home).put({"n": 1, "text": "new"}, id="a"), {("notes", "a"): {"n": 1, "text": "new"}}),
    (_edit, {("notes", "a"): {"n": 1, "text": "edited", "more": [1, 2.5, {"deep": b"bytes"}]}}),
    (lambda home: _notes(home).put_many([{"n": n} for n in range(8)], ids=[f"many{n}" for n in range(8)]),
     {("notes", f"many{n}"): {"n": n} for n in range(8)}),
    (lambda home: home.transaction(lambda transaction: _move(transaction, home)),
     {("notes", "old0"): None, ("done", "old0"): {"n": 0, "text": "old 0"}, ("(spent)", "account"): 1.0}),
    (lambda home: _notes(home).delete("old1"), {("notes", "old1"): None}),
    (lambda home: _notes(home).restore("old1"), {("notes", "old1"): {"n": 1, "text": "old 1"}}),
    (lambda home: _notes(home).put({"text": "é" * 9000}, id="long"), {("notes", "long"): {"text": "é" * 9000}}),
    (lambda home: _notes(home).purge("old2"), {("notes", "old2"): None}),
    (lambda home: home.collection("notes", indexes=("n",), search=("text",)).put({"n": 7, "text": "last"}, id="z"),
     {("notes", "z"): {"n": 7, "text": "last"}}),
)
"""What is done, and what is there of it then (None: no longer)."""


async def _write(place: Place) -> None:
    write_back_often()
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        await follow(place, home, [step for step, _ in STEPS])


def _states() -> list[State]:
    state: State = {("notes", f"old{n}"): {"n": n, "text": f"old {n}"} for n in range(6)} | {("(spent)", "account"): 0}
    states = [state]
    for _, after in STEPS:
        state = {key: value for key, value in (state | after).items() if value is not None}
        states.append(state)
    return states


async def _written(folder: Path, acknowledged: Sequence[str]) -> None:
    async with opened(folder / "home") as home:
        found = await everything(home)
        found["(spent)", "account"] = await home.journal.spent("account")
        assert len(await home.journal.receipts("moved")) == found["(spent)", "account"]
        assert found in _states()[len(acknowledged) : len(acknowledged) + 2], (acknowledged, found)
        words = [hit.record.id for hit in await home.collection("notes", search=("text",)).search("last")]
        assert words == (["z"] if ("notes", "z") in found else [])


# --- imports --------------------------------------------------------------------------


async def _files(folder: Path) -> None:
    await made(folder / "home")
    lines = LINKY.read_text(encoding="utf-8-sig").splitlines(keepends=True)
    (folder / "linky.csv").write_text("".join(lines[: 3 + LINES]), encoding="utf-8-sig")
    await made(folder / "other")
    async with chez.open(folder / "other", passphrase=PASSPHRASE) as home:
        blob = await home.blobs.add(b"a picture", name="picture")
        await home.collection("notes").put_many([{"n": n, "picture": blob} for n in range(BATCH + 2)])
        await home.export(folder / "export")
    async with chez.open(folder / "other", passphrase=PASSPHRASE) as home:
        await home.import_file(folder / "linky.csv")


async def _import(place: Place) -> None:
    importing.BATCH = BATCH  # type: ignore[misc]  # so that several are met
    async with chez.open(place.home, passphrase=PASSPHRASE) as home:
        await follow(place, home, [_importing(place.folder / name) for name in ("linky.csv", "export")])


def _importing(file: Path) -> Callable[[chez.Home], Awaitable[object]]:
    return lambda home: home.import_file(file)


async def _imported(folder: Path, acknowledged: Sequence[str]) -> None:
    async with chez.open(folder / "other", passphrase=PASSPHRASE, read_only=True) as other:
        whole = await _bag(other)
    async with opened(folder / "home") as home:
        found = await _bag(home)
        for kind in KINDS[: len(acknowledged)]:
            assert {text for text in whole if text.startswith(kind)} <= set(found)
        assert found <= whole  # nothing is there by half
        receipts = len(await home.journal.receipts("import"))
        assert receipts in (len(acknowledged), len(acknowledged) + 1)
        for name in ("linky.csv", "export"):
            report = await home.import_file(folder / name)
            assert report.updated == report.rejected == 0, (acknowledged, report)
        assert await _bag(home) == whole
        for (name, _), value in (await everything(home)).items():
            if name == "notes":
                assert b"".join([part async for part in home.blobs.read(value["picture"])]) == b"a picture"


async def _bag(home: chez.Home) -> Counter[str]:
    """What records there are, by collection and content: ids depend on the space."""
    return Counter(f"{name} {sorted((key, str(item)) for key, item in value.items() if key != 'picture')}"
                   for (name, _), value in (await everything(home)).items())


CREATING = Scenario(_nothing, _create, _created)
PASSPHRASE_CHANGE = Scenario(lambda folder: made(folder / "home"), _change, _changed)
WRITING = Scenario(_some_records, _write, _written)
IMPORTING = Scenario(_files, _import, _imported)
