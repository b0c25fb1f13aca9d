"""The Python on the pages of docs/ runs as it stands, in order; what needs a relay is held against what can be called.

README's program is run by tests/demo/test_readme.py, the queries by test_queries_page.py, and what checks an export of
consents by tests/jobs/test_export.py. docs/api.md is made from the code.
"""

import ast
import asyncio
import inspect
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import create_autospec
from zipfile import ZipFile

import msgspec
import pytest

import chez
from chez.connectors import Found, Progress, Reject, Source, kit
from chez.connectors.archive import Archive
from chez.connectors.caisse_epargne import CaisseEpargne
from chez.opendata import following
from chez.vocabulary import TariffDay

DOCS = Path(__file__).resolve().parents[2] / "docs"
BANK = DOCS.parent / "tests" / "data" / "bank-csv-fr" / "caisse_epargne.csv"
ELSEWHERE = {"api.md", "consent.md", "queries.md"}
HERE = {"attachments.md": 1, "connectors.md": 3, "ephemeral.md": 1, "history.md": 3, "keys.md": 3, "opendata.md": 1,
        "records.md": 4}
"""Pages, and how many blocks each has."""


def blocks(page: str) -> list[str]:
    """The Python of a page."""
    found = re.findall(r"^```python\n(.*?)^```$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == HERE[page]
    return found


async def run(page: str, source: str, names: dict[str, Any]) -> None:
    """Run a block with these names, to which it adds its own."""
    code = compile(source, str(DOCS / page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if code.co_flags & inspect.CO_COROUTINE:
        await eval(code, names)
    else:
        exec(code, names)


def test_every_page_is_run() -> None:
    """No page has Python that no test runs."""
    have = {page.name for page in DOCS.glob("*.md") if "```python\n" in page.read_text(encoding="utf-8")}
    assert have == {*HERE, *ELSEWHERE}


class Person(msgspec.Struct):
    """What a person is since version 2."""

    __collection__: ClassVar = "people"

    first: str
    last: str
    tags: list[str] = []


async def test_attachments(home: chez.Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file goes into a record, is read in parts, and written again."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8" * 500_000)
    [block] = blocks("attachments.md")
    names = {"home": home, "notes": home.collection("notes")}
    await run("attachments.md", block, names)
    assert (tmp_path / "copy.jpg").read_bytes() == (tmp_path / "photo.jpg").read_bytes()
    assert isinstance(names["photo"], chez.Blob)


async def test_history(home: chez.Home, capsys: pytest.CaptureFixture[str]) -> None:
    """What a record went through, what SQL gave then, and a feed that goes on where it was."""
    past, then, feed = blocks("history.md")
    notes = home.collection("notes")
    await notes.put({"title": "Tea", "done": True}, id="tea")
    async with notes.edit("tea") as draft:
        draft["title"] = "Green tea"
    names: dict[str, Any] = {"home": home, "notes": notes}
    await run("history.md", past, names)
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 3 and told[-1] == "title Tea Green tea"  # the changes, the newest first, and a difference
    assert names["old"] == {"title": "Tea", "done": True}
    await run("history.md", then, names)
    assert "before" in names
    indexing = asyncio.create_task(run("history.md", feed, names))
    async with asyncio.timeout(90):
        while await home.saved_cursor("indexer") is None:
            assert not indexing.done()
            await asyncio.sleep(0.01)
    indexing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await indexing


async def test_records(home: chez.Home) -> None:
    """Texts and counters in a draft, a text that is typed in while another writes, and a migration."""
    draft, typing, arriving, versions = blocks("records.md")
    notes = home.collection("notes")
    shown: list[tuple[int, int, str]] = []
    names: dict[str, Any] = {"chez": chez, "home": home, "notes": notes,
                             "view": SimpleNamespace(replace=lambda *change: shown.append(change))}
    await run("records.md", draft, names)
    value = (await notes.get("tea")).value
    assert (str(value["body"]), int(value["read"]), value["tags"]) == ("Boil fresh water.", 1, ["hot"])
    session = asyncio.create_task(run("records.md", typing + arriving, names))
    async with asyncio.timeout(90):
        while "e" not in str((await notes.get("tea")).value["body"])[12:13]:
            assert not session.done()
            await asyncio.sleep(0.01)
        async with notes.edit("tea") as other:
            other["body"].append("!")
        while not shown:
            assert not session.done()
            await asyncio.sleep(0.01)
    session.cancel()
    with pytest.raises(asyncio.CancelledError):
        await session
    assert shown[0][2] == "!"

    names["Person"] = Person
    await home.collection("people").put({"name": "Ada Lovelace"}, id="ada")
    await run("records.md", versions, names)
    assert (await names["people"].get("ada")).value == Person("Ada", "Lovelace")


async def test_ephemeral() -> None:
    """What the page calls is there to call, and a message has what it reads."""
    [block] = blocks("ephemeral.md")
    message = create_autospec(chez.EphemeralMessage, instance=True)
    message.value = {"at": "packing list"}

    async def heard() -> AsyncIterator[Any]:
        yield message

    space = create_autospec(chez.Space, instance=True)
    space.ephemeral.return_value = heard()
    shown: list[Any] = []
    home = create_autospec(chez.Home, instance=True)
    home.space.return_value = space
    await run("ephemeral.md", block, {"home": home, "show": lambda name, value: shown.append(value)})
    space.broadcast.assert_awaited_once_with("presence", {"at": "packing list"})
    space.ephemeral.assert_called_once_with("presence")
    assert shown == [message.value]


async def test_keys() -> None:
    """Recovering, taking back and changing a passphrase are called as they can be."""
    calls = {name: create_autospec(getattr(chez, name)) for name in ("recover", "take_back", "change_passphrase")}
    names = {"chez": SimpleNamespace(**calls), "home": create_autospec(chez.Home, instance=True), "words": "w",
             "old": "a", "new": "b"}
    for block in blocks("keys.md"):
        await run("keys.md", block, names)
    for call in calls.values():
        call.assert_awaited_once()
    names["home"].change_passphrase.assert_awaited_once_with("a", "b")


async def test_open_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscribing to a dataset is called as it can be."""
    for name in ("subscribe", "subscribed"):
        monkeypatch.setattr(following, name, create_autospec(getattr(following, name)))
    [block] = blocks("opendata.md")
    await run("opendata.md", block, {"home": create_autospec(chez.Home, instance=True)})
    following.subscribe.assert_awaited_once()  # type: ignore[attr-defined]


async def test_connectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's connectors read as they should, and the kit tries one as it says."""
    example, members, trying = blocks("connectors.md")
    names: dict[str, Any] = {"Archive": Archive, "Sequence": Sequence, "MyConnector": CaisseEpargne}
    await run("connectors.md", example, names)
    tempo, data = names["Tempo"](), b"01/01/2024;BLEU\n01/13/2024;BLEU\n02/01/2024;VERT\n"
    assert tempo.recognise(data, "days.csv")
    found, *rejects = (item for item in tempo.read(io.BytesIO(data), Source("days.csv", bytes(32), len(data)))
                       if not isinstance(item, Progress))
    assert found == Found(TariffDay(scheme="tempo", date=date(2024, 1, 1), colour="blue"), row=1)
    assert [item.line for item in rejects if isinstance(item, Reject)] == [2, 3]
    await run("connectors.md", f"class Export:\n{members}", names)
    names["Export"]._tweets = staticmethod(tempo.read)
    packed = io.BytesIO()
    with ZipFile(packed, "w") as made:
        made.writestr("data/manifest.js", data)
    export, size = names["Export"](), len(packed.getvalue())
    assert export.recognise_members(["data/manifest.js"])
    read = [item for item in export.read(packed, Source("x.zip", bytes(32), size)) if not isinstance(item, Progress)]
    assert [item.member for item in read] == ["data/manifest.js"] * 3
    monkeypatch.chdir(tmp_path)
    (tmp_path / "export.csv").write_bytes(BANK.read_bytes())
    await run("connectors.md", trying, names)
    names["test_promises"](kit.reads_twice_the_same)  # all of them: tests/connectors/test_kit.py
    names["test_promises"](kit.overlapping_exports_merge)
    monkeypatch.setattr(kit, "hostile", create_autospec(kit.hostile))
    names["test_hostile_bytes"]()
