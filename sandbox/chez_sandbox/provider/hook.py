"""Handing results to a program of the provider: an HTTP POST for each, until it is taken.

    POST /path HTTP/1.1
    Content-Type: application/json
    Idempotency-Key: the line's id

The body is the line of the file of results. A status from 200 to 299 says that the program has it durably;
anything else, or nothing, is tried again with growing waits, and what comes behind waits: results
arrive in the order of the file, each at least once. A file beside it tells how far that is, so that a result
comes twice only when the process is killed between the answer and that file; both have one key. What is
no result (outcome "invalid") is not handed on: anybody with a bundle can write that.

Unless told otherwise a hook is on this machine: results go through no network in the clear.
"""

import asyncio
import http.client
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from chez.errors import InvalidValue, StorageFailed
from chez_sandbox.job_errors import HookFailed
from chez_sandbox.provider.results import BEGINNING, Place, ResultBook

__all__ = ("Hook", "HookAddress", "hook_address", "hook_waits", "post")

TIMEOUT: Final = 30.0
"""Seconds for a hook to answer."""

LONGEST_WAIT: Final = 60.0
"""Seconds between two attempts at most."""


class HookAddress(msgspec.Struct, frozen=True):
    """Where a hook is."""

    url: str
    secure: bool
    host: str
    port: int
    path: str
    """With its query."""


def hook_address(url: str, *, anywhere: bool = False) -> HookAddress:
    """Read a hook's URL. Raises `InvalidValue` for what is none, or is not allowed.

    Its host is "localhost" (RFC 6761: loopback, whatever a resolver says) or an address of loopback, unless
    `anywhere`; and another machine is reached by https alone.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username is not None or parts.fragment:
        raise InvalidValue(f"{url!r} is no address of a hook", "it looks like http://127.0.0.1:8000/results")
    if any(not "!" <= char <= "~" for char in url):
        raise InvalidValue(f"{url!r} has characters that no URL has", "write them as %XX")
    if not _on_this_machine(host):
        if not anywhere:
            raise InvalidValue(
                f"{host} is not this machine: results would leave it",
                "hand them to a program here (http://127.0.0.1:PORT/), or say --hook-anywhere with an https:// URL",
            )
        if parts.scheme == "http":
            raise InvalidValue(f"results don't go to {host} in the clear", "use an https:// URL")
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return HookAddress(url, secure, host, port or (443 if secure else 80), path)


def _on_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def hook_waits() -> list[float]:
    """Seconds before the second, third ... attempt; the last one goes on for ever."""
    return [min(LONGEST_WAIT, 2.0**number) for number in range(7)]


def post(address: HookAddress, key: str, body: bytes) -> None:
    """One attempt. Raises `HookFailed` unless the answer says that it was taken; follows no redirection."""
    connection = http.client.HTTPConnection(address.host, address.port)
    try:
        connection.sock = _connected(address)
        headers = {
            "Host": urlsplit(address.url).netloc,
            "Content-Type": "application/json",
            "Idempotency-Key": key,
            "Connection": "close",
        }
        connection.request("POST", address.path, body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise HookFailed(f"the hook {address.url} can't be reached: {reason}", "start what listens there") from None
    finally:
        connection.close()
    if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        raise HookFailed(
            f"the hook {address.url} answered {status} to the result {key}",
            "it is tried again, and holds up what follows, until the answer is 2xx",
        )


def _connected(address: HookAddress) -> socket.socket:
    """A connection to a hook. No resolver is asked where "localhost" is, for it may answer with another machine."""
    first, *others = ("127.0.0.1", "::1") if address.host == "localhost" else (address.host,)
    try:
        opened = socket.create_connection((first, address.port), TIMEOUT)
    except OSError:
        if not others:
            raise
        opened = socket.create_connection((others[0], address.port), TIMEOUT)
    if not address.secure:
        return opened
    try:
        return ssl.create_default_context().wrap_socket(opened, server_hostname=address.host)
    except BaseException:
        opened.close()
        raise


class Hook:
    """A sink of results: `take` hands on what the book has more than the hook.

    `send` makes one attempt and raises `HookFailed`; it runs in a thread. After `attempts` of one
    result in vain `take` raises `HookFailed` (None: never); `said` hears of each.
    """

    def __init__(
        self,
        book: ResultBook,
        send: Callable[[str, bytes], None],
        *,
        attempts: int | None,
        said: Callable[[HookFailed], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._book = book
        self._send = send
        self._attempts = attempts
        self._said = said
        self._sleep = sleep
        self._path = book.path.with_name(f"{book.path.name}.hook")
        self._place = _read_place(self._path)

    async def take(self) -> None:
        """Hand on, in order, what was not yet. Raises `HookFailed`, `StorageFailed`."""
        for line in self._book.lines(self._place):
            if line.value.get("outcome") != "invalid":
                await self._hand_on(line.value)
            _write_place(self._path, line.end)
            self._place = line.end

    async def _hand_on(self, value: dict[str, Any]) -> None:
        key, body, waits = str(value["id"]), json.dumps(value).encode(), hook_waits()
        tried = 0
        while True:
            try:
                await asyncio.to_thread(self._send, key, body)
                return
            except HookFailed as error:
                tried += 1
                if self._attempts is not None and tried >= self._attempts:
                    raise
                self._said(error)
            await self._sleep(waits[min(tried, len(waits)) - 1])

    def due(self) -> float | None:
        """It wants nothing but what comes."""
        return None

    async def close(self) -> None:
        """Everything was handed on, or is the next time."""


def _read_place(path: Path) -> Place:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Place)
    except FileNotFoundError:
        return BEGINNING
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}") from None
    except msgspec.DecodeError:
        hint = "remove it to hand all results on again"
        raise InvalidValue(f"{path} is no place in a file of results", hint) from None


def _write_place(path: Path, place: Place) -> None:
    temporary = path.with_name(f".{path.name}.new")
    try:
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(place))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StorageFailed(f"{path} can't be written: {error.strerror}") from None
