"""docs/protocol.md lists for each request exactly the answers that a relay gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import pytest
from msgspec.structs import replace

from chez.crypto import SigningKey
from chez_relay.effects import Ask, Send
from chez_relay.errors import Code
from chez_relay.kept import KeptSessions, Place
from chez_relay.lan.meeting import Acquaintances
from chez_relay.session import RelaySession
from chez_relay.storage import AddEntry, Found, Quotas, Refused
from chez_relay.storage.memory import MemoryStorage
from chez_relay.storage.refusals import BOXES_FULL, CROWDED, DAMAGED, MUCH_DROPPED
from chez_wire import frames as f
from chez_wire.chunks import chunk_id
from chez_wire.dropping import drop_hash
from chez_wire.envelope import GENESIS_HEAD, entry_id, fold_head
from chez_wire.login import (
    Role,
    create_message,
    delete_message,
    drop_message,
    inbox_of,
    login_message,
    resume_message,
    rotate_message,
    vouch_message,
)
from chez_wire.meeting import LEAST_PROOFS, PLAIN_CHANNEL, Side, meeting_proof
from chez_wire.packets import packets_hash
from tests.relay.link import NAME
from tests.relay.support import Space, key, packet, seed
from tests.wire.page import answers, paragraph, quoted, section

SPACE, OTHER = Space(), Space("other")
HANDLE, STORE = SPACE.handle, seed("incarnation")
GREETING = (NAME, seed("c"), seed("n"))
OWNER, WRITER, KEPT = key("owner"), key("writer"), key("kept")
BOX = inbox_of(OWNER.public)
EXPIRY = 60
TABLE = sorted((packet("a"), packet("b")), key=lambda one: one.tag)
FAILED = Refused(Code.STORAGE, "the disk failed", retry=True)
Request = TypeVar("Request", f.CreateSpace, f.CreateInbox, f.Rotate, f.DeleteSpace, f.Resume, f.Drop)


class Allowance:
    """Everything, until all of it or one thing is used up."""

    spent: str | bool = False

    def __getattr__(self, name: str) -> Callable[..., bool]:
        return lambda *_: self.spent is not True and self.spent != name


@dataclass(frozen=True)
class Case:
    """A frame, what was said before it, here and elsewhere, and what the store answers if not what it has."""

    frame: f.ClientFrame
    before: tuple[f.ClientFrame, ...] = ()
    later: float = 0
    spent: str | bool = False
    result: Refused | Found | None = None
    tokens: tuple[str, ...] = ()
    quotas: Quotas = field(default_factory=Quotas)
    lan: bool = False
    elsewhere: tuple[AddEntry, ...] = ()

    def run(self) -> list[str]:
        """The answers: a refusal's code, else the frame's name."""
        return [one.code if isinstance(one, f.Failed) else type(one).__name__ for one in self.frames()]

    def frames(self) -> list[f.RelayFrame]:
        """The answers."""
        return self._run()[0]

    @property
    def asks(self) -> bool:
        """Whether the frame needs the store."""
        return self._run()[1]

    def _run(self) -> tuple[list[f.RelayFrame], bool]:
        now, may = [0.0], Allowance()
        store = MemoryStorage(STORE, quotas=self.quotas, clock=lambda: now[0])
        kept = KeptSessions(lambda: 0.0)
        kept.at("").keep(KEPT.public, [Place.of(HANDLE, {Role.READ: SPACE.keys.read})])
        known = Acquaintances(bytes, secrets={HANDLE: [seed("met")]}) if self.lan else None
        session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=STORE, tokens=self.tokens, may=may,
                               kept=kept.at(""), known=known)
        out: list[f.RelayFrame] = []
        asked = False
        for frame in (*self.before, self.frame):
            if last := frame is self.frame:
                now[0], may.spent, out = self.later, self.spent, []
                store.perform_now(self.elsewhere)
            effects = session.receive(f.encode(frame))
            while effects:
                effect = effects.pop(0)
                if isinstance(effect, Ask):
                    asked = asked or last
                    (result,) = store.perform_now([effect.request])
                    effects += session.completed(effect, self.result if last and self.result else result)
                elif isinstance(effect, Send):
                    out.append(f.decode_relay(effect.data))
        return out, asked


def signed(frame: Request, by: SigningKey = SPACE.admin) -> Request:
    """The frame with its signature, for the one greeting that is used here."""
    match frame:
        case f.CreateSpace():
            keys = (frame.admin_key, frame.recovery_key, frame.read_key, frame.append_key, frame.control_key)
            message = create_message(*GREETING, "space", *keys, packets_hash(frame.packets))
        case f.CreateInbox():
            fields = (frame.owner_key, frame.write_key, frame.ttl.to_bytes(8, "big"))
            message = create_message(*GREETING, "inbox", *fields)
        case f.Rotate():
            keys = (frame.previous_read, frame.admin_key, frame.read_key, frame.append_key, frame.control_key)
            message = rotate_message(*GREETING, frame.ref, frame.handle, *keys, packets_hash(frame.packets))
        case f.DeleteSpace():
            message = delete_message(*GREETING, frame.ref, frame.handle)
        case f.Resume():
            message = resume_message(*GREETING, frame.key)
        case f.Drop():
            digest = drop_hash(frame.follows, frame.checkpoint, frame.ranges, frame.chunks)
            vouch = SPACE.credential(Role.CONTROL).sign_bytes(vouch_message(frame.handle, frame.incarnation, digest))
            frame = replace(frame, vouch=vouch)
            message = drop_message(*GREETING, frame.ref, frame.handle, frame.incarnation, digest)
    return replace(frame, signature=by.sign_bytes(message))


def opening(handle: bytes, keys: dict[Role, SigningKey]) -> f.Open:
    return f.Open(2, [f.Claim(handle, role, by.sign_bytes(login_message(*GREETING, handle, role)))
                      for role, by in keys.items()])


UNSIGNED = bytes(64)
HELLO = f.Hello([1], seed("c"), NAME)
CREATE = signed(f.CreateSpace(1, SPACE.admin.public, *SPACE.others, TABLE, UNSIGNED))
OPEN = opening(HANDLE, {role: SPACE.credential(role) for role in (Role.READ, Role.APPEND, Role.CONTROL)})
ENVELOPE, HEAD = SPACE.envelope(1), fold_head(GENESIS_HEAD, entry_id(SPACE.envelope(1)))
APPEND = f.Append(3, HANDLE, Role.APPEND, ENVELOPE)
SUBSCRIBE = f.Subscribe(3, HANDLE, 0, 1000)
READ = f.Read(3, HANDLE, 0, 1000)
INBOX = signed(f.CreateInbox(1, OWNER.public, WRITER.public, EXPIRY, UNSIGNED), OWNER)
PUT, WATCH, ACK = f.Put(3, BOX, b"item"), f.Watch(3, BOX, 0), f.Ack(3, BOX, 1)
PUT_CHUNK = f.PutChunk(3, HANDLE, b"chunk")
GET_CHUNK = f.GetChunk(4, HANDLE, chunk_id(b"chunk"))
HAS_CHUNKS = f.HasChunks(4, HANDLE, [chunk_id(b"chunk")])
NEXT = SPACE.rotated()
ROTATE = signed(f.Rotate(5, HANDLE, SPACE.admin.public, SPACE.keys.read, NEXT.admin.public, *NEXT.others[1:], TABLE,
                         UNSIGNED))
GET_PACKET = f.GetPacket(3, HANDLE, TABLE[0].tag)
DELETE = signed(f.DeleteSpace(6, HANDLE, SPACE.admin.public, UNSIGNED))
KEEP = f.Keep(5, key("fresh").public)
RESUME = signed(f.Resume(3, KEPT.public, UNSIGNED, 9, 1000, [0]), KEPT)
DROP = signed(f.Drop(5, HANDLE, SPACE.admin.public, SPACE.keys.control, STORE, bytes(32), seed("checkpoint"),
                     [f.Dropped(1, 1, HEAD)], [], UNSIGNED, UNSIGNED))
MEET = f.Meet(bytes(32), [meeting_proof(seed("met"), Side.DIALLING, *GREETING, PLAIN_CHANNEL)] * LEAST_PROOFS)
BROADCAST = f.Broadcast(HANDLE, SPACE.message(1))
USAGE = f.GetUsage(3, HANDLE)

GREETED = (HELLO,)
MADE = (HELLO, CREATE)
READY = (*MADE, OPEN)
WRITTEN = (*READY, APPEND)
BOXED = (HELLO, INBOX, opening(BOX, {Role.TAKE: OWNER, Role.PUT: WRITER}))
SMALL = Quotas(space_bytes=800, inbox_items=1)


def of_a_space(frame: f.ClientFrame) -> list[Case]:
    """A frame that needs a role: it is open, it is not, its credential was replaced meanwhile, the space was deleted.
    """
    return [Case(frame, READY), Case(frame, MADE), Case(frame, (*READY, ROTATE)), Case(frame, (*READY, DELETE))]


def of_an_inbox(frame: f.ClientFrame) -> list[Case]:
    """Likewise, at an inbox, which expires."""
    return [Case(frame, (*BOXED, PUT)), Case(frame, (HELLO, INBOX)), Case(frame, BOXED, later=EXPIRY)]


CASES: dict[type[msgspec.Struct], list[Case]] = {
    f.Hello: [Case(HELLO), Case(replace(HELLO, versions=[7])), Case(replace(HELLO, relay="another:1"))],
    f.CreateSpace: [
        Case(CREATE, GREETED), Case(CREATE, (HELLO, signed(replace(CREATE, packets=[])))),
        Case(CREATE, GREETED, tokens=("one",)), Case(CREATE, GREETED, spent=True),
        Case(CREATE, GREETED, quotas=Quotas(space_bytes=1)), Case(replace(CREATE, signature=UNSIGNED), GREETED),
        Case(signed(replace(CREATE, packets=TABLE[::-1])), GREETED)],
    f.Open: [Case(OPEN, MADE), Case(OPEN, GREETED), Case(OPEN, MADE, spent=True)],
    f.Append: [
        *of_a_space(APPEND), Case(APPEND, READY, quotas=SMALL), Case(replace(APPEND, envelope=b""), READY),
        Case(replace(APPEND, envelope=OTHER.envelope(1)), READY)],
    f.Subscribe: [*of_a_space(SUBSCRIBE), Case(replace(SUBSCRIBE, after=7), READY)],
    f.Credit: [Case(f.Credit(HANDLE, 1), (*READY, SUBSCRIBE)), Case(f.Credit(HANDLE, 1), READY)],
    f.Read: [*of_a_space(READ), Case(replace(READ, after=7), READY)],
    f.CreateInbox: [
        Case(INBOX, GREETED), Case(INBOX, GREETED, spent=True), Case(replace(INBOX, signature=UNSIGNED), GREETED),
        Case(INBOX, (HELLO, signed(replace(INBOX, write_key=seed("another")), OWNER))),
        Case(INBOX, GREETED, result=BOXES_FULL)],
    f.Put: [
        *of_an_inbox(PUT), Case(PUT, BOXED, spent=True), Case(PUT, BOXED, result=CROWDED),
        Case(replace(PUT, item=b"2"), (*BOXED, PUT), quotas=SMALL)],
    f.Watch: [*of_an_inbox(WATCH), Case(replace(WATCH, after=7), BOXED)],
    f.Ack: of_an_inbox(ACK),
    f.PutChunk: [*of_a_space(PUT_CHUNK), Case(PUT_CHUNK, READY, quotas=Quotas(blob_bytes=1))],
    f.GetChunk: [Case(GET_CHUNK, (*READY, PUT_CHUNK)), *of_a_space(GET_CHUNK)],
    f.HasChunks: of_a_space(HAS_CHUNKS),
    f.Rotate: [
        Case(ROTATE, MADE), Case(ROTATE, GREETED), Case(replace(ROTATE, signature=UNSIGNED), MADE),
        Case(signed(replace(ROTATE, signer=OTHER.admin.public), OTHER.admin), MADE),
        Case(signed(replace(ROTATE, previous_read=seed("x"))), MADE), Case(ROTATE, MADE, spent=True),
        Case(signed(replace(ROTATE, packets=TABLE[::-1])), MADE),
        Case(signed(replace(ROTATE, packets=sorted((*TABLE, packet("c"), packet("d")), key=lambda one: one.tag))),
             MADE, quotas=SMALL)],
    f.GetPacket: [Case(GET_PACKET, MADE), Case(GET_PACKET, GREETED), Case(GET_PACKET, MADE, spent=True)],
    f.DeleteSpace: [
        Case(DELETE, MADE), Case(DELETE, GREETED), Case(DELETE, MADE, spent=True),
        Case(replace(DELETE, signature=UNSIGNED), MADE),
        Case(signed(replace(DELETE, signer=OTHER.admin.public), OTHER.admin), MADE)],
    f.Keep: [
        Case(KEEP, (*READY, SUBSCRIBE)), Case(KEEP, READY), Case(KEEP, (*READY, SUBSCRIBE), spent=True),
        Case(replace(KEEP, key=KEPT.public), (*READY, SUBSCRIBE))],
    f.Resume: [
        Case(RESUME, MADE, elsewhere=(AddEntry(HANDLE, entry_id(ENVELOPE), ENVELOPE, False, SPACE.keys.append),)),
        Case(RESUME, MADE), Case(RESUME, READY), Case(RESUME, MADE, spent=True),
        Case(replace(RESUME, offsets=[0, 0]), MADE), Case(replace(RESUME, signature=UNSIGNED), MADE)],
    f.Drop: [
        Case(DROP, WRITTEN), Case(DROP, GREETED), Case(replace(DROP, signature=UNSIGNED), WRITTEN),
        Case(signed(replace(DROP, incarnation=seed("x"))), WRITTEN), Case(DROP, WRITTEN, spent=True),
        Case(signed(replace(DROP, ranges=[f.Dropped(1, 1, seed("x"))])), WRITTEN),
        Case(signed(replace(DROP, follows=seed("x"))), WRITTEN), Case(signed(replace(DROP, ranges=[])), WRITTEN),
        Case(signed(replace(DROP, ranges=[f.Dropped(1, 2, HEAD)])), WRITTEN),
        Case(DROP, WRITTEN, result=MUCH_DROPPED)],
    f.Meet: [
        Case(MEET, GREETED, lan=True), Case(MEET, GREETED),
        Case(replace(MEET, proofs=[seed("x")] * LEAST_PROOFS), GREETED, lan=True)],
    f.Broadcast: [
        Case(BROADCAST, READY), Case(BROADCAST, MADE), Case(replace(BROADCAST, message=bytes(200)), READY),
        Case(replace(BROADCAST, message=OTHER.message(1)), READY)],
    f.GetUsage: of_a_space(USAGE),
}
"""Each request: one that is done first, then in every way in which it is refused."""

NEVER_NAMED = {Code.STORAGE, Code.DAMAGED, Code.OUT_OF_ORDER, Code.ROTATED, Code.DELETED}


@pytest.mark.parametrize("kind", f.ClientFrame.__args__, ids=lambda kind: kind.__name__)
def test_the_page_names_the_answers_of_each_request(kind: type[msgspec.Struct]) -> None:
    """What a relay answers stands in the frame's section, and what stands there a relay answers."""
    given = [case.run() for case in CASES[kind]]
    kinds, codes = answers(kind)
    met = {one for case in given for one in case}
    assert set(given[0]) == kinds == {one for one in met if one[:1].isupper()}, "what is done is answered so"
    met -= kinds
    assert met - NEVER_NAMED <= codes <= met
    if met & {Code.ROTATED, Code.DELETED}:
        assert Code.ROLE in codes, "the page says it once, of all that need a role"


