"""What the store asks of JetStream: conditional publishing, reading, removing. Nothing here knows a space.

Only what a quorum acknowledged counts as written. Reading comes in two kinds: `last`, `next`
and `at` are answered by the stream's leader; `run` and `lasts` by any node that holds the
stream, which may be behind (who asks says how far it must be, or checks what it got).
"""

import asyncio
import base64
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import DEFAULT_SUB_PENDING_MSGS_LIMIT
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

__all__ = ("Conflict", "Engine", "Kept", "Unavailable")

REQUEST_SECONDS: Final = 2.0
"""For an answer: a new leader is found in seconds, and whoever asks tries again."""

UNSEAT_SECONDS: Final = 10.0
"""Between two times that a leader is unseated: until there is another one, all of its stream waits."""

NEVER: Final = str(2**63 - 1)
"""A sequence that no message has: a publication that expects it is never stored, and its refusal tells the last one."""

NOTED: Final = 1000
"""Messages of which a consumer tells at a time."""

MARK: Final = "Chez-Mark"
"""The header with the mark of a message."""

WRONG_LAST: Final = (10071, 10164)
NOT_FOUND: Final = 404
NO_SEQUENCE: Final = 10043
"""Of a message that was removed from between others."""

REMOVED: Final = ("no message found", "stream store EOF")
"""What is said of another one that is to be removed and is not there; its code is that of other failures as well."""

_log = logging.getLogger("chez_relay")


class Conflict(Exception):
    """Somebody else wrote to the subject first."""


class Unavailable(Exception):
    """The cluster gives no answer: what was asked may have happened or not."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One message of a stream."""

    subject: str
    seq: int
    data: bytes = field(repr=False)
    mark: str = ""
    """What it was published under, where the stream's leader was asked."""


