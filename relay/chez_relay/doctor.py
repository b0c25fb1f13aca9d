"""`chez-relay doctor`: whether this machine gives a relay what its settings ask for.

It opens, measures and tries; it changes nothing, but for a small file that it makes in the data folder and removes.
"""

import asyncio
import errno
import os
import resource
import shutil
import socket
import stat
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from chez_relay.cluster.greeting import NoGreeting, greeted
from chez_relay.config import EVERYWHERE, Configuration
from chez_relay.errors import RelayError
from chez_relay.limits import SPARE_FILES, connections_by
from chez_relay.settings import NATS_PORT, parse_address, unbound
from chez_relay.storage.census import census
from chez_relay.storage.copies import FILE_NAME
from chez_relay.tls import pin_in
from chez_relay.top import fetch
from chez_wire.limits import MAX_FRAME, MIB

__all__ = ("Finding", "examine")

LOW_SPACE: Final = 1024 * MIB
"""Free bytes below which a disk is nearly full: one space may hold as much."""

SLOW_SYNC: Final = 0.02
"""Seconds of an fsync above which appends wait noticeably: disks with a write cache that lasts take 1 to 5 ms."""

NODE_SECONDS: Final = 5.0
"""For a node of the cluster to take a connection."""

OLDEST_NATS: Final = (2, 12)
"""Major and minor number of the first nats-server that has all that a store asks of it."""

CLOCKS_APART: Final = 5.0
"""Seconds that clocks of relays and nodes may differ by before it is told."""

CONNECTION_BYTES: Final = 2 * MAX_FRAME
"""What one connection may make the relay hold: a frame, and an answer."""

SYNCS: Final = 12
CERTIFICATE_DAYS: Final = 14
"""Days before its end at which a certificate should have been renewed: most are, a month before."""