@pytest.mark.parametrize("kind", f.ClientFrame.__args__, ids=lambda kind: kind.__name__)
def test_whatever_needs_the_store_is_answered_when_it_fails(kind: type[msgspec.Struct]) -> None:
    """With `storage`, or `damaged`: the page says so once, and which requests do not need the store."""
    case, codes = CASES[kind][0], answers(kind)[1]
    exempt = quoted(paragraph("Damage and failure").split("all but")[1].split(":")[0])
    assert (kind.__name__ in exempt) is not case.asks and not {Code.STORAGE, Code.DAMAGED} & codes
    if case.asks:
        for result in (FAILED, DAMAGED):
            assert Case(case.frame, case.before, result=result).run() == [result.code]


@pytest.mark.parametrize("kind", f.ClientFrame.__args__, ids=lambda kind: kind.__name__)
def test_whatever_comes_too_early_is_out_of_order(kind: type[msgspec.Struct]) -> None:
    """The page says so once."""
    assert f"`{Code.OUT_OF_ORDER}`" in paragraph("Order of a connection")
    if kind is not f.Hello:
        assert Case(CASES[kind][0].frame).run() == [Code.OUT_OF_ORDER]


def test_the_page_names_what_a_relay_on_a_network_of_its_home_does_not_take() -> None:
    """Whatever is about a space that was proven is taken there, these frames alone are not."""
    met = (HELLO, MEET)
    refused = [type(cases[0].frame).__name__ for cases in CASES.values()
               if Case(cases[0].frame, met, lan=True).run() == [Code.STRANGER]]
    assert refused == quoted(paragraph("Meeting").split("it takes no ")[1].split(".")[0])
    for frame in (replace(GET_PACKET, handle=OTHER.handle), opening(OTHER.handle, {Role.READ: OWNER})):
        assert Case(frame, met, lan=True).run() == [Code.STRANGER]


