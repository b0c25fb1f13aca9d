"""The messages between `chez` and the owner of a home, as bytes (no I/O in here).

A message is framed as

    offset  bytes  field
    0       4      length of what follows, big endian, 1 to MAX_MESSAGE
    4       1      protocol version (1)
    5       n      one MessagePack array: the message's number, then its fields

The client sends a `Request`; the owner answers with any number of `Say`, `Progress`,
`Show` and `Ask` events and then exactly one `Result` or `Failed`. An `Answer` follows
each `Ask` and comes at no other time. Then the client may send its next request on the
same connection. Hanging up cancels the request under way.

Client and owner are two processes of one person on one machine, perhaps of two releases:
the version byte turns a mismatch into a clear error. Whatever else arrives is refused
with `ProtocolError` before a value of it exists.
"""

import re
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from chez.errors import ChezError, InvalidValue, Untrusted

__all__ = (
    "MAX_MESSAGE", "VERSION", "Answer", "Ask", "ClientMessage", "Deframer", "Failed", "OwnerMessage",
    "Progress", "ProtocolError", "Request", "Result", "Say", "Show", "decode_client", "decode_owner",
    "encode", "error_from", "failure",
)

VERSION: Final = 1

MAX_MESSAGE: Final = 32 * 1024 * 1024
"""Bytes of one message: a record at its limit fits many times; results longer than this
are sent in pages (`Show`), so that neither side ever holds more."""

MAX_VERB: Final = 64
"""Characters in the name of a verb."""

MAX_LINE: Final = 64 * 1024
"""Characters in a line said, asked, or answered."""

_HEADER: Final = 4

Line = Annotated[str, Meta(max_length=MAX_LINE)]
Count = Annotated[int, Meta(ge=0, le=2**62)]


class ProtocolError(Untrusted):
    """The other side of the local socket does not follow the protocol."""


