"""`chez-relay serve`: one process over one store, from its settings to its last answer."""

import asyncio
import gc
import logging
import resource
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from chez_relay import logs, supervisor
from chez_relay.config import Configuration
from chez_relay.counts import Counts
from chez_relay.errors import BadConfiguration, RelayError
from chez_relay.limits import SPARE_FILES, Limits, connections_by
from chez_relay.release import release
from chez_relay.server import RelayServer, serving
from chez_relay.settings import parse_address, unbound
from chez_relay.storage import Storage
from chez_relay.storage.opening import opened

if TYPE_CHECKING:
    from chez_relay.tls import Certificate

__all__ = ("run",)

SILENT_SECONDS: Final = 3.0
"""For a cluster to answer before the log says that it does not yet."""

GARBAGE: Final = 20_000
"""Objects that are made and not freed before it is looked whether they hold each other: a few megabytes."""

SWITCH_SECONDS: Final = 0.0002
"""How long the database's thread waits for the interpreter while the event loop is busy. A group takes it back after
each of a dozen statements: with the five milliseconds that Python has, that and not the disk was most of a commit."""

_log = logging.getLogger("chez_relay")


def run(settings: Configuration) -> None:
    """Serve until SIGTERM or SIGINT. Raises `RelayError`."""
    tokens, certificate = settings.tokens(), settings.certificate()
    data = None if settings.nodes else settings.data
    try:
        logs.begin(settings["log_format"], settings["log_file"])
    except OSError as error:
        raise BadConfiguration(f"the log file {settings['log_file']} can't be written: {error.strerror}",
                               "name another (log_file), or let this user write there") from error
    _collect_seldom()
    sys.setswitchinterval(SWITCH_SECONDS)
    asyncio.run(_serve(settings, data, tokens, certificate))


def _collect_seldom() -> None:
    """Look for cycles of objects seldom, and never in what a relay consists of itself.

    It makes few cycles (one for each connection) and many objects that live for one commit: left alone, the
    interpreter takes a tenth of the time for looking through them, and every look through all stops everybody.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE, 10, 50)


def _with_files(limits: Limits) -> Limits:
    """Open as many files as connections may need, as far as the system lets us; it takes no more than it has these for.

    One connection more would wait for ever, and so would who asks for the status pages: a relay that is full would pass
    for one that hangs.
    """
    wanted = limits.connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        except (ValueError, OSError):
            allowed = soft
    return limits if allowed >= wanted else replace(limits, connections=connections_by(allowed))


class _Signals:
    """What the operator tells the process, from its first moment on."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        """SIGTERM or SIGINT came."""
        self.hurry = asyncio.Event()
        """It came once more: clients are not waited for."""
        self.renewed = asyncio.Event()
        """SIGHUP came. A relay that starts takes it up later: unhandled, it would end the process."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: (self.hurry if self.stop.is_set() else self.stop).set())
        loop.add_signal_handler(signal.SIGHUP, self.renewed.set)


async def _serve(
    settings: Configuration, data: Path | None, tokens: tuple[str, ...], certificate: "Certificate | None"
) -> None:
    signals = _Signals()
    served: list[RelayServer] = []
    host, port = settings.address
    async with AsyncExitStack() as stack:
        # The pages are the first to come and the last to go: bringing a store up to date takes its time, and so does
        # draining, and who watches the process must not take that for its end.
        status = await _status(stack, settings, served, data, certificate) if settings["status"] else ""
        storage = await _unless_stopped(opened(settings), signals.stop, cluster=data is None)
        if storage is None:
            _log.info("stopped before it listened")
            return
        stack.push_async_callback(storage.close)
        limits = _with_files(settings.limits)
        try:
            server = await stack.enter_async_context(serving(
                storage, host, port, names=settings["names"], tokens=tokens, limits=limits,
                tls=certificate.context if certificate else None, trusted=settings["trusted_proxies"],
                header=settings["proxy_header"], hurry=signals.hurry))
        except OSError as error:
            raise unbound("listen", settings["listen"], error) from error
        served.append(server)
        _look_at(certificate)
        reloading = asyncio.create_task(_reload_when_told(signals.renewed, settings, server, certificate))
        stack.callback(reloading.cancel)
        _say(f"chez-relay: listening on ws{'s' if certificate else ''}://{_shown(host, server.port)}")
        if settings.nameless:
            _log.warning("no name is set: devices of other machines are turned away (names, or --name HOST:PORT)")
        if status:
            _say(f"chez-relay: status on http://{status}")
        if limits.connections < settings.limits.connections:
            _log.warning("the system allows fewer files than connections may need: fewer are taken (ulimit -n)",
                         extra={"numbers": {"wanted": settings.limits.connections, "taken": limits.connections}})
        supervisor.tell("READY=1")
        await signals.stop.wait()
        supervisor.tell("STOPPING=1")


