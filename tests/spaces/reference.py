"""Membership as its definition reads: sets and quantifiers, nothing kept, nothing clever.

The engine's `Membership` is held to this. It is exponential in spirit: for small sets only.
"""

from dataclasses import dataclass
from functools import cache

from chez.spaces.rules import MAX_PERSONS
from chez.spaces.statements import (
    MAX_PREVIOUS,
    Add,
    Certify,
    Create,
    Cut,
    Enrol,
    Expel,
    Kind,
    Move,
    NewEpoch,
    PersonBody,
    Remove,
    RenameDevice,
    Retire,
    Role,
    SetRole,
    Signed,
)

REMOVES = (Remove, SetRole, Expel, Retire)


@dataclass(frozen=True)
class Facts:
    """What a set of statements that take effect amounts to."""

    roles: dict[bytes, Role]
    devices: dict[bytes, frozenset[bytes]]
    expelled: frozenset[bytes]
    retired: frozenset[bytes]
    epoch_heads: frozenset[bytes]
    created: bool
    kind: Kind | None
    enrolled: frozenset[bytes]

    def right(self, device: bytes) -> Role | None:
        if device not in self.devices or device in self.expelled or device in self.retired:
            return None
        return max((self.roles[p] for p in self.devices[device] if p in self.roles), default=None)


