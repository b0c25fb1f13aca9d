"""What objects and errors show of themselves: no key, no passphrase, no code, nothing that records contain."""

import dataclasses
import gc
import importlib
import inspect
import pkgutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tools.surface import Class, find, public

import chez
import chez_deposit
import chez_relay
import chez_sandbox
import chez_wire
from chez import blocking, field
from chez.crypto import Kdf, SigningKey
from chez.errors import ChezError
from chez.keys.person import person_of
from chez.spaces.handover import EpochKeys, Handover
from chez.sync.pairing import Bundle

PASSPHRASE = "passphrase of Quetzalcoatl"
CONTENT = "Marmalade"
LONGEST = 1000

SECRET_NAMES = {"_secret", "secret", "key", "passphrase", "words", "phrase", "epochs", "token"}
PUBLIC_KEYS = {
    "chez.agent.depositing._Allow.words": "of an organisation's public key",
    "chez.agent.opendata._Trust.words": "of a publisher's public key",
    "chez.home.deposits.reports.Applicant.words": "of an organisation's public key",
    "chez.home.deposits.reports.DepositAddress.words": "of an address's public key",
    "chez.agent.verbs._Search.words": "what a person looks for, in a request that nothing logs",
    "chez.query.names._Said.words": "the words of a query that are no names in quotes, while it is read",
    "chez.home.examine.Finding.key": "which record or chain a finding is about",
    "chez.home.importing._Mark.key": "a setting's name, of which a part is a hash",
    "chez.opendata.lineage.Choice.key": "of a publisher, the public half",
    "chez.query.conditions.Bound.key": "a field's name",
    "chez.records.operations.Operation.key": "a field's name",
    "chez.records.undo.Spot.key": "a field's name",
    "chez.agent.verbs._Sync.reseed": "whether a relay is sent everything anew",
    "chez.spaces.state.State.epochs": "statements, which hold no key",
    "chez.spaces.statements.Invite.key": "the public half",
    "chez_sandbox.consent.holdings.Heard.words": "what devices said last of their allowance",
    "chez_sandbox.manifest.Measurement.key": "the name of a value in the result",
    "chez_sandbox.manifest.Predecessor.key": "the public half",
    "chez_sandbox.manifest.Provider.inbox_write_seed": "in every bundle: whoever has one may write to its provider",
    "chez_sandbox.provider.judging.Finding.words": "what is said of a manifest",
    "chez_sandbox.provider.judging.Overlap.words": "what is said of a manifest",
    "chez_sandbox.provider.native._Order.seed": "of what looks random to a job; noise is the host's (decision 0029)",
    "chez_sandbox.runtime.messages.Start.seed": "of what looks random to a job; noise is the host's (decision 0029)",
    "chez_wire.kept.Keep.key": "the public half",
    "chez_wire.kept.Resume.key": "the public half",
}


class Typed(msgspec.Struct):
    """A typed record."""

    __collection__ = "typed"

    title: str
    body: chez.Text = msgspec.field(default_factory=chez.Text)
    cups: int = 0


@dataclass
class Stage:
    """A home in use: what must not show, and the objects that were made."""

    home: chez.Home
    secrets: dict[str, list[str]]
    made: list[Any]

    def leaks(self, object: Any) -> list[str]:
        """What an object shows that it must not."""
        shown = repr(object) + ("" if isinstance(object, chez.Text) else str(object))
        return [name for name, forms in self.secrets.items() if any(form in shown for form in forms)]