_FILES: Final = ("relay.lock", FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm")
_WORDS: Final = ("good", "warning", "bad")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and how it is: 0 good, 1 a warning, 2 must be mended."""

    what: str
    level: int
    text: str

    @property
    def word(self) -> str:
        """The level in a word."""
        return _WORDS[self.level]


def examine(settings: Configuration, clock: Callable[[], float] = time.time) -> Iterator[Finding]:
    """Look at everything, one finding after the other. Raises `BadConfiguration` when no store is set, or two are.
    """
    if urls := settings.nodes:
        nodes = [_node(url) for url in urls]
        yield from nodes
        if any(node.level == 0 for node in nodes):
            yield from _streams(settings)
        yield _files(settings.limits.connections + SPARE_FILES)
        yield from _reached(settings)
        yield from _secrets(settings, clock())
        return
    data = settings.data
    there = next(path for path in (data, *data.absolute().parents) if _is_folder(path))
    yield _folder(data)
    yield _space(there)
    yield _sync(there)
    yield from _store(data)
    yield _clock(data, clock())
    yield _files(settings.limits.connections + SPARE_FILES)
    yield from _reached(settings)
    yield from _secrets(settings, clock())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it lies where this user may not look
        return False


def _folder(data: Path) -> Finding:
    """The data folder, and the files of a store in it: a relay needs each, and makes each its own user's alone."""
    what = "data folder"
    try:
        mode = data.stat().st_mode
    except FileNotFoundError:
        return Finding(what, 0, "not there yet")
    except OSError as error:
        return Finding(what, 2, f"it can't be looked at: {error.strerror}")
    if not stat.S_ISDIR(mode):
        return Finding(what, 2, f"{data} is no folder")
    if not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        return Finding(what, 2, "this user may not use it")
    files = [data / name for name in _FILES if name in os.listdir(data)]
    if foreign := [path.name for path in files if not os.access(path, os.R_OK | os.W_OK)]:
        return Finding(what, 2, f"this user may not write {foreign[0]} in it: give it back with chown or chmod")
    if mode & 0o022:
        return Finding(what, 1, _harm("others may put another store there", mode))
    if mode & 0o011 and (shown := [path for path in files if path.stat().st_mode & 0o077]):
        return Finding(what, 1, _harm(f"others may read {shown[0].name} in it", shown[0].stat().st_mode))
    return Finding(what, 0, "what is in it is this user's alone")


def _permissions(what: str, path: Path, harm: str) -> Finding:
    """A file that is a secret."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return Finding(what, 2, f"it can't be looked at: {error.strerror}")
    if not os.access(path, os.R_OK):
        return Finding(what, 2, "this user may not use it")
    if mode & 0o077:
        return Finding(what, 1, _harm(harm, mode))
    return Finding(what, 0, "this user's alone")


def _harm(harm: str, mode: int) -> str:
    return f"{harm} (its mode is {mode & 0o777:o}): take the rights of others away with chmod"


def _space(folder: Path) -> Finding:
    usage = shutil.disk_usage(folder)
    text = f"{usage.free // MIB} MiB free of {usage.total // MIB}"
    return Finding("disk", 1 if usage.free < LOW_SPACE else 0, text)


def _sync(folder: Path) -> Finding:
    path = folder / f".chez-relay-doctor-{os.getpid()}"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            took = [_timed(handle) for _ in range(SYNCS)]
        finally:
            os.close(handle)
            path.unlink()
    except OSError as error:
        return Finding("fsync", 2, f"nothing can be written there: {error.strerror}")
    middle = statistics.median(took)
    return Finding("fsync", 1 if middle > SLOW_SYNC else 0,
                   f"{middle * 1000:.1f} ms for 4 KiB (the slowest of {SYNCS}: {max(took) * 1000:.1f} ms)")


def _timed(handle: int) -> float:
    begun = time.perf_counter()
    os.write(handle, bytes(4096))
    os.fsync(handle)
    return time.perf_counter() - begun


def _node(url: str) -> Finding:
    """One node of the cluster, by what it says to whoever connects."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or NATS_PORT
    at = f"{host}:{port}"
    try:
        node = greeted(host, port, NODE_SECONDS)
    except NoGreeting as error:
        # A server may be told to speak TLS from the first byte on.
        return Finding("node", 0 if parts.scheme == "tls" else 2, f"{at} is there; {error.message}")
    except OSError as error:
        return Finding("node", 2, f"{at} can't be reached: {error.strerror or error}")
    name = f"{at} ({node.server_name}, nats-server {node.version})"
    if node.release < OLDEST_NATS:
        return Finding("node", 2, f"{name} is too old: {'.'.join(map(str, OLDEST_NATS))} or newer is needed")
    if not node.jetstream:
        return Finding("node", 2, f"{name} stores nothing: its JetStream is not set up, or ended because its disk is "
                                  "full or failed. Its log says which; make room, then start it again")
    if node.max_payload < MIB:
        return Finding("node", 2, f"{name} takes {node.max_payload} bytes at a time: set max_payload to 1 MiB or more")
    return Finding("node", 0, f"{name} takes connections")


def _streams(settings: Configuration) -> Iterator[Finding]:
    """The store on the cluster, stream by stream, in as few words as there are troubles."""
    try:
        from chez_relay.storage.jetstream.engine import Unavailable
        from chez_relay.storage.jetstream.survey import survey
    except ImportError:
        yield Finding("store", 2, "this installation has no NATS client: pip install chez[cluster]")
        return
    try:
        found = asyncio.run(survey(settings["cluster.nodes"], settings["cluster.prefix"]))
    except Unavailable as error:
        yield Finding("store", 2, f"the cluster gives no answer ({error}): do two of three nodes run?")
        return
    except RelayError as error:
        yield Finding("store", 2, str(error))
        return
    if abs(found.ahead) > CLOCKS_APART:
        way = "behind" if found.ahead > 0 else "ahead of"
        yield Finding("clock", 1, f"it is {abs(found.ahead):.0f} s {way} a node's: inboxes expire by both")
    if not found.streams:
        yield Finding("store", 0, "none yet")
        yield from _replicas(settings)
    if found.gone:
        yield Finding("store", 2, f"{found.gone} of its {found.streams} streams are gone (docs/operations.md)")
    if found.headless:
        yield Finding("store", 2, f"{found.headless} of its {found.streams} streams have no leader: they store nothing")
    for node, number in found.behind:
        yield Finding("store", 1, f"{node} is not in step in {number} of {found.streams} streams: "
                                  "stop no other node before it is")
    if found.streams and not (found.gone or found.headless or found.behind):
        alone = found.replicas == 1
        yield Finding("store", 1 if alone else 0,
                      f"{found.streams} streams, {found.bytes // MIB} MiB, each " + (
                          "on one node alone" if alone else f"on {found.replicas} nodes in step"))


def _replicas(settings: Configuration) -> Iterator[Finding]:
    """Whether a store can be made: `serve` waits a minute for nodes that are too few."""
    wanted, given = settings["cluster.replicas"], len(settings["cluster.nodes"])
    if wanted > given:
        yield Finding("replicas", 1, f"cluster.replicas is {wanted}, and {given} of that many nodes are named in "
                                     "cluster.nodes: a store is made only where so many run")


def _store(data: Path) -> Iterator[Finding]:
    try:
        if not (data / FILE_NAME).exists():
            yield Finding("store", 0, "none yet")
            return
        found = census(data)
    except RelayError as error:
        yield Finding("store", 2, str(error))
    except OSError as error:
        yield Finding("store", 2, f"it can't be looked at: {error.strerror}")
    else:
        yield Finding("store", 0, f"it opens and counts {found.spaces} spaces, {found.entries} entries; "
                                  "whether each is whole was not looked at, `chez-relay check` does")


def _clock(data: Path, now: float) -> Finding:
    """Nothing is ordered by the clock, but inboxes expire by it: behind, they stay; ahead, they are lost."""
    try:
        written = max(path.stat().st_mtime for path in data.glob(f"{FILE_NAME}*"))
    except (OSError, ValueError):
        written = 0.0
    if now + 60 < written:
        return Finding("clock", 2, "it is behind the time at which the store was last written")
    if now < 1_767_225_600:  # the first of January 2026: before this program was
        return Finding("clock", 2, "it is years behind")
    return Finding("clock", 0, "not behind the store")


def _files(wanted: int) -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return Finding("open files", 1, f"the system allows {hard}, limits.connections asks for {wanted} (ulimit -n): "
                                        f"{connections_by(hard)} connections are taken")
    return Finding("open files", 0, f"{wanted} are allowed")


def _reached(settings: Configuration) -> Iterator[Finding]:
    least = min(settings["limits.memory"], settings["limits.memory_per_address"])
    if least < CONNECTION_BYTES:
        yield Finding("memory", 2, f"limits.memory or limits.memory_per_address allows {least} bytes, and one "
                                   f"connection may need {CONNECTION_BYTES // MIB} MiB: large frames end it")
    yield _port("port", "listen", settings["listen"])
    yield from _pages(settings)
    if settings.nameless:
        yield Finding("names", 2, "none is set, and devices of other machines dial one: name each HOST:PORT of theirs")


def _pages(settings: Configuration) -> Iterator[Finding]:
    """Where health, readiness and metrics are to be: `serve` ends when it can't have that."""
    if not settings["status"]:
        return
    at, port = parse_address(settings["status"])
    host, listens = settings.address
    # "::" is all addresses of IPv6 alone, as asyncio listens on it.
    if port and port == listens and (at == host or ({at, host} & set(EVERYWHERE) and (":" in at) == (":" in host))):
        yield Finding("status", 2, f"{settings['status']} is the port of `listen`: set another one")
        return
    found = _port("status", "status", settings["status"])
    if found.level == 1:
        try:
            fetch(settings["status"])
        except RelayError:
            found = Finding("status", 2, f"another program has {settings['status']}: end it, or set another (status)")
    yield found


def _port(what: str, setting: str, address: str) -> Finding:
    host, port = parse_address(address)
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with closing(socket.socket(family, socket.SOCK_STREAM)) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(what, 1, f"{address} is in use, by this relay if it runs")
        return Finding(what, 2, str(unbound(setting, address, error)))
    return Finding(what, 0, f"{address} is free")


def _secrets(settings: Configuration, now: float) -> Iterator[Finding]:
    if settings["token_file"]:
        yield _permissions("tokens", Path(settings["token_file"]), "others may read them")
        yield _tried("tokens", settings.tokens)
    if settings["tls_key"]:
        yield _permissions("certificate's key", Path(settings["tls_key"]), "others may read it")
    try:
        certificate = settings.certificate()
    except RelayError as error:
        yield Finding("certificate", 2, str(error))
        return
    if certificate is not None:
        days = int((certificate.expires - now) // 86400)
        text = f"it ends in {days} days" if days > 0 else "it is over"
        text += f"; its key's pin is {pin_in(Path(settings['tls_certificate']))}"
        yield Finding("certificate", 2 if days <= 0 else 1 if days < CERTIFICATE_DAYS else 0, text)


def _tried(what: str, call: Callable[[], tuple[str, ...]]) -> Finding:
    try:
        return Finding(what, 0, f"{len(call())} of them")
    except RelayError as error:
        return Finding(what, 2, str(error))
