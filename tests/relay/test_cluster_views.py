"""What a relay of a cluster remembers of spaces, without a cluster."""

from typing import Any, cast

import pytest

from chez_relay.storage.jetstream import views as module
from chez_relay.storage.jetstream.engine import Engine
from chez_relay.storage.jetstream.log import View
from chez_relay.storage.jetstream.places import Places
from chez_relay.storage.jetstream.views import Views
from tests.relay.support import seed

HANDLES = [seed(f"space {number}") for number in range(2000)]


async def nothing() -> None:
    """Nothing is lost here."""


@pytest.fixture
def views() -> Views:
    return Views(cast("Engine", None), Places("chez", 1), nothing)


def test_a_look_at_a_space_costs_the_same_however_many_are_remembered(
        views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that follows thousands counts what was looked at, and not all of them with every few looks."""
    counted, plain = 0, View.size

    def size(view: View) -> Any:
        nonlocal counted
        counted += 1
        return plain.__get__(view)

    monkeypatch.setattr(View, "size", property(size))
    for _ in range(4):
        for handle in HANDLES:
            views.view(handle)
    assert counted <= 8 * 4 * len(HANDLES)


def test_what_grows_while_it_is_looked_at_is_counted_all_the_same(
        views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look may last: what it brings after others were counted has its bound too."""
    monkeypatch.setattr(module, "MAX_VIEW_BYTES", 100_000)
    held = [views.view(handle) for handle in HANDLES]
    for view in held:
        view.ids += bytes(1000)
    for _ in range(2):
        for handle in HANDLES[:1000]:
            views.view(handle)
    assert sum(view.size for view in held) <= 100_000
