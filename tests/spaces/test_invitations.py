"""Invitations by link: who holds one proves it, nobody else does; who gets in, and who does not."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import crypto
from chez.errors import BadEntry, InvalidValue
from chez.keys.epochs import Epoch
from chez.spaces.card import Card
from chez.spaces.invitations import (
    InviteKeys,
    InviteLink,
    Reason,
    Refusal,
    Reply,
    Request,
    Verdict,
    Welcome,
    judge,
    keys_of,
    open_request,
    request_plain,
    seal_request,
    used,
)
from chez.spaces.membership import Membership
from chez.spaces.statements import Add, Invite, Kind, Revoke, Role, Signed
from tests.spaces.people import Author, Person, begin
from tests.tries import tries
from tests.vectors.fixed import LAPTOP
from tests.vectors.golden import golden
from tests.vectors.make_invitations import CARD, INVITE, KEYS, REPLY, vectors

GOLDEN = golden("invitations")
EXPIRES = 1_000_000
SECRET = Epoch(bytes(32), 1, bytes(range(32)), None)


def card(person: Person, devices: int = 1) -> Card:
    """A person's card."""
    said = [person.enrol()]
    for number in range(devices):
        said.append(person.certify([said[-1].hash], number, person.root))
    return Card.of(person.id, said)


@dataclass
class Inviting:
    """Alice's space with an invitation, as one of her devices has it."""

    uses: int = 1
    role: Role = Role.WRITER
    alice: Person = field(default_factory=lambda: Person("alice"))
    now: int = 0

    def __post_init__(self) -> None:
        first = begin(self.alice, Kind.SHARED)
        self.space = first[-1].hash
        self.members = Membership(self.space)
        self.members.add(first)
        self.author = Author(self.space, self.alice.devices[0].signing)
        nonce = bytes((7,)) * 32
        self.keys = InviteKeys.derive(SECRET, self.space, nonce)
        self.statement = self.say(Invite(self.space, self.heads, self.author.key.public, self.keys.proof.public,
                                         self.role, self.uses, EXPIRES, nonce))
        assert isinstance(self.statement.body, Invite)
        self.invite = self.statement.body

    @property
    def heads(self) -> list[bytes]:
        return sorted(self.members.heads)

    @property
    def link(self) -> InviteLink:
        return self.keys.link(self.invite, "wss://relay.example", "Trip")

    def say(self, body: object) -> Signed:
        statement = self.author.sign(body)  # type: ignore[arg-type]
        self.members.add([statement])
        assert not [one for one, _ in self.members.void()]
        return statement

    def ask(self, person: Person, number: int = 0, devices: int = 1) -> bytes:
        """What a guest puts into the inbox."""
        return seal_request(self.link, card(person, devices), person.devices[number],
                            Reply(crypto.hash_fields("test", person.id)))

    def answer(self, box: bytes) -> Verdict | Reason:
        """What comes of a request; who is to be let in, is."""
        request = open_request(box, self.keys, self.space)
        verdict = judge(self.members.state, self.invite, self.statement.hash, request, self.now)
        if verdict is Verdict.ADMIT:
            self.members.add(request.card.statements)
            self.say(Add(self.space, self.heads, self.author.key.public, request.card.person, self.invite.role,
                         self.statement.hash))
        return verdict

    def revoke(self) -> None:
        self.say(Revoke(self.space, self.heads, self.author.key.public, self.statement.hash))

    def remove(self, person: Person) -> None:
        self.members.add([self.author.remove(self.heads, person.id)])


def test_who_has_the_link_is_let_in_and_asking_again_changes_nothing() -> None:
    """A request with the link's proof lets its person in, in the invitation's role; repeated, also by the relay or by
    another device of the person, after the invitation is used up, expired and revoked, it has the same answer."""
    inviting, bob = Inviting(), Person("bob")
    box = inviting.ask(bob)
    assert inviting.answer(box) is Verdict.ADMIT
    assert inviting.members.state.role(bob.id) is Role.WRITER and used(inviting.members.state, inviting.statement.hash)
    inviting.revoke()
    inviting.now = EXPIRES
    for again in (box, inviting.ask(bob), inviting.ask(bob, 1, devices=2)):
        assert inviting.answer(again) is Verdict.AGAIN
    assert used(inviting.members.state, inviting.statement.hash) == 1


def test_an_invitation_lets_in_so_many_and_until_then() -> None:
    """With one use the second guest is refused; so is whoever comes at the time it ends, or after it was revoked."""
    one = Inviting()
    assert one.answer(one.ask(Person("bob"))) is Verdict.ADMIT
    assert one.answer(one.ask(Person("carol"))) is Reason.USED
    late = Inviting(now=EXPIRES - 1, uses=2)
    assert late.answer(late.ask(Person("bob"))) is Verdict.ADMIT
    late.now = EXPIRES
    assert late.answer(late.ask(Person("carol"))) is Reason.EXPIRED
    revoked = Inviting()
    revoked.revoke()
    assert revoked.answer(revoked.ask(Person("bob"))) is Reason.REVOKED


