"""What statements cost to judge is bounded, however they are entangled; and the way that is bounded changes no verdict.
"""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez.spaces.card import Card
from chez.spaces.dag import Dag
from chez.spaces.membership import Membership
from chez.spaces.rules import MAX_PERSONS
from chez.spaces.statements import Certify, Role, Signed, commitment_of, consent, sign_statement
from tests.spaces.entangled import beside_roles, devices_apart
from tests.spaces.people import Author, Person, begin, seed
from tests.spaces.reference import Model
from tests.spaces.test_membership_model import history
from tests.tries import tries

Log = Callable[[int], tuple[bytes, list[Signed]]]
LOGS: list[Log] = [lambda count: (bytes(32), devices_apart(count)), beside_roles]


def _looks(monkeypatch: pytest.MonkeyPatch, space: bytes, statements: list[Signed]) -> int:
    """How many pasts are looked into while statements come one by one, and the state is asked for after each."""
    looks, past = 0, Dag.past

    def counted(self: Dag, number: int) -> int:
        nonlocal looks
        looks += 1
        return past(self, number)

    monkeypatch.setattr(Dag, "past", counted)
    members = Membership(space)
    for one in statements:
        members.add([one])
        assert members.state is not None
    monkeypatch.undo()
    assert len(members) == len(statements)
    return looks


@pytest.mark.parametrize("log", LOGS, ids=["devices", "roles"])
def test_entangled_statements_cost_no_more_than_their_number_squared(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as many statements, each beside most of the others, cost four times as much and no more."""
    few, many = log(90), log(180)
    looks = [_looks(monkeypatch, *statements) for statements in (few, many)]
    assert looks[1] <= 4.2 * looks[0]
    assert looks[1] <= len(many[1]) ** 2


def test_two_who_always_speak_at_the_same_time_cost_what_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """What knows all that was said before is judged on that alone, though no single statement sums it up."""
    costs = []
    for steps in (20, 40):
        space, log = beside_roles(3)
        people = [Person(f"owner {n}") for n in range(3)]
        authors = [Author(space, person.devices[0].signing) for person in people]
        heads = sorted(Model(space, log).all.keys() - {head for one in log for head in one.heads})
        for n in range(steps):
            said = [author.set_role(heads, people[2].id, Role(n % 2)) for author in authors[:2]]
            log += said
            heads = sorted(one.hash for one in said)
        costs.append(_looks(monkeypatch, space, log))
    assert costs[1] <= 2.2 * costs[0]


@given(st.integers(0, 2**32))
@settings(max_examples=tries(12), deadline=None)
def test_of_every_past_the_same_takes_effect_as_by_the_definition(seed: int) -> None:
    """In long histories too, and of any set of statements with all they build on, not of the whole alone."""
    choose = random.Random(seed)
    space, statements = history(choose, 50)
    model, members = Model(space, statements), Membership(space)
    choose.shuffle(statements)
    members.add(statements)
    for one in choose.sample(statements, 12):
        past = Membership(space)
        past.add(known for known in statements if known.hash in model.past(one.hash))
        assert {known.hash for known in past.statements} - {void.hash for void, _ in past.void()} == (
            model.effective(model.past(one.hash)))
    assert {one.hash for one in statements} - {one.hash for one, _ in members.void()} == (
        model.effective(frozenset(model.all)))


def test_the_largest_card_is_read_in_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A card of some 120 KiB of entangled statements is judged in work that its number of statements bounds."""
    log = devices_apart(390)
    assert 110 * 1024 < sum(len(one.raw) for one in log) < 128 * 1024
    card = Card.of(Person("mallory").id, log)
    assert Card.read(card.text).statements == card.statements
    assert _looks(monkeypatch, bytes(32), log) <= len(log) ** 2


def test_a_device_of_too_many_persons_is_heard_no_more() -> None:
    """Each more person is looked at with all that the device says, so there is a limit, alike on every device."""
    alice = Person("alice")
    log = begin(alice)
    space, device, owner = log[-1].hash, Person("shared").devices[0], Author(log[-1].hash, alice.devices[0].signing)
    heads, said = [space], []
    for n in range(MAX_PERSONS + 1):
        person = Person(f"face {n}")
        enrol, salt = person.enrol(), seed("face", n)
        word = consent(device.signing, commitment_of(person.id, salt), device.sealing.public)
        certify = sign_statement(Certify(person.id, [enrol.hash], person.id, device.id, device.sealing.public, "one",
                                         salt, word), person.root)
        added = owner.add([*heads, certify.hash], person.id, Role.OWNER)
        heads = [added.hash]
        log += [enrol, certify, added]
        said.append(Author(space, device.signing).set_role(heads, Person("face 0").id, Role(1 + (n % 2))))
    members, model = Membership(space), Model(space, [*log, *said])
    members.add([*log, *said])
    void = {one.hash: reason for one, reason in members.void()}
    assert said[-1].hash in void and "too many persons" in void[said[-1].hash]
    assert all("too many" not in void.get(one.hash, "") for one in said[:-1])
    assert set(model.all) - set(void) == model.effective(frozenset(model.all))
