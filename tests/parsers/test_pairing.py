"""Pairing: whatever a stranger, a relay, or a device with the right code sends, ends in `BadPairing`."""

from functools import cache

import msgspec
import pytest
from hypothesis import example, given, settings

from chez.errors import BadPairing
from chez.home.lifecycle import _check
from chez.sync.codes import Secrets
from chez.sync.pairing import NewDevice
from chez_wire.limits import MAX_INBOX_ITEM
from tests.parsers.mutations import MESSAGEPACK, attempt, beginnings, bytes_like
from tests.tries import tries
from tests.vectors.fixed import LAPTOP, filled
from tests.vectors.golden import golden
from tests.vectors.make_pairing import BUNDLE, new_device, old_device

HELLO, REPLY, WELCOME, REFUSED = (bytes.fromhex(golden("pairing")["messages"][name])
                                  for name in ("hello", "reply", "welcome", "refused"))
_, SHARE, CONFIRM_B, _ = msgspec.msgpack.decode(REPLY)
_, CONFIRM_A, _ = msgspec.msgpack.decode(WELCOME)


@cache
def _paired() -> tuple[NewDevice, Secrets]:
    """A new device that has answered, and the keys it shares with the old one."""
    new = new_device()
    new.answer(HELLO)
    assert new._secrets is not None
    return new, new._secrets


def _receive(message: bytes) -> object:
    return old_device().receive(message)


def _introduce(plain: bytes) -> object:
    """What a device with the right code may do: seal any introduction."""
    return _receive(msgspec.msgpack.encode([2, SHARE, CONFIRM_B, _paired()[1].seal(False, plain)]))


def _admit(plain: bytes) -> object:
    """What the old device may do: seal any bundle."""
    new, secrets = _paired()
    return new.welcome(msgspec.msgpack.encode([3, CONFIRM_A, secrets.seal(True, plain)]))


INTRODUCTION = _paired()[1].open(False, msgspec.msgpack.decode(REPLY)[3])
GIVEN = msgspec.msgpack.encode(BUNDLE)


@given(bytes_like([REPLY, HELLO, WELCOME], MESSAGEPACK))
@settings(max_examples=tries(60), deadline=None)
def test_the_old_device_takes_any_reply(message: bytes) -> None:
    """Any reply is a proof of the code or burns it."""
    attempt(_receive, message, BadPairing)


@given(bytes_like([INTRODUCTION], MESSAGEPACK))
@settings(max_examples=tries(40), deadline=None)
@example(b"\x91" * 3000)
@example(b"\xa4\xff\xff\xff\xff")
def test_the_old_device_takes_any_introduction(plain: bytes) -> None:
    """So does a reply that proves the code and introduces nobody."""
    attempt(_introduce, plain, BadPairing)


@given(bytes_like([HELLO, REPLY, WELCOME], MESSAGEPACK))
@settings(max_examples=tries(60), deadline=None)
def test_the_new_device_takes_any_hello(message: bytes) -> None:
    """Any hello is answered or refused."""
    attempt(new_device().answer, message, BadPairing)


@given(bytes_like([WELCOME, REFUSED, REPLY], MESSAGEPACK))
@settings(max_examples=tries(100), deadline=None)
def test_the_new_device_takes_any_welcome(message: bytes) -> None:
    """Any welcome is a bundle or refused."""
    attempt(_paired()[0].welcome, message, BadPairing)


def test_every_share_is_refused_alike() -> None:
    """Shares that are no point of the curve, zero, of another side or our own are wrong codes, like any other."""
    shares = [filled(number) for number in range(12)] + [b"", b"x", filled(0, 31), filled(255, 33), SHARE[1:]]
    for share in [side + share for share in shares for side in (b"A", b"B")] + [b"", b"S" + SHARE[1:]]:
        assert not attempt(_receive, msgspec.msgpack.encode([2, share, CONFIRM_B, b""]), BadPairing)
        attempt(new_device().answer, msgspec.msgpack.encode([1, share]), BadPairing)


def test_messages_out_of_turn_are_refused() -> None:
    """A second reply, a second hello, and a welcome before any hello are refused with the same error."""
    old, new = old_device(), new_device()
    assert not attempt(new.welcome, WELCOME, BadPairing)
    assert attempt(new.answer, HELLO) and not attempt(new.answer, HELLO, BadPairing)
    assert attempt(old.receive, REPLY) and not attempt(old.receive, REPLY, BadPairing)
    with pytest.raises(BadPairing):
        old_device().admit(BUNDLE)


def test_a_wrong_value_in_every_place_of_a_bundle() -> None:
    """Every kind of value in place of each of a bundle's first bytes is a bundle or refused."""
    for plain in beginnings(GIVEN, MESSAGEPACK):
        attempt(_admit, plain, BadPairing)


def test_a_long_welcome_comes_in_pieces() -> None:
    """It is read from all of them in their order, and from nothing else."""
    space = BUNDLE.spaces[0]
    statements = [b"".join(bytes((n, k)) for k in range(256)) * 32 for n in range(12)]
    long = msgspec.structs.replace(BUNDLE, spaces=[msgspec.structs.replace(space, statements=statements)])
    old, new = old_device(), new_device()
    old.receive(new.answer(old.hello))
    items = old.admit(long)
    assert len(items) > 2 and max(map(len, items)) <= MAX_INBOX_ITEM
    assert [new.welcome(item) for item in items] == [*[None] * (len(items) - 1), long]
    for wrong in (items[::-1], [items[0]] * len(items), [*items[:-1], REFUSED]):
        new = new_device()
        new.answer(old.hello)
        with pytest.raises(BadPairing):
            assert [new.welcome(item) for item in wrong[:-1]] and new.welcome(wrong[-1])


def test_a_bundle_that_does_not_hold_together_is_refused() -> None:
    """Keys that are not those the statements speak of, of whatever length, make no home."""
    change, space = msgspec.structs.replace, BUNDLE.spaces[0]
    epoch = space.epochs[0]
    _check(BUNDLE, LAPTOP)
    seeds = (b"x", bytes(31), bytes(32))
    wrong: list[dict[str, object]] = [{name: seed} for name in ("admin", "append") for seed in seeds]
    wrong += [{"id": bytes(32)}, {"number": 2}, {"secret": bytes(32)}]
    spaces = [change(space, epochs=[change(epoch, **one)]) for one in wrong]
    spaces += [change(space, epochs=[]), change(space, statements=[]), change(space, space=bytes(32))]
    bundles = [change(BUNDLE, spaces=[one]) for one in spaces] + [change(BUNDLE, spaces=[space, one]) for one in spaces]
    for bundle in [*bundles, change(BUNDLE, person=bytes(32))]:
        with pytest.raises(BadPairing):
            _check(bundle, LAPTOP)
    for missing in ({"admin": b""}, {"append": b"", "admin": b""}):  # a writer lacks one, a reader both
        _check(change(BUNDLE, spaces=[change(space, epochs=[change(epoch, **missing)])]), LAPTOP)