async def _unless_stopped(
    opening: Coroutine[None, None, Storage], stop: asyncio.Event, *, cluster: bool
) -> Storage | None:
    """What was opened; None where the operator ended the relay before it was.

    A `cluster` is given up then: it may give no answer for a minute, of which the log tells. A file is opened first,
    and closed: another thread is at it, which nothing ends.
    """
    task, stopped = asyncio.ensure_future(opening), asyncio.ensure_future(stop.wait())
    await asyncio.wait((task, stopped), timeout=SILENT_SECONDS if cluster else None,
                       return_when=asyncio.FIRST_COMPLETED)
    if not (task.done() or stopped.done()):
        _log.warning("the cluster gives no answer yet: it is waited for (`chez-relay doctor` looks at its nodes)")
        await asyncio.wait((task, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if cluster and not task.done():
        task.cancel()
    await asyncio.wait((task,))
    if task.cancelled():
        return None
    storage = task.result()
    if stop.is_set():
        await storage.close()
        return None
    return storage


async def _status(
    stack: AsyncExitStack, settings: Configuration, served: Sequence[RelayServer], data: Path | None,
    certificate: "Certificate | None"
) -> str:
    """Answer for the server in `served` once there is one; where that is, as HOST:PORT."""
    from chez_relay.metrics import Moment, metrics
    from chez_relay.status import status_pages

    host, port = parse_address(settings["status"])
    idle, version = Counts(), release()  # read once: who is out of files shows its pages all the same

    def page() -> str:
        expires = certificate.expires if certificate else None
        if not served:
            return metrics(idle, Moment(0, 0, 0, False, version, data, expires))
        server = served[0]
        return metrics(server.counts, Moment(
            server.connections, server.load, server.followed, server.ready, version, data, expires,
            server.door.agreeing))

    try:
        port = await stack.enter_async_context(
            status_pages(host, port, lambda: bool(served) and served[0].ready, page))
    except OSError as error:
        raise unbound("status", settings["status"], error) from error
    return _shown(host, port)


async def _reload_when_told(
    told: asyncio.Event, settings: Configuration, server: RelayServer, certificate: "Certificate | None"
) -> None:
    while True:
        await told.wait()
        told.clear()
        _reload(settings, server, certificate)


def _reload(settings: Configuration, server: RelayServer, certificate: "Certificate | None") -> None:
    """Take certificate and tokens as their files are now; what makes no sense leaves things as they were."""
    try:
        _not_from_pipes(settings)
        tokens = settings.tokens()
        if certificate is not None:
            certificate.reload()
            server.door.tls = certificate.context
    except RelayError as error:
        _log.error("%s", error)
        return
    server.tokens = tokens
    _look_at(certificate)
    _log.info("certificate and tokens were read again")


def _look_at(certificate: "Certificate | None") -> None:
    """Say of a certificate that no device trusts that it is so: a relay whose clock is wrong serves all the same."""
    if certificate is not None and certificate.expires < time.time():
        _log.warning("the certificate is over, or not valid yet: devices turn away")


def _not_from_pipes(settings: Configuration) -> None:
    """Raise `BadConfiguration` for a pipe: all that the relay serves would wait for whoever may write to it again."""
    for name in ("token_file", "tls_certificate", "tls_key"):
        pipe = False
        with suppress(OSError):  # told below, by what reads it
            pipe = bool(settings[name]) and Path(settings[name]).is_fifo()
        if pipe:
            raise BadConfiguration(f"{name} is a pipe, which is read at the start alone: nothing was read again")


def _shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _say(line: str) -> None:
    click.echo(line)  # whose failing is told as standard output's
