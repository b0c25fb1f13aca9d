"""Who may say what: whether a statement is right in the state that its author knew."""

from collections.abc import Mapping
from typing import Final

from chez.spaces.statements import (
    MAX_PREVIOUS,
    Add,
    Certify,
    Create,
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
    SpaceBody,
)
from chez.spaces.view import View, Word

__all__ = ("MAX_PERSONS", "judge", "targets_of")

MAX_PERSONS: Final = 8
"""Whose device one can be before it is heard no more. A home makes new keys, so an honest one is one person's; each
more is looked at with everything that the device says, and has to be asked for."""


def judge(statement: Signed, space: bytes, view: View) -> Word | str:
    """What a statement is in the state of its own past; or why its issuer may not say it."""
    body = statement.body
    if isinstance(body, Enrol):
        return Word(root=True)
    if isinstance(body, PersonBody):
        return _person(body, view)
    if isinstance(body, Create):
        return _create(statement, body, space, view)
    if body.space != space or view.create is None:
        return "it is about another space"
    persons = view.persons_of(body.issuer)
    if len(persons) > MAX_PERSONS:
        return "its author is the device of too many persons"
    right = view.right(body.issuer)
    if right is None:
        return "its author is no member here"
    if right < _needed(body, view):
        return f"it needs an owner, and its author is a {right.name.lower()}"
    reason = _space(body, view)
    if reason is not None:
        return reason
    grants = 0
    for person in persons:
        grants |= view.grants(person)
    strong = isinstance(body, Remove | Retire) or (isinstance(body, SetRole) and _lowers(body, view))
    return Word(strong, begins=_begins(statement, space, view), certificates=view.certificates(body.issuer),
                grants=grants, persons=persons, needs=_needed(body, view))


def _begins(statement: Signed, space: bytes, view: View) -> bool:
    """Whether a statement starts the epoch that a space begins with: its maker's, on nothing but its making."""
    body = statement.body
    return isinstance(body, NewEpoch) and not body.previous and statement.heads == [space] and (
        view.create is not None and view.create.issuer == body.issuer)


def _needed(body: SpaceBody, view: View) -> Role:
    """The role that a statement about a space needs."""
    own = view.persons_of(body.issuer)
    if isinstance(body, Retire):
        return Role.READER
    if isinstance(body, Remove) and body.person in own:
        return Role.READER
    if isinstance(body, SetRole) and body.person in own and _lowers(body, view):
        return Role.READER
    return Role.OWNER


def _person(body: Certify | Expel | RenameDevice, view: View) -> Word | str:
    if not view.enrolled(body.person):
        return "its person is not known"
    root = body.issuer == body.person
    if not root and not (view.active(body.issuer) and body.person in view.persons_of(body.issuer)):
        return "its author is no device of the person"
    if isinstance(body, Certify):
        if view.expelled(body.device):
            return "the device was expelled: it can join again with new keys only"
    elif body.person not in view.persons_of(body.device):
        return "it is about a device that is not the person's"
    certificates = 0 if root else view.certificates(body.issuer)
    if isinstance(body, Expel):
        return Word(True, root, view.device_bits(targets_of(body, view.certified())), certificates)
    return Word(False, root, certificates=certificates)


def targets_of(body: Expel, certified: Mapping[bytes, Mapping[bytes, Certify]]) -> frozenset[bytes]:
    """The device, and those it had let in, and those they had, unless their certificates are kept.

    `certified` are the certificates that the author knew, by device and hash; each is looked at twice.
    """
    kept, let_in = set(body.keep), dict[bytes, list[bytes]]()
    left = {device: len(held) for device, held in certified.items()}
    for device, held in certified.items():
        for hash, certificate in held.items():
            if hash not in kept:
                let_in.setdefault(certificate.issuer, []).append(device)
    targets, ready = {body.device}, [body.device]
    while ready:
        for device in let_in.get(ready.pop(), ()):
            left[device] -= 1
            if not left[device] and device not in targets:
                targets.add(device)
                ready.append(device)
    return frozenset(targets)


def _create(statement: Signed, body: Create, space: bytes, view: View) -> Word | str:
    if statement.hash != space or view.create is not None:
        return "it creates another space"
    if not (view.active(body.issuer) and body.person in view.persons_of(body.issuer)):
        return "its author is no device of the person"
    return Word(begins=True, certificates=view.certificates(body.issuer))


def _space(body: SpaceBody, view: View) -> str | None:
    """Why a statement makes no sense in the state of its past, whoever says it."""
    if isinstance(body, Add | Remove | SetRole | Move) and view.create is not None and view.create.kind == Kind.PRIVATE:
        # Nor does any device of it, which may be in a thief's hands, end the person's part in it, which nobody
        # could give back, or take it from where the 24 words look for it.
        return "a private space has one member, its owner, and one place"
    match body:
        case Add():
            if not view.enrolled(body.person):
                return "it adds a person whose statements are not known"
            if view.role(body.person) is not None:
                return "it adds who is a member already"
        case Remove() | SetRole():
            role = view.role(body.person)
            if role is None:
                return "it is about who is no member"
            if isinstance(body, SetRole) and body.role == role:
                return "it gives a role that is there already"
        case Retire():
            device = body.cut.device
            if not view.expelled(device) or not view.persons_of(device) & view.persons_of(body.issuer):
                return "it retires a device that its person did not expel"
        case NewEpoch():
            return _judge_epoch(body, view)
    return None


def _judge_epoch(body: NewEpoch, view: View) -> str | None:
    """An epoch is numbered after all that its author knew, and has links to the newest, as many as it may have."""
    newest = view.newest_epochs
    links = [(one, known) for one in body.previous if (known := view.epoch(one.epoch)) is not None]
    last = max((known.number for known in newest.values()), default=0)
    if body.number != 1 + last or any(known.number != one.number for one, known in links):
        return "it is not numbered after the epochs it follows"
    named = {one.epoch for one, _ in links}
    followed = len(newest.keys() & named)
    if len(named) != len(links) or followed != min(len(newest), MAX_PREVIOUS):
        return "it does not follow every epoch that its author knew"
    return None


def _lowers(body: SetRole, view: View) -> bool:
    role = view.role(body.person)
    return role is not None and body.role < role