def forms(secret: bytes) -> list[str]:
    """How bytes would show: in hexadecimal, or as Python writes them, or the beginning of that."""
    return [secret.hex(), secret[:8].hex(), repr(secret[:8])[2:-1]]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A home in which everything public was done once, with content to be recognised."""
    words = await chez.create(tmp_path / "home", passphrase=PASSPHRASE, name="laptop", kdf=Kdf.minimum())
    async with chez.open(tmp_path / "home", passphrase=PASSPHRASE) as home:
        space = home._replica.space
        assert space.admin is not None  # its person made it
        secrets = {"the passphrase": [PASSPHRASE, "Quetzalcoatl"], "the words": [words], "content": [CONTENT],
                   "the database's key": forms(home._database.key), "the admin key": forms(space.admin.seed),
                   "the signing key": forms(home._device.signing.seed),
                   "the sealing key": forms(home._device.sealing.seed)}
        for epoch in space.epochs.values():
            secrets["an epoch"] = [*forms(epoch.secret), *forms(epoch.append_seed or b"--------"),
                                   *forms(epoch.entry_key)]
        made: list[Any] = [home, *[one async for one in _used(home, tmp_path)]]
        yield Stage(home, secrets, made)


async def _used(home: chez.Home, folder: Path) -> AsyncIterator[Any]:
    notes, typed = home.collection("notes", search=("title",)), home.collection(Typed)
    value = {"title": CONTENT, "cups": 2, "body": chez.Text(CONTENT), "list": [CONTENT], "n": chez.Counter(3)}
    yield await notes.put(value, id="tea")
    yield await typed.put(Typed(CONTENT, chez.Text(CONTENT)), id="tea")
    async with typed.edit("tea") as draft:
        draft.body.append(CONTENT)
        draft.body.mark(0, 3, "link", CONTENT)
        yield draft.body
    yield together(await typed.get("tea"), (await typed.get("tea")).value.body)
    async with notes.edit("tea") as fields:
        fields["title"] = f"{CONTENT}!"
    for found in (notes, typed, await notes.search("marmalade*"), await home.sql("select * from notes"),
                  await home.status(), home.blobs, home.journal, field("title"), field("title") == CONTENT,
                  ~((field("title") == CONTENT) | (field("title") > CONTENT) & (field("x") < CONTENT)),
                  notes.where(field("title") == CONTENT, list=CONTENT).order_by("title").limit(3),
                  notes.where(title=CONTENT).group_by("title"), chez.count(), await home.collections(),
                  await notes.history("tea"), await notes.undo("tea"), await home.journal.receipts(),
                  await home.journal.append("note", {"about": CONTENT}), await home.journal.verify(),
                  await home.blobs.status()):
        yield together(found)
    first = (await notes.history("tea"))[-1].hash
    yield together(await notes.diff("tea", first), await notes.conflicts("tea"))
    async for page in notes.changes(live=False):
        yield together(page, page.changes)
    blob = await home.blobs.add(CONTENT.encode(), name=f"{CONTENT}.txt")
    yield together(blob, await home.blobs.info(blob))
    broken = folder / "broken.jsonl"
    yield await home.export(folder / "export", history=True)
    yield await home.import_file(folder / "export")
    broken.write_text(CONTENT)
    with suppress(ChezError):
        await home.import_file(broken)
    yield together(await home.transaction(lambda transaction: transaction))


def together(*given: Any) -> list[Any]:
    """What is given, and what is inside of lists."""
    return [one for item in given for one in (item if isinstance(item, list | tuple) else [item])]


def everything(stage: Stage) -> Iterator[Any]:
    """The objects of ours that are alive now, and those that were made on the way."""
    for one in stage.made:
        yield from one if isinstance(one, list) else [one]
    # What is compiled may have something else there than a name.
    yield from (one for one in gc.get_objects() if str(type(one).__module__).startswith("chez"))


async def test_nothing_alive_shows_a_secret(stage: Stage) -> None:
    """Of all objects of an open home in use, public or not, none shows a key, the passphrase or a record's content."""
    found = {f"{type(one).__qualname__}: {leak}" for one in everything(stage) for leak in stage.leaks(one)}
    assert found == set(), "what a field holds that must not show is said by repr=False: see chez/shown.py"


async def test_public_objects_say_what_they_are_in_a_line(stage: Stage) -> None:
    """No public object shows just its address, and none more than a few lines, however much is in it."""
    named, reached = public()
    classes = {one.object for one in [*(find(object) for object in named.values()), *reached] if isinstance(one, Class)}
    seen = {type(one): repr(one) for one in everything(stage) if type(one) in classes}
    assert {chez.Home, chez.Collection, chez.Record, chez.Query, chez.Hit, chez.Rows, chez.Change} <= set(seen)
    assert {kind.__name__: text for kind, text in seen.items() if " object at 0x" in text or "\n" in text
            or len(text) > LONGEST} == {}


async def test_a_record_shows_its_fields_and_not_what_is_in_them(stage: Stage) -> None:
    """The names of a few fields help; a record of a thousand fields still shows in one line."""
    notes = stage.home.collection("notes")
    assert repr(await notes.put({"title": CONTENT, "cups": 2}, id="a")) == "<Record 'a' of 'notes': title, cups>"
    wide = await notes.put({f"field {number}": CONTENT for number in range(1000)}, id="b")
    assert repr(wide).endswith(", … (1000 in all)>") and len(repr(wide)) < 130
    typed = await stage.home.collection(Typed).put(Typed("x"), id="c")
    assert repr(typed) == "<Record 'c' of 'typed': title, body, cups>"
    query = notes.where(field("title") == CONTENT, cups=3).order_by("-cups").limit(5)
    assert repr(query) == "<Query of 'notes': (title = ? & cups = ?), by -cups, at most 5>"
    deep: Any = field("a") == 1
    for _ in range(5000):
        deep = (deep | (field("b") == 2)) & (field("c") == 3)
    assert len(repr(deep)) < 200


