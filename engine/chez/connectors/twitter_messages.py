"""Direct messages of Twitter's archive: a list of conversations, each a list of messages and of other events.

A conversation is as long as two people wrote, so it is not read whole: its messages are cut out one by one, and which
conversation one is of is looked up by the line that the conversation began on. Where a file is one line, a
message of two people still says who they are, and one of a group says nothing of its conversation.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import Found, Item, Reject, excerpt
from chez.connectors.objects import Object, objects
from chez.vocabulary import Message

__all__ = ("LISTS", "messages")

LISTS: Final = frozenset((b"direct_messages", b"direct_message", b"direct_messages_group", b"direct_message_group"))
"""The lists that have conversations."""

MAX_CONVERSATIONS: Final = 100_000
"""Conversations whose lines are held; of later ones the people say which it is."""

_DEPTH: Final = 4  # the list, an entry, its conversation, the list of messages
# A quote in a text has a backslash, so no message can say this.
_ID: Final = re.compile(rb'(?<!\\)"conversationId"\s{0,9}:\s{0,9}"([A-Za-z0-9_-]{1,100})"')
_OVERLAP: Final = 256
_CHUNK: Final = 64 * 1024


class _Create(msgspec.Struct, rename="camel"):
    id: str
    sender_id: str = ""
    recipient_id: str = ""
    text: str = ""
    created_at: str = ""
    media_urls: list[str] = []


def messages(file: BinaryIO, service: str, instant: Callable[[str], datetime | None],
             plain: Callable[[str], str]) -> Iterator[Item]:
    """The messages of a file that stands anywhere; an event of another kind is told once of each kind."""
    conversations = _Conversations(file)
    file.seek(0)
    decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
    create = msgspec.json.Decoder(_Create)
    told: set[str] = set()
    for item in objects(file, _DEPTH):
        if not isinstance(item, Object):
            yield item
            continue
        try:
            event = decoder.decode(item.bytes)
            if (said := event.get("messageCreate")) is None:
                yield from _other(event, item.line, told)
                continue
            one = create.decode(said)
            if not one.id:
                raise ValueError("the number that says what it is about is empty")
            yield Found(Message(
                service=service, id=one.id, at=instant(one.created_at), sender=one.sender_id,
                recipients=[one.recipient_id] if one.recipient_id else [], text=plain(one.text),
                folder=conversations.of(item.line, one), attachments=[_file(url) for url in one.media_urls[:100]],
            ), item.line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            yield Reject(item.line, f"it is no message: {excerpt(str(error))}", excerpt(item.bytes))
        except ValueError as error:
            yield Reject(item.line, str(error), excerpt(item.bytes))


def _other(event: dict[str, msgspec.Raw], line: int, told: set[str]) -> Iterator[Reject]:
    """Somebody joined, left, named the conversation, took a message to heart: not read."""
    kind = excerpt(next(iter(event), ""))
    if kind not in told and len(told) < 100:
        told.add(kind)
        yield Reject(line, f"the events {kind!r} of conversations are not read", "")


def _file(url: str) -> str:
    return url.partition("?")[0].rpartition("/")[2][:255]


class _Conversations:
    """On which line of the file which conversation began."""

    def __init__(self, file: BinaryIO) -> None:
        self._lines: list[int] = []
        self._ids: list[str] = []
        file.seek(0)
        line, before = 1, b""
        while chunk := file.read(_CHUNK):
            data = before + chunk
            keep = max(0, len(data) - _OVERLAP)
            self._look(data, line, keep)
            line += data.count(b"\n", 0, keep)
            before = data[keep:]
        self._look(before, line, len(before))

    def _look(self, data: bytes, line: int, end: int) -> None:
        """Those that begin before `end`: what begins later is looked at with what follows it."""
        at = 0
        for found in _ID.finditer(data):
            if found.start() >= end or len(self._ids) >= MAX_CONVERSATIONS:
                return
            line += data.count(b"\n", at, found.start())
            at = found.start()
            self._lines.append(line)
            self._ids.append(found[1].decode())

    def of(self, line: int, one: _Create) -> str:
        """The conversation of the message that begins on a line; by its people where lines don't tell."""
        at = bisect_right(self._lines, line) - 1
        alone = at >= 0 and (at == 0 or self._lines[at - 1] < self._lines[at])
        if alone and (len(self._ids) < MAX_CONVERSATIONS or at + 1 < len(self._ids)):
            return self._ids[at]
        if one.sender_id.isdecimal() and one.recipient_id.isdecimal():
            return "-".join(sorted((one.sender_id, one.recipient_id), key=lambda id: (len(id), id)))
        return ""
