"""The frames a session answers with, as effects."""

from chez_relay.effects import Effect, Send
from chez_relay.errors import Code
from chez_relay.storage import Done, Page, Refused, Result
from chez_wire import frames
from chez_wire.envelope import entry_id
from chez_wire.limits import MAX_TEXT

__all__ = ("done", "entries", "fail", "refused", "send")


def send(frame: frames.RelayFrame) -> Send:
    """One frame."""
    return Send(frames.encode(frame))


def entries(ref: int, handle: bytes, page: Page, early: bytes = b"") -> Send:
    """A page of a space; the entry that went `early`, by its id, and is all there is on it, without its bytes."""
    found = list(page.entries)
    if early and entry_id(found[0].envelope) == early:
        found = [frames.Entry(found[0].offset, b"")]
    return send(frames.Entries(ref, handle, found, page.head, page.end, list(page.dropped)))


def fail(ref: int, code: Code, message: str, *, retry: bool = False) -> list[Effect]:
    """A refusal in the relay's own words."""
    return [send(frames.Failed(ref, code, message[:MAX_TEXT], retry))]


def refused(ref: int, result: Result) -> list[Effect]:
    """The storage's refusal, passed on."""
    if isinstance(result, Refused):
        return fail(ref, result.code, result.message, retry=result.retry)
    raise TypeError(f"a storage answered with {type(result).__name__}")


def done(ref: int, result: Result) -> list[Effect]:
    """`Done`, or the storage's refusal."""
    return [send(frames.Done(ref))] if isinstance(result, Done) else refused(ref, result)