def test_an_invitation_of_who_owns_the_space_no_more_is_worth_nothing() -> None:
    """Alice, who invited, makes Bob an owner and becomes a writer: her invitation ends with it."""
    inviting, bob = Inviting(role=Role.OWNER, uses=2), Person("bob")
    assert inviting.answer(inviting.ask(bob)) is Verdict.ADMIT
    inviting.members.add([Author(inviting.space, bob.devices[0].signing).set_role(
        inviting.heads, inviting.alice.id, Role.WRITER)])
    assert inviting.answer(inviting.ask(Person("carol"))) is Reason.REVOKED


def test_an_invitation_brings_nobody_back() -> None:
    """Who was taken out after coming by it is not let in again, whoever repeats the request; nor is a device that its
    person expelled, with a card from before."""
    inviting, bob = Inviting(uses=9), Person("bob")
    box = inviting.ask(bob, devices=2)
    assert inviting.answer(box) is Verdict.ADMIT
    enrolled = card(bob, 2).statements
    inviting.members.add([bob.expel([enrolled[-1].hash], bob.devices[0].id, bob.root)])
    assert inviting.answer(box) is Reason.REMOVED
    assert inviting.answer(inviting.ask(bob, 1, devices=2)) is Verdict.AGAIN
    inviting.remove(bob)
    assert inviting.answer(inviting.ask(bob, 1, devices=2)) is Reason.REMOVED


def test_a_card_that_somebody_found_lets_nobody_in() -> None:
    """Mallory holds the link and Bob's card: signed by Mallory's device, or with Bob's device named, it is refused.

    So it is where Mallory proves to hold the link for just that, as whoever holds it can: Bob's device did not sign.
    """
    inviting, bob, mallory = Inviting(), Person("bob"), Person("mallory")
    reply = Reply(bytes(32))
    with pytest.raises(BadEntry):
        open_request(seal_request(inviting.link, card(bob), mallory.devices[0], reply), inviting.keys, inviting.space)
    plain = request_plain(inviting.link, card(bob), mallory.devices[0], reply)
    form = msgspec.msgpack.decode(plain[4 : 4 + int.from_bytes(plain[:4], "big")])
    form[3] = bob.devices[0].id
    fields = inviting.space, inviting.link.proof.public, bob.id, bob.devices[0].id, reply.secret
    for proof in (form[5], inviting.link.proof.sign("chez/1 invitation request", *fields)):
        form[5] = proof
        data = msgspec.msgpack.encode(form)
        forged = crypto.seal_to(inviting.link.sealing, len(data).to_bytes(4, "big") + data)
        with pytest.raises(BadEntry, match="not signed"):
            open_request(forged, inviting.keys, inviting.space)


def test_a_request_for_one_invitation_is_worth_nothing_for_another() -> None:
    """What was asked of one invitation, sealed for another one or another space, is refused."""
    inviting, other = Inviting(), InviteKeys.derive(SECRET, bytes(32), bytes(32))
    box = inviting.ask(Person("bob"))
    again = crypto.seal_to(other.sealing.public, inviting.keys.sealing.open(box))
    for keys, space, sealed in ((other, inviting.space, again), (inviting.keys, bytes(32), box),
                                (other, bytes(32), box)):
        with pytest.raises(BadEntry):
            open_request(sealed, keys, space)


def test_only_the_inviters_devices_have_the_secrets() -> None:
    """An invitation's keys follow from its statement and any one epoch of the private space that made it."""
    inviting = Inviting()
    later = Epoch(bytes((1,)) * 32, 2, bytes((9,)) * 32, None)
    found = keys_of([SECRET, later], inviting.invite)
    assert found is not None and found.seed == inviting.keys.seed
    assert keys_of([later], inviting.invite) is None
    guest = InviteLink.read(inviting.link.text)
    assert guest.proof.public == inviting.invite.key and guest.put.public == found.put.public
    assert found.sealing.seed not in msgspec.msgpack.encode(guest)
    assert found.inbox.seed not in msgspec.msgpack.encode(guest)


def test_an_answer_is_for_one_guest() -> None:
    """A welcome and a refusal open with the guest's secret, of one size each, and with no other."""
    reply, other = Reply(bytes(32)), Reply(bytes((1,)) * 32)
    boxes = [reply.seal(answer, bytes(24)) for answer in (Welcome("chez-space:AA"), Refusal(Reason.EXPIRED))]
    assert [reply.open(box) for box in boxes] == [Welcome("chez-space:AA"), Refusal(Reason.EXPIRED)]
    assert len({len(box) for box in boxes}) == 1
    for box in (*boxes, boxes[0][:-1]):
        with pytest.raises(BadEntry):
            other.open(box)


