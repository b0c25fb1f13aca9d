"""Membership agrees with its definition, whatever was said at the same time and in whatever order it arrives."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from chez.spaces.membership import Membership
from chez.spaces.statements import Certify, Cut, Expel, NewEpoch, Role, Signed
from tests.spaces.people import Author, Person, begin
from tests.spaces.reference import Model
from tests.tries import tries

PEOPLE = [Person(name) for name in ("alice", "bob", "carol")]


class Site:
    """A place that holds some of the statements and says things on their ground."""

    def __init__(self, space: bytes, statements: list[Signed]) -> None:
        self.membership = Membership(space)
        self.membership.add(statements)

    def say(self, choose: random.Random) -> Signed | None:
        """One statement, right or wrong, by somebody; sometimes on older ground than is known here."""
        members, state = self.membership, self.membership.state
        known = members.statements
        space_heads = sorted(members.heads)
        if choose.random() < 0.25:
            space_heads = [choose.choice(known).hash]
        person = choose.choice(PEOPLE)
        person_heads = members.person_heads(person.id)
        device = choose.choice([device for one in PEOPLE for device in one.devices
                                if device.id in state.devices or choose.random() < 0.2] or PEOPLE[0].devices)
        author = Author(members.space, device.signing)
        what = choose.choice(["certify", "certify", "expel", "add", "add", "remove", "role", "role", "retire", "epoch"])
        if what == "certify" and person_heads:
            by = choose.choice([person.root, *(one.signing for one in person.devices)])
            return person.certify(self._older(choose, person, person_heads), choose.randrange(3), by)
        if what == "expel" and person_heads:
            by = choose.choice([person.root, *(one.signing for one in person.devices)])
            keep = [one.hash for one in members.person_log(person.id)
                    if isinstance(one.body, Certify) and choose.random() < 0.5]
            return person.expel(self._older(choose, person, person_heads), choose.choice(person.devices).id, by, keep)
        if what == "certify":
            return person.enrol()
        if what == "add":
            return author.add(space_heads, person.id, choose.choice(list(Role)))
        if what == "remove":
            return author.remove(space_heads, person.id)
        if what == "role":
            return author.set_role(space_heads, person.id, choose.choice(list(Role)))
        if what == "retire":
            own = [one.id for someone in PEOPLE if device in someone.devices for one in someone.devices]
            gone = sorted(state.expelled & set(own)) or own
            return author.retire(space_heads, Cut(choose.choice(gone), 3, bytes(32)))
        if what == "epoch":
            number = 1 + max((state.epochs[head].number for head in state.epoch_heads), default=0)
            others = [one.hash for one in known
                      if isinstance(one.body, NewEpoch) and one.hash not in state.epoch_heads and choose.random() < 0.3]
            true = {one.hash: one.body.number for one in known if isinstance(one.body, NewEpoch)}
            return author.epoch(space_heads, number, [*sorted(state.epoch_heads), *others],
                                true if choose.random() < 0.8 else None)
        return None

    def _older(self, choose: random.Random, person: Person, heads: list[bytes]) -> list[bytes]:
        if choose.random() < 0.3:
            return [choose.choice(self.membership.person_log(person.id)).hash]
        return heads


def history(choose: random.Random, steps: int) -> tuple[bytes, list[Signed]]:
    """A space in which three people's devices say things at three sites that meet now and then.

    The device that made it may be one that another had let in: expelled with that one, or at the same time.
    """
    maker = choose.randrange(2)
    first = begin(PEOPLE[0], by=maker)
    space = first[-1].hash
    alone = {PEOPLE[0].id: first[1]}
    for person in PEOPLE[1:]:
        enrol = person.enrol()
        alone[person.id] = person.certify([enrol.hash], 0, person.root)
        first += [enrol, alone[person.id]]
    alice = Author(space, PEOPLE[0].devices[maker].signing)
    if choose.random() < 0.5:
        first.append(alice.epoch([space], 1, []))
    heads = [space, *sorted(alone[person.id].hash for person in PEOPLE[1:])]
    first.append(alice.add(heads, PEOPLE[1].id, Role.OWNER))
    first.append(alice.add([first[-1].hash], PEOPLE[2].id, Role.WRITER))
    first += [person.certify([alone[person.id].hash], 1, person.devices[0].signing)
              for person in PEOPLE if maker == 0 or person is not PEOPLE[0]]
    sites = [Site(space, first) for _ in range(3)]
    for _ in range(steps):
        site = choose.choice(sites)
        if choose.random() < 0.25:
            site.membership.add(choose.choice(sites).membership.statements)
        elif (said := site.say(choose)) is not None:
            site.membership.add([said])
    everything: dict[bytes, Signed] = {}
    for site in sites:
        everything.update((one.hash, one) for one in site.membership.statements)
    return space, list(everything.values())


@given(st.integers(0, 2**32), st.integers(1, 24))
@settings(max_examples=tries(150), deadline=None)
def test_members_are_those_of_the_definition(seed: int, steps: int) -> None:
    """Roles, devices, epochs and every verdict equal those of the plain definition, in any order of arrival."""
    choose = random.Random(seed)
    space, statements = history(choose, steps)
    facts = Model(space, statements).facts()
    effective = Model(space, statements).effective(frozenset(one.hash for one in statements))
    for _ in range(3):
        choose.shuffle(statements)
        members = Membership(space)
        for one in statements:
            members.add([one])
        state = members.state
        assert {person: member.role for person, member in state.members.items()} == facts.roles
        assert (state.expelled, state.retired, state.epoch_heads) == (
            facts.expelled, facts.retired, facts.epoch_heads)
        assert {device for device in facts.devices if facts.right(device) is not None} == set(state.devices)
        assert {one.hash for one in statements} - {one.hash for one, _ in members.void()} == effective


@given(st.integers(0, 2**32))
@settings(max_examples=tries(60), deadline=None)
def test_whole_state_does_not_depend_on_arrival(seed: int) -> None:
    """All that is known of a space, owed rotations included, is the same after any order of arrival."""
    choose = random.Random(seed)
    space, statements = history(choose, 30)
    states = []
    for _ in range(3):
        choose.shuffle(statements)
        members = Membership(space)
        members.add(statements)
        states.append((members.state, members.heads, members.state.rotation_owed, members.state.uncovered))
    assert all(state[1:] == states[0][1:] for state in states)
    assert all(_plain(state[0]) == _plain(states[0][0]) for state in states)


def _plain(state: object) -> dict[str, object]:
    """A state's fields, its collections without the order they were filled in."""
    plain = {}
    for name in state.__struct_fields__:  # type: ignore[attr-defined]
        value = getattr(state, name)
        plain[name] = {key: sorted(one) if isinstance(one, tuple) else one for key, one in value.items()} \
            if hasattr(value, "items") else value
    return plain