class _Message(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A message: an array whose first element is its number."""


# --- from the client ---------------------------------------------------------------


class Request(_Message, tag=1, frozen=True):
    """Run a verb with these parameters."""

    verb: Annotated[str, Meta(min_length=1, max_length=MAX_VERB)]
    params: dict[str, Any]


class Answer(_Message, tag=2, frozen=True):
    """What the person answered to the last `Ask`."""

    text: Line


# --- from the owner ----------------------------------------------------------------


class Say(_Message, tag=33, frozen=True):
    """A line for the person."""

    text: Line


class Progress(_Message, tag=34, frozen=True):
    """`done` of `total` (0: not known) steps of the work called `label`."""

    done: Count
    total: Count
    label: Line


class Show(_Message, tag=35, frozen=True):
    """A structured interim event: a page of rows, a pairing code."""

    data: dict[str, Any]


class Ask(_Message, tag=36, frozen=True):
    """A question to the person; `default` is what an empty answer means."""

    question: Line
    default: Line | None


class Result(_Message, tag=37, frozen=True):
    """The verb's result: JSON-able, small."""

    value: Any


class Failed(_Message, tag=38, frozen=True):
    """The verb failed. `code` is the error's class name, for programs."""

    code: Annotated[str, Meta(max_length=128)]
    message: Line
    hint: Line


ClientMessage = Request | Answer
OwnerMessage = Say | Progress | Show | Ask | Result | Failed

# Decoders are stateless between calls; making one costs more than a decode.
_encoder: Final = msgspec.msgpack.Encoder()
_client_decoder: Final = msgspec.msgpack.Decoder(ClientMessage)
_owner_decoder: Final = msgspec.msgpack.Decoder(OwnerMessage)


def encode(message: ClientMessage | OwnerMessage) -> bytes:
    """The framed bytes of one message.

    Raises `InvalidValue` when it holds what MessagePack can't carry or is too large.
    """
    try:
        body = _encoder.encode(message)
    except UnicodeEncodeError as error:
        raise InvalidValue(f"this is no text: {error.object!r}",
                           "rename the file if it is one's name; else see whether the terminal's encoding is "
                           "UTF-8") from None
    except OverflowError:
        raise InvalidValue("this value can't be sent: a whole number in it does not fit 64 bits",
                           "Store it as text.") from None
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidValue(f"this value can't be sent to the owner: {error}") from None
    if 1 + len(body) > MAX_MESSAGE:
        raise InvalidValue(f"a message to or from the owner has at most {MAX_MESSAGE} bytes, "
                           f"this one {1 + len(body)}", "ask for less at once, or put it in parts")
    return b"".join(((1 + len(body)).to_bytes(_HEADER, "big"), bytes((VERSION,)), body))


def decode_client(body: bytes) -> ClientMessage:
    """The message in a frame's body, as a client may send it. Raises `ProtocolError`."""
    message: ClientMessage = _decode(_client_decoder, body)
    return message


def decode_owner(body: bytes) -> OwnerMessage:
    """The message in a frame's body, as an owner may send it. Raises `ProtocolError`."""
    message: OwnerMessage = _decode(_owner_decoder, body)
    return message


def _decode(decoder: Any, body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError) as error:
        # UnicodeDecodeError is a ValueError; an unhashable map key a TypeError.
        raise ProtocolError(f"no message of this protocol: {type(error).__name__}") from None


class Deframer:
    """Cuts a stream of bytes into message bodies, whatever the sizes it arrives in.

    After a `ProtocolError` the stream has no known boundaries any more; every further
    call raises it again.
    """

    def __init__(self, max_message: int = MAX_MESSAGE) -> None:
        self._buffer = bytearray()
        self._max = max_message
        self._broken: ProtocolError | None = None

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; give the bodies that are complete. Raises `ProtocolError`."""
        if self._broken is not None:
            raise self._broken
        self._buffer += data
        bodies: list[bytes] = []
        start = 0
        while len(self._buffer) - start >= _HEADER:
            length = int.from_bytes(self._buffer[start:start + _HEADER], "big")
            if not 1 <= length <= self._max:
                raise self._break(f"a message has 1 to {self._max} bytes, this one {length}")
            if len(self._buffer) - start > _HEADER and (found := self._buffer[start + _HEADER]) != VERSION:
                raise self._break(f"the other side speaks version {found} of the local protocol, "
                                  f"this one version {VERSION}")
            end = start + _HEADER + length
            if len(self._buffer) < end:
                break
            bodies.append(bytes(self._buffer[start + _HEADER + 1:end]))
            start = end
        del self._buffer[:start]
        return bodies

    def _break(self, message: str) -> ProtocolError:
        self._buffer.clear()
        self._broken = ProtocolError(message, "after an upgrade of chez, end the old owner (chez lock, or "
                                              "its process) and start it again")
        return self._broken


def failure(error: BaseException) -> Failed | None:
    """The message for an error that Chez raised on purpose; None for any other.

    A task group wraps what its tasks raise: the first typed error inside tells most.
    """
    if isinstance(error, ChezError):
        return Failed(error.code, error.message[:MAX_LINE], error.hint[:MAX_LINE])
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            if (found := failure(inner)) is not None:
                return found
    return None


_CODE: Final = re.compile(r"[A-Za-z]{1,128}")


def error_from(failed: Failed) -> ChezError:
    """The error to raise at the client: of the same class where it is one of chez.errors."""
    import chez.errors as tree

    kind = getattr(tree, failed.code, None) if _CODE.fullmatch(failed.code) else None
    if isinstance(kind, type) and issubclass(kind, ChezError):
        return kind(failed.message, failed.hint)
    error = _Remote(failed.message, failed.hint)
    error.remote_code = failed.code
    return error


class _Remote(ChezError):
    """An error whose class only the owner knows (from a plug-in)."""

    remote_code: str = "ChezError"

    @property
    def code(self) -> str:
        return self.remote_code
