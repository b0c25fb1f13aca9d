"""What the relay's store asks of a cluster of JetStream, in memory, so that it is tested without nodes too.

`Modelled` stands for all nodes, and its clients for connections of nats-py, with as much of them as
`chez_relay.storage.jetstream` calls. test_modelled.py shows of each thing that it does that the nodes do the same.

What becomes of each request is asked of `fate`: where nothing is said, it is done at the loop's next turn, and
answered. So the faults of a cluster can be played, each at each place.
"""

import asyncio
import base64
import copy
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Final

from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

__all__ = ("DONE", "NO_LEADER", "Connection", "Fate", "KilledError", "Modelled", "Stream")

MOST_LASTS: Final = 1024
"""Last messages that are told at once; more are refused."""

INBOX: Final = "_INBOX."

BESIDE: Final = 30
"""Bytes that a message takes beside its own and its subject's."""

NO_LEADER: Final = {"code": 503, "err_code": 10008, "description": "JetStream system temporarily unavailable"}
NO_STREAM: Final = {"code": 404, "err_code": 10059, "description": "stream not found"}
IN_USE: Final = {"code": 400, "err_code": 10058, "description": "stream name already in use"}
NO_MESSAGE: Final = {"code": 404, "err_code": 10037, "description": "no message found"}


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a request: done after so many seconds, or not; answered, or not.

    `leaderless` is answered by a node that knows of no leader; a reading that any node may answer is by one that is
    `behind`, by so many changes.
    """

    after: float = 0.0
    done: bool = True
    answered: bool = True
    leaderless: bool = False
    behind: int = 0


DONE: Final = Fate()


@dataclass(frozen=True, slots=True)
class _Message:
    subject: str
    headers: dict[str, str]
    data: bytes = field(repr=False)
    until: float


@dataclass(slots=True)
class Stream:
    """A stream as it is set up, the sequence of its last message, and those that are there."""

    config: dict[str, Any]
    last: int = 0
    messages: dict[int, _Message] = field(default_factory=dict)

    def under(self, subjects: str, first: int = 1) -> list[int]:
        """The sequences of messages under a subject, which may have wildcards, from one on."""
        return [seq for seq, one in self.messages.items() if seq >= first and _matches(subjects, one.subject)]

    def newest(self, subject: str) -> int:
        """The sequence of a subject's last message, 0 for none."""
        return next((seq for seq in reversed(self.messages) if self.messages[seq].subject == subject), 0)


