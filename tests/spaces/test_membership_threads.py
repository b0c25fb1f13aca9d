"""Who belongs to a space is asked by one thread while another one takes statements in."""

from collections.abc import Callable
from itertools import count
from threading import Thread
from typing import Any

import pytest

from chez.spaces.dag import Dag
from chez.spaces.effects import Effects
from chez.spaces.membership import Membership
from chez.spaces.rotation import first_epoch
from chez.spaces.space import SpaceKeys
from chez.spaces.statements import Role
from tests.spaces.people import ZEROS
from tests.spaces.table import ALL, Table

SHORT = 0.05
"""Seconds for which one thread is held up, which the other one would need a thousandth of."""


def roles(membership: Membership) -> dict[str, Role]:
    """Who is a member, by name, and as what."""
    return {member.name: member.role for member in membership.state.members.values()}


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def membership(table: Table) -> Membership:
    """The table's, which nobody asked yet."""
    membership = Membership(table.space)
    membership.add(table.said)
    return membership


def beside(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, work: Callable[[], Any], call: int = 1) -> Thread:
    """A thread that does `work` once the method is called for the `call`th time, which waits a moment for its end."""
    method, thread, calls = getattr(owner, name), Thread(target=work), count(1)

    def called(self: Any, *given: Any) -> Any:
        if next(calls) == call:
            thread.start()
            thread.join(SHORT)
        return method(self, *given)

    monkeypatch.setattr(owner, name, called)
    return thread


def test_who_asks_while_a_statement_is_taken_in_sees_it_or_not(
        monkeypatch: pytest.MonkeyPatch, table: Table, membership: Membership) -> None:
    """A removal that is half taken in is no error for whoever asks who is a member."""
    seen: list[dict[str, Role]] = []
    thread = beside(monkeypatch, Effects, "add", lambda: seen.append(roles(membership)))
    membership.add([table.by(table.alice).remove(table.heads, table.dora.id)])
    thread.join()
    assert seen in ([ALL], [roles(membership)])
    assert "dora" not in roles(membership)


def test_keys_that_come_while_somebody_asks_are_no_error(
        monkeypatch: pytest.MonkeyPatch, table: Table, membership: Membership) -> None:
    """Who asks under which keys is to be sealed, while others arrive, gets one of those that there are."""
    key = table.alice.devices[0].signing
    first, later = [first_epoch(table.said[2], key, bytes(32), bytes([n]) * 64).epoch for n in (1, 2)]
    space = SpaceKeys(1, membership.space, "ours", ZEROS, membership, {first.id: first})
    thread = beside(monkeypatch, SpaceKeys, "proven", lambda: space.epochs.setdefault(later.id, later))
    found = space.epoch
    thread.join()
    assert found in (first, later) and space.epoch in (first, later)


def test_a_statement_that_comes_while_somebody_asks_counts_from_then_on(
        monkeypatch: pytest.MonkeyPatch, table: Table, membership: Membership) -> None:
    """Who is removed while somebody asks who is a member is none for who asks after that."""
    removal = table.by(table.alice).remove(table.heads, table.dora.id)
    thread = beside(monkeypatch, Dag, "number", lambda: membership.add([removal]), len(membership.heads))
    assert "dora" in roles(membership)
    thread.join()
    assert "dora" not in roles(membership)
