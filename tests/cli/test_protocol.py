"""The local protocol: whatever arrives, in whatever pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chez import errors
from chez.agent import protocol as wire

TEXT = st.text(max_size=50)
NUMBER = st.integers(-2**63, 2**64 - 1) | st.floats(allow_nan=False)
JSON = st.recursive(st.none() | st.booleans() | NUMBER | TEXT,
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
                    max_leaves=12)
FIELDS = st.dictionaries(TEXT, JSON, max_size=4)
VERB = st.text(min_size=1, max_size=64)
FROM_CLIENT = st.builds(wire.Request, VERB, FIELDS) | st.builds(wire.Answer, TEXT)
COUNT = st.integers(0, 2**62)
FROM_OWNER = (
    st.builds(wire.Say, TEXT) | st.builds(wire.Progress, COUNT, COUNT, TEXT) | st.builds(wire.Show, FIELDS)
    | st.builds(wire.Ask, TEXT, st.none() | TEXT) | st.builds(wire.Result, JSON)
    | st.builds(wire.Failed, TEXT, TEXT, TEXT))


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cut bytes into pieces of these sizes, and what remains."""
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    return [*pieces, data]


@settings(deadline=None)
@given(st.lists(FROM_CLIENT, max_size=5), st.lists(st.integers(0, 40), max_size=20))
def test_client_messages_survive_any_cutting(messages: list[wire.ClientMessage], cuts: list[int]) -> None:
    """Messages come out as they went in, however the stream is cut."""
    deframer = wire.Deframer()
    stream = b"".join(map(wire.encode, messages))
    bodies = [body for piece in split(stream, cuts) for body in deframer.feed(piece)]
    assert [wire.decode_client(body) for body in bodies] == messages


@settings(deadline=None)
@given(st.lists(FROM_OWNER, max_size=5), st.lists(st.integers(0, 40), max_size=20))
def test_owner_messages_survive_any_cutting(messages: list[wire.OwnerMessage], cuts: list[int]) -> None:
    """Events and results come out as they went in, however the stream is cut."""
    deframer = wire.Deframer()
    stream = b"".join(map(wire.encode, messages))
    bodies = [body for piece in split(stream, cuts) for body in deframer.feed(piece)]
    assert [wire.decode_owner(body) for body in bodies] == messages


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=6))
def test_garbage_is_a_typed_error_or_nothing(pieces: list[bytes]) -> None:
    """Any bytes at all give messages or ProtocolError, and the error repeats."""
    deframer = wire.Deframer()
    broken = False
    for piece in pieces:
        try:
            bodies = deframer.feed(piece)
            assert not broken
        except wire.ProtocolError:
            broken = True
            continue
        for body in bodies:
            for decode in (wire.decode_client, wire.decode_owner):
                try:
                    decode(body)
                except wire.ProtocolError:
                    pass


@settings(deadline=None)
@given(FROM_OWNER, st.data())
def test_a_mutated_message_is_a_message_or_a_typed_error(message: wire.OwnerMessage, data: st.DataObject
                                                         ) -> None:
    """Flipping bytes of a good body never raises anything but ProtocolError."""
    body = bytearray(wire.encode(message)[5:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for decode in (wire.decode_client, wire.decode_owner):
        try:
            decode(bytes(body))
        except wire.ProtocolError:
            pass


def test_a_giant_length_is_refused_before_it_is_read() -> None:
    """A header that announces too much fails at once, with nothing buffered for it."""
    with pytest.raises(wire.ProtocolError):
        wire.Deframer().feed((wire.MAX_MESSAGE + 1).to_bytes(4, "big"))
    with pytest.raises(wire.ProtocolError):
        wire.Deframer().feed(bytes(4))


def test_another_version_is_named() -> None:
    """A peer of another release gets told which versions meet, and what to do."""
    frame = bytearray(wire.encode(wire.Answer("yes")))
    frame[4] = 9
    with pytest.raises(wire.ProtocolError, match="version 9") as caught:
        wire.Deframer().feed(bytes(frame))
    assert "chez lock" in caught.value.hint


def test_deep_nesting_is_a_typed_error() -> None:
    """A hundred thousand nested lists do not exhaust the stack, in or out."""
    body = b"\x92\x25" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(wire.ProtocolError):
        wire.decode_owner(body)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(errors.InvalidValue):
        wire.encode(wire.Result(deep))


@pytest.mark.parametrize("value", [2**64, -2**63 - 1, object(), {"a": {1, 2}, "b": print}])
def test_what_messagepack_cannot_carry_is_refused(value: object) -> None:
    """A value without a MessagePack form is the caller's error, not a crash."""
    with pytest.raises(errors.InvalidValue):
        wire.encode(wire.Result(value))


def test_a_message_beyond_the_limit_is_refused_by_its_sender() -> None:
    """Nobody sends what the other side would refuse."""
    with pytest.raises(errors.InvalidValue):
        wire.encode(wire.Result("x" * wire.MAX_MESSAGE))


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name != "ChezError"])
def test_errors_keep_their_class_through_the_socket(name: str) -> None:
    """Every error of the tree arrives as itself, with message and hint."""
    failed = wire.failure(getattr(errors, name)("what happened", "what to do"))
    assert failed is not None
    arrived = wire.error_from(failed)
    assert type(arrived).__name__ == name
    assert (arrived.message, arrived.hint, arrived.code) == ("what happened", "what to do", name)


@pytest.mark.parametrize("code", ["__class__", "annotations", "ClassVar", "Nonsense", "os.system", ""])
def test_an_unknown_code_is_still_an_error(code: str) -> None:
    """A code that names no error class of ours never becomes anything but an error."""
    arrived = wire.error_from(wire.Failed(code, "m", "h"))
    assert isinstance(arrived, errors.ChezError)
    assert arrived.code == code


def test_an_error_inside_a_group_is_found() -> None:
    """What a task group wraps is unwrapped; what nobody raised on purpose is not."""
    group = BaseExceptionGroup("", [ValueError("x"), ExceptionGroup("", [errors.NotFound("no such thing")])])
    assert wire.failure(group) == wire.Failed("NotFound", "no such thing", "")
    assert wire.failure(ValueError("secret")) is None


def test_what_one_side_sends_the_other_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both count the byte of the version: the longest message that is sent is one, and a byte more is refused here."""
    monkeypatch.setattr(wire, "MAX_MESSAGE", 100)
    longest = next(text for n in range(100, 0, -1) if (text := "x" * n) and _sent(text))
    [body] = wire.Deframer(100).feed(wire.encode(wire.Say(longest)))
    assert len(body) == 99
    with pytest.raises(errors.InvalidValue, match="at most 100 bytes"):
        wire.encode(wire.Say(longest + "x"))


def _sent(text: str) -> bool:
    try:
        return bool(wire.encode(wire.Say(text)))
    except errors.InvalidValue:
        return False
