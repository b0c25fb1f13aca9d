"""The counts as Prometheus reads them: its text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ describes the lines. The client library
would take 14 MB and 54 ms for them, more than all the rest of an idle relay.
"""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Final

from chez_relay.counts import BOUNDS, Counts
from chez_relay.storage.copies import FILE_NAME

__all__ = ("Moment", "metrics")

_PREFIX: Final = "chez_relay_"


@dataclass(frozen=True, slots=True)
class Moment:
    """What is now, beside what was counted. `expires` is the certificate's end in seconds since 1970, None without one.
    """

    connections: int
    load: int
    followed: int
    ready: bool
    version: str
    folder: Path | None = None
    expires: float | None = None
    agreeing: int = 0


def metrics(counts: Counts, now: Moment) -> str:
    """The page of metrics."""
    return "".join(f"{line}\n" for line in (*_counted(counts), *_standing(now)))


def _counted(counts: Counts) -> Iterator[str]:
    yield from _one("connections_total", "counter", "Connections that were let in.", counts.connections)
    yield from _by("turned_away_total", "Connections that were not, by the limit they met.", "limit",
                   counts.turned_away)
    yield from _one("handshakes_failed_total", "counter",
                    "TLS handshakes that began and came to nothing, whoever ended them.", counts.handshakes_failed)
    yield from _by("let_go_total", "Connections that were dropped, by why.", "why", counts.let_go)
    kinds = {kind.__name__: number for kind, number in counts.requests.items()}
    yield from _by("requests_total", "Requests to the storage, by kind.", "kind", kinds)
    yield from _by("refused_total", "Requests that it refused, by code.", "code",
                   {str(code): number for code, number in counts.refused.items()})
    yield from _one("entries_total", "counter", "Entries stored, each once.", counts.entries)
    yield from _one("entry_bytes_total", "counter", "Bytes of entries stored.", counts.entry_bytes)
    yield from _one("ephemeral_total", "counter", "Ephemeral messages passed on, each once.", counts.ephemeral)
    yield from _by("ephemeral_dropped_total", "Ephemeral messages that did not reach a reader, by why.", "why",
                   counts.ephemeral_dropped)
    yield from _one("storage_failures_total", "counter", "Groups that the storage could not perform.", counts.failures)
    yield from _head("group_seconds", "histogram", "How long the storage took for a group of requests.")
    bounds = (*(f"{bound:g}" for bound in BOUNDS), "+Inf")
    sums = list(accumulate(counts.groups.counts))
    yield from (f'{_PREFIX}group_seconds_bucket{{le="{bound}"}} {number}'
                for bound, number in zip(bounds, sums, strict=True))
    yield f"{_PREFIX}group_seconds_sum {counts.groups.total:.6f}"
    yield f"{_PREFIX}group_seconds_count {sums[-1]}"


def _standing(now: Moment) -> Iterator[str]:
    yield from _by("info", "The program.", "version", {now.version: 1}, "gauge")
    yield from _one("ready", "gauge", "Whether it takes connections and can write: 1 or 0.", int(now.ready))
    yield from _one("connections", "gauge", "Connections open.", now.connections)
    yield from _one("handshakes", "gauge", "Connections that have not agreed on TLS yet.", now.agreeing)
    yield from _one("load_bytes", "gauge", "Bytes held for connections.", now.load)
    yield from _one("followed", "gauge", "Spaces and inboxes that connections follow.", now.followed)
    yield from _one("resident_bytes", "gauge", "Memory of the process.", _resident())
    if now.expires is not None:
        yield from _one("certificate_expires", "gauge",
                        "When the certificate ends, in seconds since 1970; 0: it is not valid.", int(now.expires))
    if now.folder is not None:
        files = (now.folder / f"{FILE_NAME}{end}" for end in ("", "-wal"))
        yield from _one("store_bytes", "gauge", "Size of the store and its log.", sum(map(_size, files)))
        with suppress(OSError):  # before the store is made there may be no folder
            free = shutil.disk_usage(now.folder).free
            yield from _one("disk_free_bytes", "gauge", "Room left on the store's disk.", free)


def _head(name: str, kind: str, why: str) -> Iterator[str]:
    yield f"# HELP {_PREFIX}{name} {why}"
    yield f"# TYPE {_PREFIX}{name} {kind}"


def _one(name: str, kind: str, why: str, value: int) -> Iterator[str]:
    yield from _head(name, kind, why)
    yield f"{_PREFIX}{name} {value}"


def _by(name: str, why: str, label: str, values: Mapping[str, int], kind: str = "counter") -> Iterator[str]:
    yield from _head(name, kind, why)
    yield from _lines(name, label, sorted(values.items()))


def _lines(name: str, label: str, values: Iterable[tuple[str, int]]) -> Iterator[str]:
    return (f'{_PREFIX}{name}{{{label}="{value}"}} {number}' for value, number in values)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _resident() -> int:
    """Bytes of memory in use (Linux's /proc, field 2 of proc_pid_statm(5) in pages); 0 where that is not told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