@given(st.integers(0, 2**32))
@settings(max_examples=tries(40), deadline=None)
def test_rotation_is_owed_while_a_removal_is_not_in_the_past_of_the_epoch(seed: int) -> None:
    """A rotation is owed exactly while an effective removal is unknown to an epoch head, or heads are several."""
    space, statements = history(random.Random(seed), 24)
    members = Membership(space)
    members.add(statements)
    state, model = members.state, Model(space, statements)
    effective = model.effective(frozenset(model.all))
    gone = [x for x in effective if model.strong(x) and not isinstance(model.all[x].body, Expel)]
    missed = {x for x in gone for head in state.epoch_heads if x not in model.past(head)}
    if not state.epoch_heads:
        missed = set(gone)
    if missed or len(state.epoch_heads) > 1:
        assert state.rotation_owed
    elif not any(isinstance(model.all[x].body, Expel) for x in effective):
        assert not state.rotation_owed


def test_the_generator_reaches_what_it_should() -> None:
    """The histories hold removals, epochs and refusals of every kind: the properties above are about something."""
    seen: set[str] = set()
    for seed in range(60):
        space, statements = history(random.Random(seed), 24)
        members = Membership(space)
        members.add(statements)
        void = {one.hash for one, _ in members.void()}
        for one in statements:
            seen.add(f"{type(one.body).__name__} {'void' if one.hash in void else 'stands'}")
        if members.state.rotation_owed:
            seen.add("owed")
        if len(members.state.epoch_heads) > 1:
            seen.add("two epochs")
        if any(isinstance(one.body, NewEpoch) for one in statements):
            seen.add("epoch")
    kinds = ("Certify", "Expel", "Add", "Remove", "SetRole", "Retire", "NewEpoch")
    assert seen >= {f"{kind} {fate}" for kind in kinds for fate in ("void", "stands")} | {"owed", "two epochs"}