async def test_what_stands_for_them_shows_the_same(stage: Stage) -> None:
    """An object of `chez.blocking` shows what the asynchronous one shows."""
    front = blocking.Collection(None, stage.home.collection("notes"))  # type: ignore[arg-type]
    assert repr(front) == "<Collection 'notes'>"


async def test_errors_do_not_quote_secrets(stage: Stage, tmp_path: Path) -> None:
    """What goes wrong with a value, a file or a passphrase is told without it."""
    home, notes = stage.home, stage.home.collection("notes")

    class Unstorable:
        def __repr__(self) -> str:
            return CONTENT

    attempts: list[Callable[[], Awaitable[Any]]] = [
        lambda: notes.put({"title": Unstorable()}),
        lambda: notes.put({"title": {CONTENT, "x"}}),
        lambda: notes.put(CONTENT),  # type: ignore[arg-type]
        lambda: home.collection(Typed).put(Typed(CONTENT, CONTENT, CONTENT)),  # type: ignore[arg-type]
        lambda: home.collection(Typed).get("wrong"),
        lambda: notes.where(CONTENT).all(),  # type: ignore[arg-type]
        lambda: notes.where(field("title") < {CONTENT}).all(),
        lambda: home.journal.append("note", {"about": Unstorable()}),
        lambda: chez.create(tmp_path / "other", passphrase=PASSPHRASE, words=stage.secrets["the words"][0] + " more"),
        lambda: chez.open(tmp_path / "home", passphrase=PASSPHRASE + "!").__aenter__(),
        lambda: chez.create(tmp_path / "home", passphrase=PASSPHRASE),
    ]
    await home.collection("typed").put({"title": [CONTENT], "cups": CONTENT}, id="wrong")
    raised = []
    for attempt in attempts:
        with pytest.raises(ChezError) as error:
            await attempt()
        raised.append(error.value)
    assert [(one, leak) for one in raised for leak in stage.leaks(one)] == []


def test_no_class_shows_a_field_that_may_be_a_secret() -> None:
    """Every dataclass and Struct of ours with a field named like a secret hides it, or is known to hold none."""
    showing = []
    for package in (chez, chez_deposit, chez_relay, chez_sandbox, chez_wire):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            for kind in vars(importlib.import_module(module.name)).values():
                if inspect.isclass(kind) and kind.__module__ == module.name:
                    showing += [f"{module.name}.{kind.__qualname__}.{name}" for name in shown_fields(kind)]
    assert sorted({*showing} - PUBLIC_KEYS.keys()) == []


def shown_fields(kind: type[Any]) -> list[str]:
    """The fields named like secrets that the repr of a class shows by itself."""
    if dataclasses.is_dataclass(kind):
        own = not kind.__dataclass_params__.repr  # type: ignore[attr-defined]
        return [one.name for one in dataclasses.fields(kind) if one.repr and named_like_one(one.name) and not own]
    if issubclass(kind, msgspec.Struct) and kind.__repr__ is msgspec.Struct.__repr__:
        return [name for name in kind.__struct_fields__ if named_like_one(name)]
    return []


def named_like_one(field: str) -> bool:
    """Whether a field of this name may be a secret."""
    return field in SECRET_NAMES or field.endswith("seed")


def test_keys_and_what_is_given_to_a_new_device_hide_themselves() -> None:
    """A key pair, a person and what pairing hands over show who they belong to, and nothing more."""
    key, person = SigningKey.from_seed(b"seed" * 8), person_of("abandon " * 23 + "art")
    space = Handover(b"s" * 32, b"h" * 32, "", [], [EpochKeys(b"e" * 32, 1, b"secret" * 5, b"", b"admin" * 6)])
    bundle = Bundle(b"p" * 32, [space], "")
    assert repr(key) == f"SigningKey(public={key.public.hex()[:16]}…)"
    for thing, secret in ((key, b"seedseed"), (person, person.admin.seed[:8]), (person, person.root.seed[:8]),
                          (bundle, b"adminadm"), (space, b"secretse"), (space.epochs[0], b"secretse")):
        assert secret.hex() not in repr(thing) and repr(secret)[2:-1] not in repr(thing)