class Engine:
    """Requests to one cluster over one connection."""

    def __init__(self, nats: Client, seconds: float = REQUEST_SECONDS) -> None:
        self._nats = nats
        self._seconds = seconds
        self._moved = -math.inf
        self._unseated: dict[str, float] = {}

    # --- writing ------------------------------------------------------------------------

    async def publish(self, subject: str, data: bytes, *, expected: int | None = None, ttl: int = 0,
                      alone: bool = False, mark: str = "") -> int:
        """Store a message; its sequence, once a quorum has it on disk.

        `expected` is the sequence of the subject's last message (0: there is none); `ttl` in seconds after which
        the message may go (0: never); `alone` removes the subject's earlier messages; by a `mark`, hexadecimal, who
        was not answered knows it again.
        Raises `Conflict` when another message is the subject's last one, `Unavailable`.
        """
        headers = {}
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        if ttl:
            headers["Nats-TTL"] = f"{ttl}s"
        if alone:
            headers["Nats-Rollup"] = "sub"
        if mark:
            headers[MARK] = mark
        answer = await self._ask(subject, data, headers)
        if "error" in answer:
            if answer["error"].get("err_code") in WRONG_LAST:
                raise Conflict
            raise Unavailable(answer["error"].get("description", "refused"))
        return int(answer["seq"])

    async def exists(self, subject: str) -> bool:
        """Whether a subject has a message, without fetching it. The leader answers."""
        return await self.newest(subject) > 0

    async def newest(self, subject: str) -> int:
        """The sequence of a subject's last message, 0 for none, without fetching it. The leader answers."""
        answer = await self._ask(subject, b"", {"Nats-Expected-Last-Subject-Sequence": NEVER})
        error = answer.get("error", {})
        if error.get("err_code") == WRONG_LAST[0] and (found := re.search(r"(\d+)$", error.get("description", ""))):
            return int(found[1])
        raise Unavailable(error.get("description", "stored what no stream could"))

    # --- reading ------------------------------------------------------------------------

    async def last(self, stream: str, subject: str) -> Kept | None:
        """A subject's last message. The leader answers."""
        return await self._get(stream, {"last_by_subj": subject})

    async def next(self, stream: str, subject: str, seq: int) -> Kept | None:
        """A subject's first message at or after a sequence. The leader answers."""
        return await self._get(stream, {"next_by_subj": subject, "seq": seq})

    async def at(self, stream: str, seq: int) -> Kept | None:
        """The message with a sequence. The leader answers."""
        return await self._get(stream, {"seq": seq})

    async def run(self, stream: str, subject: str, seq: int, *, size: int, count: int = 256) -> list[Kept]:
        """A subject's messages from a sequence on: up to about `size` bytes and at most `count`. Any node answers."""
        found, _ = await self._batch(stream, {"next_by_subj": subject, "seq": seq, "batch": count, "max_bytes": size})
        return found

    async def lasts(self, stream: str, subjects: Sequence[str], *, count: int = 0) -> tuple[dict[str, Kept], int]:
        """The last messages of subjects, and the sequence up to which the node that answered had the stream.

        Subjects may have wildcards; then `count` is how many messages are wanted at most.
        """
        found, upto = await self._batch(stream, {"multi_last": list(subjects), "batch": count or len(subjects)})
        return {one.subject: one for one in found}, upto

    async def subjects(self, stream: str, under: str) -> tuple[list[str], float]:
        """The subjects that have messages, under one with wildcards, and what time it was. The leader answers.

        Raises `Unavailable`.
        """
        found: list[str] = []
        while True:
            answer = await self.api(f"STREAM.INFO.{stream}", {"subjects_filter": under, "offset": len(found)})
            if "error" in answer:
                raise Unavailable(answer["error"].get("description", "refused"))
            page = answer["state"].get("subjects") or {}
            found += page
            if not page or len(found) >= answer.get("total", 0):
                return found, datetime.fromisoformat(answer["ts"]).timestamp()

    async def sizes(self, stream: str, under: str) -> dict[str, tuple[int, float]]:
        """The size of the last message of each subject under one with wildcards, and when it was stored, unfetched.

        Any node answers. Raises `Unavailable`.
        """
        made = await self.api(f"CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {
            "deliver_policy": "all", "ack_policy": "none", "filter_subject": under, "headers_only": True,
            "mem_storage": True, "num_replicas": 1, "inactive_threshold": 60_000_000_000}})
        if "error" in made:
            raise Unavailable(made["error"].get("description", "refused"))
        found: dict[str, tuple[int, float]] = {}
        try:
            while page := await self._noted(stream, made["name"]):
                found |= page
        finally:
            with suppress(Unavailable):  # then it goes by itself
                await self.api(f"CONSUMER.DELETE.{stream}.{made['name']}")
        return found

    # --- removing -----------------------------------------------------------------------

    async def purge(self, stream: str, subject: str, *, below: int = 0) -> None:
        """Remove a subject's messages (which may have wildcards), or those below a sequence. Raises `Unavailable`."""
        wanted: dict[str, object] = {"filter": subject}
        if below:
            wanted["seq"] = below
        await self._remove(f"STREAM.PURGE.{stream}", wanted)

    async def delete(self, stream: str, seq: int) -> None:
        """Remove one message, if it is there yet. Raises `Unavailable`."""
        await self._remove(f"STREAM.MSG.DELETE.{stream}", {"seq": seq, "no_erase": True})

    async def _remove(self, name: str, wanted: dict[str, object]) -> None:
        error = (await self.api(name, wanted)).get("error", {})
        # A stream without a leader says so, and removes nothing.
        if error and error.get("err_code") != NO_SEQUENCE and error.get("description") not in REMOVED:
            raise Unavailable(error.get("description", "refused"))

    # --- the API ------------------------------------------------------------------------

    async def api(self, name: str, wanted: object = None) -> dict[str, Any]:
        """A request to the API of JetStream; errors stay in the answer. Raises `Unavailable`."""
        data = b"" if wanted is None else json.dumps(wanted).encode()
        return await self._ask(f"$JS.API.{name}", data, None)

    async def move(self, seconds: float) -> None:
        """Ask another node from now on, unless that was done less than `seconds` ago: many may want it at once."""
        now = asyncio.get_running_loop().time()
        if now - self._moved >= seconds:
            self._moved = now
            await self._nats.force_reconnect()

    async def unseat(self, stream: str) -> None:
        """Ask who leads a stream, and lacks what other nodes have of it, to let another one lead."""
        now = asyncio.get_running_loop().time()
        if now - self._unseated.get(stream, -math.inf) >= UNSEAT_SECONDS:
            self._unseated[stream] = now
            _log.error("the node that leads %s lacks what others have of it: another one is to lead", stream)
            await self.api(f"STREAM.LEADER.STEPDOWN.{stream}")

    async def hear(self, subject: str, heard: Callable[[Msg], Awaitable[None]], *,
                   most: int = DEFAULT_SUB_PENDING_MSGS_LIMIT) -> Callable[[], Awaitable[None]]:
        """Call `heard` with what comes on a subject from now on; what is returned ends that.

        Of more than `most` messages that wait to be heard, later ones are let go.
        """
        subscription = await self._nats.subscribe(subject, cb=heard, pending_msgs_limit=most)

        async def end() -> None:
            with suppress(NatsError):
                await subscription.unsubscribe()

        return end

    async def _get(self, stream: str, wanted: dict[str, object]) -> Kept | None:
        answer = await self.api(f"STREAM.MSG.GET.{stream}", wanted)
        if (error := answer.get("error")) is not None:
            if error.get("code") == NOT_FOUND and error.get("err_code") == 10037:
                return None
            raise Unavailable(error.get("description", "refused"))
        message = answer["message"]
        mark = re.search(rb"\n" + MARK.encode() + rb": ?([0-9a-f]*)\r", base64.b64decode(message.get("hdrs", "")))
        return Kept(message["subject"], message["seq"], base64.b64decode(message.get("data", "")),
                    mark[1].decode() if mark else "")

    async def _ask(self, subject: str, data: bytes, headers: dict[str, str] | None) -> dict[str, Any]:
        try:
            with _cancellation_heard():
                answer = await self._nats.request(subject, data, timeout=self._seconds, headers=headers or None)
            decoded = json.loads(answer.data)
        except (NatsError, TimeoutError, OSError, ValueError) as error:
            raise Unavailable(_said(error)) from error
        if not isinstance(decoded, dict):
            raise Unavailable("an answer that is none")
        return decoded

    async def _noted(self, stream: str, consumer: str) -> dict[str, tuple[int, float]]:
        """The next messages of a consumer that tells their headers alone; none at the end."""
        found: dict[str, tuple[int, float]] = {}
        inbox = self._nats.new_inbox()
        try:
            subscription = await self._nats.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
            try:
                wanted = json.dumps({"batch": NOTED, "no_wait": True}).encode()
                await self._nats.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}", wanted, reply=inbox)
                while len(found) < NOTED:
                    with _cancellation_heard():
                        part = await subscription.next_msg(timeout=self._seconds)
                    headers = part.headers or {}
                    if "Status" in headers:
                        if headers["Status"] not in ("404", "408"):
                            raise Unavailable(f"status {headers['Status']}")
                        break
                    found[part.subject] = int(headers["Nats-Msg-Size"]), part.metadata.timestamp.timestamp()
            finally:
                await asyncio.shield(subscription.unsubscribe())
        except (NatsError, TimeoutError, OSError, KeyError, ValueError) as error:
            raise Unavailable(_said(error)) from error
        return found

    async def _batch(self, stream: str, wanted: dict[str, object]) -> tuple[list[Kept], int]:
        """The messages of an answer that has several parts, and what its end says of how far the node was."""
        found: list[Kept] = []
        inbox = self._nats.new_inbox()
        try:
            subscription = await self._nats.subscribe(inbox, pending_bytes_limit=-1, pending_msgs_limit=-1)
            try:
                await self._nats.publish(f"$JS.API.DIRECT.GET.{stream}", json.dumps(wanted).encode(), reply=inbox)
                while True:
                    with _cancellation_heard():
                        part = await subscription.next_msg(timeout=self._seconds)
                    headers = part.headers or {}
                    status = headers.get("Status")
                    if status is None:
                        found.append(Kept(headers["Nats-Subject"], int(headers["Nats-Sequence"]), part.data))
                    elif status in ("204", "404"):
                        return found, int(headers.get("Nats-UpTo-Sequence", 0))
                    else:
                        raise Unavailable(f"status {status}")
            finally:
                await asyncio.shield(subscription.unsubscribe())
        except (NatsError, TimeoutError, OSError, KeyError, ValueError) as error:
            raise Unavailable(_said(error)) from error


def _said(error: Exception) -> str:
    """Why there is no answer, for who runs the cluster."""
    if isinstance(error, NoRespondersError):
        return "nothing of JetStream answers there"
    return "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__


@contextmanager
def _cancellation_heard() -> Iterator[None]:
    """Raise the cancellation of who waits within, where it came with what is waited for, be that an error.

    nats-py waits with `wait_for`, which in Python 3.11 loses it then, and who is to end would go on for ever.
    """
    waiting = asyncio.current_task()
    before = waiting.cancelling() if waiting is not None else 0
    try:
        yield
    finally:
        if waiting is not None and waiting.cancelling() > before:
            raise asyncio.CancelledError