@pytest.mark.parametrize("key", [bytes(32), (1).to_bytes(32, "little")])
def test_a_link_to_whose_key_nothing_can_be_sealed_is_refused_in_words(key: bytes) -> None:
    """What is sealed to a key of low order everybody could read: such a link is forged, and nothing is sent."""
    with pytest.raises(InvalidValue, match="forged"):
        seal_request(msgspec.structs.replace(Inviting().link, sealing=key), card(Person("bob")),
                     Person("bob").devices[0], Reply(bytes(32)))


def test_a_card_too_long_for_the_inbox_is_refused_at_once() -> None:
    """A person of whom very much was said is told to use a card, before anything is sent."""
    person = Person("bob")
    statements = list(card(person).statements)
    while sum(len(one.raw) for one in statements) < 64 * 1024:
        statements.append(person.certify([statements[-1].hash], 0, person.root))
    with pytest.raises(InvalidValue):
        seal_request(Inviting().link, Card.of(person.id, statements), person.devices[0], REPLY)


@given(st.binary(max_size=300), st.text(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes, text: str) -> None:
    """Anything but a request, an answer or a link is answered with a typed error, sealed rightly or not."""
    inviting = Inviting()
    padded = len(data).to_bytes(4, "big") + data
    for box in (data, crypto.seal_to(inviting.link.sealing, data), crypto.seal_to(inviting.link.sealing, padded)):
        with pytest.raises(BadEntry):
            open_request(box, inviting.keys, inviting.space)
    with pytest.raises(BadEntry):
        REPLY.open(data)
    for wrong in (text, "chez-invite:" + text, inviting.link.text[: len(text)]):
        with pytest.raises(InvalidValue):
            InviteLink.read(wrong)


@given(st.binary(min_size=1, max_size=8), st.integers(0, 2**16))
def test_a_request_altered_anywhere_is_refused(change: bytes, at: int) -> None:
    """No byte of what is inside a request, up to its padding, can be another."""
    plain = bytearray(request_plain(KEYS.link(INVITE, "wss://relay.example", "Trip"), CARD, LAPTOP, REPLY))
    size = 4 + int.from_bytes(plain[:4], "big")
    at %= size - len(change)
    if plain[at : at + len(change)] == change:
        return
    plain[at : at + len(change)] = change
    with pytest.raises(BadEntry):
        open_request(crypto.seal_to(KEYS.sealing.public, bytes(plain)), KEYS, INVITE.space)


steps = st.lists(st.tuples(st.sampled_from(["ask", "ask", "ask", "remove", "revoke", "wait"]), st.integers(0, 3)),
                 max_size=14)


@settings(max_examples=tries(40))
@given(st.integers(1, 3), steps)
def test_whatever_happens_the_policy_holds(uses: int, steps: list[tuple[str, int]]) -> None:
    """In any order of requests, removals, revocation and time: at most so many come in, none after the end, members
    are always answered alike, and who was taken out stays out."""
    inviting, guests = Inviting(uses=uses), [Person(name) for name in ("bob", "carol", "dora", "erik")]
    members: set[int] = set()
    gone: set[int] = set()
    revoked = False
    for what, number in steps:
        if what == "ask":
            verdict = inviting.answer(inviting.ask(guests[number]))
            ended = revoked or inviting.now >= EXPIRES or len(members | gone) >= uses
            expected = (Verdict.AGAIN if number in members else Reason.REMOVED if number in gone else
                        None if ended else Verdict.ADMIT)
            assert verdict is expected or (expected is None and isinstance(verdict, Reason))
            members |= {number} if verdict is Verdict.ADMIT else set()
        elif what == "remove" and number in members:
            inviting.remove(guests[number])
            members.discard(number)
            gone.add(number)
        elif what == "revoke" and not revoked:
            inviting.revoke()
            revoked = True
        elif what == "wait":
            inviting.now += EXPIRES // 2
    assert {guests.index(one) for one in guests if inviting.members.state.role(one.id) is not None} == members
    assert used(inviting.members.state, inviting.statement.hash) == len(members | gone)


def test_golden_vectors_hold() -> None:
    """The same epoch and nonce give the same keys, link, request and answer as ever, and what is pinned reads back."""
    assert vectors() == GOLDEN
    link = InviteLink.read(GOLDEN["link"]["text"])
    assert (link.seed.hex(), link.role, link.expires) == (GOLDEN["keys"]["seed"], INVITE.role, INVITE.expires)
    assert link.pins == (GOLDEN["link"]["pin"],)
    plain = bytes.fromhex(GOLDEN["request"]["plain"]).ljust(int(GOLDEN["request"]["size"]), b"\0")
    request = open_request(crypto.seal_to(link.sealing, plain), KEYS, link.space)
    assert isinstance(request, Request) and request.card == CARD and request.device == LAPTOP.id
    assert request.reply.open(bytes.fromhex(GOLDEN["answer"]["welcome"])) == Welcome(GOLDEN["answer"]["link"])
    assert request.reply.open(bytes.fromhex(GOLDEN["answer"]["refusal"])) == Refusal(Reason.USED)