class Model:
    """The members of a space, of all statements that are given at once."""

    def __init__(self, space: bytes, statements: list[Signed]) -> None:
        self.space = space
        self.all = {one.hash: one for one in statements}
        self.past = cache(self._past)
        self.effective = cache(self._effective)
        self.authorised = cache(self._authorised)
        self.targets = cache(self._targets)

    def facts(self, hashes: frozenset[bytes] | None = None) -> Facts:
        whole = frozenset(self.all) if hashes is None else hashes
        return self._facts(self.effective(whole))

    def _past(self, x: bytes) -> frozenset[bytes]:
        heads = self.all[x].heads
        return frozenset(heads).union(*(self.past(head) for head in heads))

    def concurrent(self, a: bytes, b: bytes) -> bool:
        return a != b and a not in self.past(b) and b not in self.past(a)

    # --- what takes effect ---------------------------------------------------------------

    def _effective(self, s: frozenset[bytes]) -> frozenset[bytes]:
        right = [x for x in s if self.authorised(x)]
        void = self._void(s, right)
        strong = {x for x in right if self.strong(x) and x not in void}
        standing = {x for x in strong if not isinstance(self.all[x].body, Retire) or any(
            isinstance(self.all[e].body, Expel) and self.all[x].body.cut.device in self.targets(e)
            and self.authorised(e) and e not in void for e in self.past(x))}
        effective: set[bytes] = set(standing)
        grew = True
        while grew:
            grew = False
            for x in right:
                if self.begins(x) and x not in effective:
                    effective.add(x)
                    grew = True
                if x in effective or x in void or self.strong(x) or any(self.hits(r, x) for r in standing):
                    continue
                if all(not support or support & effective for support in self.supports(x)):
                    effective.add(x)
                    grew = True
        return frozenset(effective)

    def _void(self, s: frozenset[bytes], right: list[bytes]) -> set[bytes]:
        roots = [x for x in right
                 if isinstance(self.all[x].body, Expel) and self.all[x].issuer == self.all[x].body.person]
        void: set[bytes] = set()
        grew = True
        while grew:
            grew = False
            for x in right:
                body = self.all[x].body
                if x in void or self.begins(x) or isinstance(body, Enrol) or (isinstance(body, PersonBody)
                                                            and self.all[x].issuer == body.person):
                    continue
                certificates = self.supports(x)[0]
                if (certificates and certificates <= void) or (isinstance(body, PersonBody) and any(
                        self.concurrent(e, x) and self.all[e].body.person == body.person for e in roots)):
                    void.add(x)
                    grew = True
        return void

    def begins(self, x: bytes) -> bool:
        body = self.all[x].body
        return isinstance(body, Create) or (
            isinstance(body, NewEpoch) and not body.previous and body.heads == [self.space]
            and body.issuer == self.all[self.space].body.issuer)

    def strong(self, x: bytes) -> bool:
        body = self.all[x].body
        if isinstance(body, SetRole):
            return body.role < self.facts(self.past(x)).roles.get(body.person, Role.READER)
        return isinstance(body, Remove | Expel | Retire)

    def hits(self, r: bytes, x: bytes) -> bool:
        if not self.concurrent(r, x) or self.strong(x):
            return False
        body, said = self.all[r].body, self.all[x].body
        if isinstance(body, Expel):
            return isinstance(said, PersonBody) and self.all[x].issuer in self.targets(r)
        if isinstance(said, PersonBody):
            return False
        persons = self.facts(self.past(x)).devices.get(self.all[x].issuer, frozenset())
        if isinstance(body, Retire):
            return self.all[x].issuer == body.cut.device
        return body.person in persons and not isinstance(said, Create) and (
            isinstance(body, Remove) or self.needs(x) > body.role)

    def supports(self, x: bytes) -> tuple[frozenset[bytes], frozenset[bytes]]:
        body, issuer = self.all[x].body, self.all[x].issuer
        if isinstance(body, Enrol) or (isinstance(body, PersonBody) and issuer == body.person):
            return frozenset(), frozenset()
        effective = self.effective(self.past(x))
        certificates = frozenset(c for c in effective
                                 if isinstance(self.all[c].body, Certify) and self.all[c].body.device == issuer)
        if isinstance(body, PersonBody | Create):
            return certificates, frozenset()
        persons = {self.all[c].body.person for c in certificates}
        return certificates, frozenset(g for p in persons for g in self._live(effective, p))

    # --- what is right in its own past --------------------------------------------------------

    def needs(self, x: bytes) -> Role:
        body = self.all[x].body
        facts = self.facts(self.past(x))
        own = getattr(body, "person", None) in facts.devices.get(self.all[x].issuer, frozenset())
        if isinstance(body, Retire) or (own and isinstance(body, Remove)) or (
                own and isinstance(body, SetRole) and self.strong(x)):
            return Role.READER
        return Role.OWNER

    def _authorised(self, x: bytes) -> bool:
        body, facts = self.all[x].body, self.facts(self.past(x))
        if isinstance(body, Enrol):
            return True
        if isinstance(body, PersonBody):
            if not all(isinstance(self.all[h].body, PersonBody) and self.all[h].body.person == body.person
                       for h in body.heads):
                return False
            mine = facts.devices.get(body.issuer, frozenset())
            if body.person not in facts.enrolled or (body.issuer != body.person and (
                    body.person not in mine or body.issuer in facts.expelled)):
                return False
            if isinstance(body, Certify):
                return body.device not in facts.expelled
            return body.person in facts.devices.get(body.device, frozenset())
        if isinstance(body, Create):
            return (x == self.space and not facts.created and body.issuer not in facts.expelled
                    and body.person in facts.devices.get(body.issuer, frozenset()))
        if len(facts.devices.get(body.issuer, ())) > MAX_PERSONS:
            return False
        right = facts.right(body.issuer)
        if body.space != self.space or not facts.created or right is None or right < self.needs(x):
            return False
        if facts.kind == Kind.PRIVATE and isinstance(body, Add | Remove | SetRole | Move):
            return False
        match body:
            case Add():
                return body.person in facts.enrolled and body.person not in facts.roles
            case Remove():
                return body.person in facts.roles
            case SetRole():
                return body.person in facts.roles and facts.roles[body.person] != body.role
            case Retire():
                device = body.cut.device
                return device in facts.expelled and bool(
                    facts.devices.get(device, frozenset()) & facts.devices[body.issuer])
            case NewEpoch():
                effective = self.effective(self.past(x))
                links = [one for one in body.previous if one.epoch in effective and isinstance(
                    self.all[one.epoch].body, NewEpoch)]
                named = {one.epoch for one in links}
                last = max((self.all[e].body.number for e in facts.epoch_heads), default=0)
                whole = facts.epoch_heads <= named or len(facts.epoch_heads & named) == MAX_PREVIOUS
                return whole and body.number == 1 + last and len(links) == len(named) and all(
                    self.all[one.epoch].body.number == one.number for one in links)
        return True

    def _targets(self, x: bytes) -> frozenset[bytes]:
        body = self.all[x].body
        effective = self.effective(self.past(x))
        certificates = [(c, self.all[c].body) for c in effective if isinstance(self.all[c].body, Certify)]
        targets = {body.device}
        grew = True
        while grew:
            grew = False
            for device in {body.device for _, body in certificates} - targets:
                held = [(c, one.issuer) for c, one in certificates if one.device == device]
                if all(issuer in targets and c not in body.keep for c, issuer in held):
                    targets.add(device)
                    grew = True
        return frozenset(targets)

    # --- what they amount to -------------------------------------------------------------------

    def _live(self, effective: frozenset[bytes], person: bytes) -> list[bytes]:
        grants = [g for g in effective if isinstance(self.all[g].body, Create | Add | SetRole)
                  and self.all[g].body.person == person]
        removals = [r for r in effective if isinstance(self.all[r].body, Remove) and self.all[r].body.person == person]
        return [g for g in grants if all(r in self.past(g) for r in removals)
                and not any(g in self.past(other) for other in grants)]

    def _role(self, grant: bytes) -> Role:
        body = self.all[grant].body
        return Role.OWNER if isinstance(body, Create) else body.role

    def _facts(self, effective: frozenset[bytes]) -> Facts:
        bodies = {x: self.all[x].body for x in effective}
        certified: dict[bytes, set[bytes]] = {}
        for body in bodies.values():
            if isinstance(body, Certify):
                certified.setdefault(body.device, set()).add(body.person)
        persons = {body.person for body in bodies.values() if isinstance(body, Create | Add | SetRole)}
        roles = {p: min(self._role(g) for g in live) for p in persons if (live := self._live(effective, p))}
        epochs = [x for x, body in bodies.items() if isinstance(body, NewEpoch)]
        create = next((body for body in bodies.values() if isinstance(body, Create)), None)
        expelled = frozenset().union(*(self.targets(x) for x, body in bodies.items() if isinstance(body, Expel)))
        return Facts(
            roles, {device: frozenset(held) for device, held in certified.items()}, expelled,
            frozenset(body.cut.device for body in bodies.values() if isinstance(body, Retire)),
            frozenset(e for e in epochs if not any(e in self.past(other) for other in epochs)),
            create is not None, None if create is None else create.kind,
            frozenset(body.person for body in bodies.values() if isinstance(body, Enrol)))


__all__ = ("Cut", "Facts", "Model", "RenameDevice")