class Modelled:
    """A cluster without a store yet. Its clock, by which messages expire, is moved by whoever tests that.

    As many of its former states are kept as a node may be behind, `remembered` of each stream.
    """

    urls = ("model",)

    def __init__(self, remembered: int = 0) -> None:
        self.now = 0.0
        self.streams: dict[str, Stream] = {}
        self.lacking: dict[str, set[int]] = {}
        """Sequences that the node that leads a stream lacks, for its disk is damaged, until another one leads. It gives
        two of three answers that any node may give."""
        self._turns = itertools.count()
        self.fate: Callable[[Connection, str], Fate] = lambda *_: DONE
        self._remembered = remembered
        self._before: dict[str, list[Stream]] = {}
        self._heard: list[_Subscription] = []

    async def dial(self, *_: Any, reconnected: Callable[[], Awaitable[None]] | None = None, **__: Any) -> "Connection":
        """A connection, in place of `chez_relay.storage.jetstream.dialling.dial`."""
        return Connection(self, reconnected)

    def former(self) -> dict[str, Stream]:
        """Everything as it is now, to be kept: for a connection to a node that is cut off from now on."""
        return {name: _copied(stream) for name, stream in self.streams.items()}

    # --- what a node does ---------------------------------------------------------------

    def perform(self, subject: str, data: bytes, headers: dict[str, str], seen: dict[str, Stream]) -> dict[str, Any]:
        """The answer to a request, read in `seen`, which is this cluster's streams where it is not cut off.

        Raises `NoRespondersError` where nobody answers on a subject, `TimeoutError` where a quorum is wanting.
        """
        with self._led():
            return self._performed(subject, data, headers, seen)

    @contextmanager
    def _led(self) -> Iterator[None]:
        """What is done by the nodes that lead, with what these have."""
        hidden = [(stream, {seq: stream.messages.pop(seq) for seq in self.lacking[name] & stream.messages.keys()})
                  for name, stream in self.streams.items() if name in self.lacking]
        try:
            yield
        finally:
            for stream, messages in hidden:
                stream.messages = dict(sorted((stream.messages | messages).items()))

    def _performed(self, subject: str, data: bytes, headers: dict[str, str], seen: dict[str, Stream]) -> dict[str, Any]:
        for stream in seen.values():
            for seq in [seq for seq, one in stream.messages.items() if one.until <= self.now]:
                del stream.messages[seq]
        if not subject.startswith("$JS.API."):
            return self._stored(subject, data, headers, seen)
        verb, _, name = subject.removeprefix("$JS.API.").rpartition(".")
        wanted = json.loads(data) if data else {}
        if verb == "STREAM.CREATE":
            self._agree(seen)
            known = self.streams.setdefault(name, Stream(wanted))
            return {"config": wanted} if known.config == wanted else {"error": IN_USE}
        if (stream := seen.get(name)) is None:
            return {"error": NO_STREAM}
        match verb:
            case "STREAM.INFO":
                return {"config": stream.config, "cluster": {"leader": "model", "replicas": []}, "state": {
                    "messages": len(stream.messages), "last_seq": stream.last,
                    "bytes": sum(len(one.subject) + len(one.data) + BESIDE for one in stream.messages.values())}}
            case "STREAM.MSG.GET":
                return _got(stream, wanted)
        self._agree(seen)
        self._remember(stream)
        match verb:
            case "STREAM.DELETE":
                del self.streams[name]
            case "STREAM.LEADER.STEPDOWN":
                self.lacking.pop(name, None)
            case "STREAM.PURGE":
                for seq in stream.under(wanted["filter"]):
                    if seq < wanted.get("seq", stream.last + 1):
                        del stream.messages[seq]
            case "STREAM.MSG.DELETE":
                if stream.messages.pop(seq := wanted["seq"], None) is None:
                    return {"error": _not_there(stream, seq)}
            case _:
                raise NoRespondersError
        return {"success": True}

    def direct(self, name: str, wanted: dict[str, Any], seen: dict[str, Stream],
               behind: int) -> list[tuple[dict[str, str], bytes]]:
        """The parts of an answer that any node gives, which is behind by so many changes."""
        with self._led() if name in self.lacking and next(self._turns) % 3 else nullcontext():
            return self._direct(name, wanted, seen, behind)

    def _direct(self, name: str, wanted: dict[str, Any], seen: dict[str, Stream],
                behind: int) -> list[tuple[dict[str, str], bytes]]:
        stream = seen[name]
        if behind and seen is self.streams and (before := self._before.get(name)):
            stream = before[-min(behind, len(before))]
        if (subjects := wanted.get("multi_last")) is not None:
            latest = {one.subject: seq for seq, one in stream.messages.items()
                      if any(_matches(subject, one.subject) for subject in subjects)}
            found = sorted(latest.values())
            if len(found) > MOST_LASTS:
                return [({"Status": "413"}, b"")]
        else:
            found = stream.under(wanted["next_by_subj"], wanted["seq"])
        room, parts = wanted.get("max_bytes", 2**62), list[tuple[dict[str, str], bytes]]()
        for seq in found[:wanted["batch"]]:
            if room <= 0:
                break
            one = stream.messages[seq]
            room -= len(one.data) + len(one.subject)
            parts.append(({"Nats-Subject": one.subject, "Nats-Sequence": str(seq)}, one.data))
        end = {"Status": "204", "Nats-UpTo-Sequence": str(stream.last)} if parts else {"Status": "404"}
        return [*parts, (end, b"")]

    def _stored(self, subject: str, data: bytes, headers: dict[str, str], seen: dict[str, Stream]) -> dict[str, Any]:
        stream = next((one for one in seen.values() if _matches(one.config["subjects"][0], subject)), None)
        if stream is None:
            raise NoRespondersError
        expected = headers.get("Nats-Expected-Last-Subject-Sequence")
        if expected is not None and int(expected) != (newest := stream.newest(subject)):
            return {"error": {"code": 400, "err_code": 10071, "description": f"wrong last sequence: {newest}"}}
        ttl = headers.get("Nats-TTL")
        if ttl is not None and not stream.config.get("allow_msg_ttl"):
            return {"error": {"code": 400, "err_code": 10166, "description": "per-message TTL is disabled"}}
        self._agree(seen)
        self._remember(stream)
        if "Nats-Rollup" in headers or stream.config.get("max_msgs_per_subject") == 1:
            for seq in stream.under(subject):
                del stream.messages[seq]
        stream.last += 1
        until = float("inf") if ttl is None else self.now + float(ttl.removesuffix("s"))
        stream.messages[stream.last] = _Message(subject, headers, data, until)
        self._tell(stream, subject, data)
        return {"stream": stream.config["name"], "seq": stream.last}

    def _tell(self, stream: Stream, subject: str, data: bytes) -> None:
        """Publish anew what was stored, as the stream is set up to."""
        again = stream.config.get("republish")
        if again is not None and _matches(again["src"], subject):
            parts = zip(again["src"].split("."), subject.split("."), strict=False)
            wild = next((part for source, part in parts if source == "*"), "")
            on = again["dest"].replace("{{wildcard(1)}}", wild)
            self.hand_out(on, data, {"Nats-Subject": subject, "Nats-Sequence": str(stream.last)})

    def _agree(self, seen: dict[str, Stream]) -> None:
        """A node that is cut off has nothing done."""
        if seen is not self.streams:
            raise TimeoutError

    def _remember(self, stream: Stream) -> None:
        if self._remembered:
            before = self._before.setdefault(stream.config["name"], [])
            before.append(_copied(stream))
            del before[:-self._remembered]

    # --- what is heard ------------------------------------------------------------------

    def hand_out(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        """Give a message to all who listen there and are not cut off."""
        for one in self._heard:
            if one.subject == subject and (one.client.cut_off is None or subject.startswith(INBOX)):
                one.take(Msg(one.client, subject, data=data, headers=headers))  # type: ignore[arg-type]

    def listen(self, one: "_Subscription") -> None:
        """Hand what comes to this one as well."""
        self._heard.append(one)

    def forget(self, one: "_Subscription") -> None:
        """Hand it nothing more."""
        if one in self._heard:
            self._heard.remove(one)


class _Subscription:
    """What was heard on a subject and not yet taken."""

    def __init__(self, client: "Connection", subject: str, heard: Callable[[Msg], Awaitable[None]] | None,
                 most: int) -> None:
        self.client = client
        self.subject = subject
        self._most = most
        self._waiting: asyncio.Queue[Msg] = asyncio.Queue()
        self._hearing = None if heard is None else asyncio.create_task(self._hear(heard))

    def take(self, message: Msg) -> None:
        if self._most <= 0 or self._waiting.qsize() < self._most:
            self._waiting.put_nowait(message)

    async def next_msg(self, timeout: float) -> Msg:
        return await _in_time(self._waiting.get(), timeout)

    async def unsubscribe(self) -> None:
        self.client.cluster.forget(self)
        if self._hearing is not None:
            self._hearing.cancel()

    async def _hear(self, heard: Callable[[Msg], Awaitable[None]]) -> None:
        while True:
            await heard(await self._waiting.get())


class Connection:
    """One connection to the cluster: what the store calls of nats-py's client.

    A node that is `cut_off` answers for the cluster as it was then. From a connection whose relay is `killed`, nothing
    comes any more.
    """

    def __init__(self, cluster: Modelled, reconnected: Callable[[], Awaitable[None]] | None = None) -> None:
        self.cluster = cluster
        self.cut_off: dict[str, Stream] | None = None
        self.killed = self.is_closed = False
        self._reconnected = reconnected
        self._numbers = itertools.count()
        self._heard: list[_Subscription] = []
        self._next = 0.0

    @property
    def is_connected(self) -> bool:
        return not self.is_closed

    async def close(self) -> None:
        self.is_closed = True
        for one in self._heard:
            await one.unsubscribe()

    async def force_reconnect(self) -> None:
        """Ask a node that is not cut off from now on."""
        self.cut_off = None
        if self._reconnected is not None:
            await self._reconnected()

    def new_inbox(self) -> str:
        return f"{INBOX}{id(self):x}.{next(self._numbers)}"

    async def subscribe(self, subject: str, *, cb: Callable[[Msg], Awaitable[None]] | None = None,
                        pending_msgs_limit: int = -1, pending_bytes_limit: int = -1) -> _Subscription:
        self._alive()
        one = _Subscription(self, subject, cb, pending_msgs_limit)
        self._heard.append(one)
        self.cluster.listen(one)
        return one

    async def request(self, subject: str, data: bytes = b"", timeout: float = 2.0,
                      headers: dict[str, str] | None = None) -> Msg:
        self._alive()
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        fate = self.cluster.fate(self, subject)

        def arrive() -> None:
            try:
                done = {"error": NO_LEADER} if fate.leaderless else self.cluster.perform(
                    subject, data, headers or {}, self._seen)
                if not answer.done() and fate.answered and not self.killed:
                    answer.set_result(json.dumps(done).encode())
            except NoRespondersError as error:
                if not answer.done():
                    answer.set_exception(error)
            except TimeoutError:
                pass  # nobody answers

        if fate.done:
            self._later(fate.after, arrive, in_order=not subject.startswith("$"))
        return Msg(self, subject, data=await _in_time(answer, timeout))  # type: ignore[arg-type]

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        self._alive()
        fate = self.cluster.fate(self, subject)

        def arrive() -> None:
            if not subject.startswith("$JS.API.DIRECT.GET."):
                self.cluster.hand_out(subject, data)
            elif fate.answered and not fate.leaderless and not self.killed:
                name = subject.rpartition(".")[2]
                for headers, part in self.cluster.direct(name, json.loads(data), self._seen, fate.behind):
                    self.cluster.hand_out(reply, part, headers)

        if fate.done:
            self._later(fate.after, arrive, in_order=False)

    @property
    def _seen(self) -> dict[str, Stream]:
        return self.cluster.streams if self.cut_off is None else self.cut_off

    def _later(self, seconds: float, act: Callable[[], None], *, in_order: bool) -> None:
        """Do something then; what is published on one connection arrives in its order."""
        loop = asyncio.get_running_loop()
        if in_order:
            self._next = max(self._next, loop.time() + seconds)
            loop.call_at(self._next, act) if self._next > loop.time() else loop.call_soon(act)
        else:
            loop.call_later(seconds, act) if seconds else loop.call_soon(act)

    def _alive(self) -> None:
        if self.killed:
            raise KilledError


class KilledError(Exception):
    """The relay is gone, with all that it was about to do."""


async def _in_time(waited: Awaitable[Any], seconds: float) -> Any:
    try:
        async with asyncio.timeout(seconds):
            return await waited
    except TimeoutError as error:
        raise NatsTimeoutError from error


def _not_there(stream: Stream, seq: int) -> dict[str, Any]:
    """What is said of a message to be deleted: removed after one that is there, before them all, or not stored yet."""
    if min(stream.messages, default=stream.last + 1) < seq <= stream.last:
        return {"code": 400, "err_code": 10043, "description": f"sequence {seq} not found"}
    return {"code": 500, "err_code": 10057,
            "description": "no message found" if seq <= stream.last else "stream store EOF"}


def _copied(stream: Stream) -> Stream:
    return replace(stream, messages=copy.copy(stream.messages))


def _got(stream: Stream, wanted: dict[str, Any]) -> dict[str, Any]:
    """The message that is wanted by its subject, by its sequence or by both."""
    if "last_by_subj" in wanted:
        seq = stream.newest(wanted["last_by_subj"])
    elif "next_by_subj" in wanted:
        seq = next(iter(stream.under(wanted["next_by_subj"], wanted["seq"])), 0)
    else:
        seq = wanted["seq"]
    if (one := stream.messages.get(seq)) is None:
        return {"error": NO_MESSAGE}
    lines = "".join(f"{name}: {value}\r\n" for name, value in one.headers.items())
    return {"message": {"subject": one.subject, "seq": seq, "data": base64.b64encode(one.data).decode(),
                        "hdrs": base64.b64encode(f"NATS/1.0\r\n{lines}\r\n".encode()).decode()}}


def _matches(pattern: str, subject: str) -> bool:
    """Whether a subject is one of those that a pattern names."""
    if pattern == subject:
        return True
    wanted, parts = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(parts) <= len(wanted):
            return False
        parts = parts[:len(wanted)]
    return len(wanted) == len(parts) and all(one in ("*", part) for one, part in zip(wanted, parts, strict=True))