def test_the_page_names_what_becomes_of_each_claim() -> None:
    """An `Opened` tells of each why it is not open."""
    unproven = f.Open(2, [replace(OPEN.claims[0], signature=UNSIGNED)])
    cases = [Case(OPEN, MADE), Case(OPEN, GREETED), Case(OPEN, (*MADE, DELETE)), Case(unproven, MADE),
             Case(OPEN, MADE, spent="open_place"), Case(OPEN, MADE, result=Found((DAMAGED,) * len(OPEN.claims)))]
    met = {claim.error for case in cases for one in case.frames() if isinstance(one, f.Opened) for claim in one.spaces}
    assert met == {"", *quoted(section(f.Opened).split("the role is open, else")[1].split(".")[0])}


def test_the_page_names_what_becomes_of_each_kept_space() -> None:
    """A `Resumed` tells of each why it did not come back."""
    cases = [Case(RESUME, GREETED), Case(RESUME, (*MADE, DELETE)), Case(RESUME, (*MADE, ROTATE)),
             Case(replace(RESUME, offsets=[7]), MADE), Case(RESUME, MADE, spent="open_place"),
             Case(RESUME, MADE, result=Found((DAMAGED,)))]
    met = {lost.code for case in cases for one in case.frames() if isinstance(one, f.Resumed) for lost in one.lost}
    assert met == set(quoted(section(f.Resumed).split("`code`:")[1].split("]")[0]))


def test_the_page_names_why_roles_end() -> None:
    """An `Ended` tells it."""
    session = RelaySession(names=[NAME], nonce=seed("n"), incarnation=STORE)
    store, met = MemoryStorage(STORE), set()
    for credentials in (NEXT.keys.credentials, None):
        for frame in READY:
            for effect in session.receive(f.encode(frame)):
                if isinstance(effect, Ask):
                    session.completed(effect, store.perform_now([effect.request])[0])
        (sent,) = session.rotated(HANDLE, credentials)
        assert isinstance(sent, Send)
        ended = f.decode_relay(sent.data)
        assert isinstance(ended, f.Ended)
        met.add(ended.code)
    assert met == set(quoted(section(f.Ended).split("`code` (")[1].split(")")[0]))
