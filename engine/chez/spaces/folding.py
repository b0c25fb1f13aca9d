"""From statements that take effect to what they amount to: a `State` becomes the next one.

Statements are taken in their canonical order (a statement after all it builds on; those that know nothing of each
other by depth, then hash). What is the same in any order, a name's last bearer aside, is computed from sets of bits.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec.structs import asdict

from chez.spaces.dag import Dag, numbers_of
from chez.spaces.state import State
from chez.spaces.statements import (
    Add,
    Archive,
    Certify,
    Create,
    Enrol,
    Expel,
    Invite,
    Move,
    NewEpoch,
    Pick,
    Remove,
    Rename,
    RenameDevice,
    Retire,
    Revoke,
    SetRole,
    Signed,
)
from chez.spaces.view import Index, View, Word

__all__ = ("Fold",)

K = TypeVar("K")
V = TypeVar("V")


class Fold:
    """A state that statements are added to; a part that they touch is copied once, however many they are."""

    def __init__(self, state: State, index: Index) -> None:
        self._index = index
        self._dag: Dag = index.dag
        self._parts: dict[str, Any] = asdict(state)
        self._own: set[object] = set()
        self._granted: set[bytes] = set()
        self._targets = 0

    def take(self, numbers: list[int]) -> None:
        """Statements that take effect, in their canonical order."""
        for number in numbers:
            word = self._index.words[number]
            assert isinstance(word, Word)  # it takes effect
            self._take(self._dag.statements[number], word)

    def state(self, view: View) -> State:
        """What all that was taken amounts to; `view` is of the same statements."""
        for person in self._granted:
            grants = {self._dag.statements[number].hash: self._index.role_given(number)
                      for number in numbers_of(view.grants(person))}
            if grants:
                self._part("grants")[person] = grants
            else:
                self._part("grants").pop(person, None)
        if self._targets:
            self._parts["expelled"] |= frozenset(self._index.devices_in(self._targets))
        self._parts["epoch_heads"] = frozenset(view.newest_epochs)
        self._parts["uncovered"] = self._uncovered(view)
        return State(**self._parts)

    # --- one statement ------------------------------------------------------------------

    def _take(self, statement: Signed, word: Word) -> None:
        key, body = statement.hash, statement.body
        match body:
            case Enrol():
                # A root that enrols itself twice: the lower nonce counts, whichever came first.
                known = self._parts["persons"].get(body.person)
                if known is None or known.nonce > body.nonce:
                    self._part("persons")[body.person] = body
            case Certify():
                self._inner("certificates", body.device)[key] = body
            case Expel():
                self._targets |= word.targets
                self._part("expulsions")[body.person] = (*self._parts["expulsions"].get(body.person, ()), key)
            case RenameDevice():
                self._part("names")[body.device] = body.name
            case Create():
                self._parts |= {"create": body, "name": body.name, "admins": (body.admin,)}
                self._admit(body.person)
            case Add():
                self._admit(body.person)
                if body.invite:
                    self._part("origins")[body.person] = body.invite.hex()
            case SetRole() | Remove():
                self._granted.add(body.person)
            case Retire():
                self._parts["retired"] |= {body.cut.device}
            case NewEpoch():
                self._part("epochs")[key] = body
            case _:
                self._describe(key, body)

    def _describe(self, key: bytes, body: object) -> None:
        match body:
            case Rename():
                self._parts["name"] = body.name
            case Archive():
                self._parts["archived"] = body.archived
            case Move():
                self._parts["admins"] = (
                    *(admin for admin in self._parts["admins"] if admin != body.admin), body.admin)
            case Invite():
                self._part("invites")[key] = body
            case Revoke():
                self._part("invites").pop(body.invite, None)
            case Pick():
                pass  # asked for one device (`Membership.picks`)
            case _:  # pragma: no cover
                raise AssertionError(f"a statement without a rule: {body}")

    def _admit(self, person: bytes) -> None:
        self._granted.add(person)
        if person not in self._parts["admissions"]:
            self._parts["admissions"] |= {person}

    def _part(self, name: str) -> dict[Any, Any]:
        """A part of the state that is this fold's own."""
        if name not in self._own:
            self._own.add(name)
            self._parts[name] = dict(self._parts[name])
        part: dict[Any, Any] = self._parts[name]
        return part

    def _inner(self, name: str, key: bytes) -> dict[Any, Any]:
        part = self._part(name)
        if (name, key) not in self._own:
            self._own.add((name, key))
            part[key] = dict(part.get(key, {}))
        inner: dict[Any, Any] = part[key]
        return inner

    # --- what a new epoch is owed for -------------------------------------------------------

    def _uncovered(self, view: View) -> frozenset[bytes]:
        """What takes rights away, and no epoch knows of.

        An expulsion counts from when its person was let in by somebody who did not know of it: the device got keys.
        """
        index, covered = self._index, 0
        for number in view.epoch_tops:
            covered |= self._dag.past(number)
        open = view.effective & index.strong & ~covered
        found = open & ~index.expulsions
        lacking: Mapping[bytes, int] = {}
        if open & index.expulsions:
            lacking = {person: self._dag.common_past(bits) for person, admitted in index.admitted.items()
                       if (bits := admitted & view.effective)}
        for number in numbers_of(open & index.expulsions):
            body = self._dag.statements[number].body
            assert isinstance(body, Expel)  # the index's `expulsions`
            if body.person in lacking and not lacking[body.person] >> number & 1:
                found |= 1 << number
        return frozenset(self._dag.statements[number].hash for number in numbers_of(found))
