"""Every setting of `chez-relay serve`: its name, what it takes, what it is without one, and why."""

import errno
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from chez_relay.bounds import MAX_REPLICAS, MAX_SHARDS
from chez_relay.errors import BadConfiguration, in_words
from chez_relay.limits import Limits, reasons
from chez_relay.storage import Quotas

__all__ = ("NATS_PORT", "SETTINGS", "Setting", "parse_address", "unbound")

_UNITS: Final = {"": 1, "B": 1, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_LARGEST: Final = 2**62

NATS_PORT: Final = 4222
"""Where a node of NATS listens that is told nothing else."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `parse` takes text (of a flag or the environment) or a TOML value and raises `ValueError`.

    `wants` says in a few words what it takes; `path` that a relative one in a file starts at that file.
    """

    name: str
    wants: str
    parse: Callable[[object], Any]
    default: Any
    why: str
    path: bool = False

    @property
    def variable(self) -> str:
        """The environment's name for it."""
        return "CHEZ_RELAY_" + self.name.replace(".", "_").upper()


def parse_address(value: object) -> tuple[str, int]:
    """Host and port of HOST:PORT, where the host may be in brackets. Raises `ValueError`, also for a URL."""
    host, separator, port = _text(value).rpartition(":")
    if not separator or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535 or not re.fullmatch(
            r"[^\s/@?#\0]*", host):
        raise ValueError
    return host.strip("[]") or "127.0.0.1", int(port)


def unbound(setting: str, address: str, error: OSError) -> BadConfiguration:
    """What to say when the address of a setting can't be listened on."""
    hint = _UNBOUND.get(error.errno or 0, "set an address of this machine")
    return BadConfiguration(f"{address} can't be used: {in_words(error)}", f"{hint} ({setting})")


_UNBOUND: Final[Mapping[int, str]] = MappingProxyType({
    errno.EADDRINUSE: "stop what uses it, or set another",
    errno.EACCES: "a port below 1024 wants CAP_NET_BIND_SERVICE (docs/operations.md): give it that, or set another",
    errno.EADDRNOTAVAIL: "set an address of this machine, or 0.0.0.0 for all that it has",
})


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _path(value: object) -> str:
    if "\0" in (text := _text(value)):
        raise ValueError
    return text


def _address(value: object) -> str:
    parse_address(value)
    return str(value)


def _optional_address(value: object) -> str:
    return "" if value == "" else _address(value)


def _list_of(one: Callable[[object], str]) -> Callable[[object], tuple[str, ...]]:
    def parse(value: object) -> tuple[str, ...]:
        if isinstance(value, str):
            value = [part.strip() for part in value.split(",") if part.strip()]
        if not isinstance(value, list | tuple):
            raise ValueError
        return tuple(one(part) for part in value)

    return parse


def _node(value: object) -> str:
    text = _text(value)
    if not re.fullmatch(r"(nats|tls)://[^\s/]+", text):
        raise ValueError
    return text if urlsplit(text).port is not None else f"{text}:{NATS_PORT}"  # raises for what is no port


def _word(value: object) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text := _text(value)):
        raise ValueError
    return text


def _network(value: object) -> str:
    return str(ipaddress.ip_network(_text(value), strict=False))


def _header(value: object) -> str:
    if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", _text(value)):
        raise ValueError
    return str(value)


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise ValueError
        return str(value)

    return parse


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or not 1 <= (number := int(value)) <= _LARGEST:
        raise ValueError
    return number


def _up_to(most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if (number := _count(value)) > most:
            raise ValueError
        return number

    return parse


def _size(value: object) -> int:
    found = re.fullmatch(r"([0-9]{1,19}) ?([A-Za-z]*)", value) if isinstance(value, str) else None
    number = int(found[1]) * _UNITS.get(found[2].upper(), -1) if found else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _LARGEST:
        raise ValueError
    return number


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not 0 < (number := float(value)) < 1e9:
        raise ValueError
    return number


_GENERAL: Final = (
    Setting("listen", "HOST:PORT", _address, "127.0.0.1:8787", "Address to listen on; port 0 takes any free one."),
    Setting("data", "a folder", _path, "", "Folder for the store; made when missing.", path=True),
    Setting("names", "HOST:PORT, ...", _list_of(_address), (),
            "The names that devices dial, which logins are bound to. Without one: the listen address and localhost."),
    Setting("token_file", "a file", _path, "", "Tokens that allow creating spaces, one a line. Without: everybody may.",
            path=True),
    Setting("tls_certificate", "a file", _path, "",
            "The certificate with its chain, in PEM: then devices dial wss://. Read again on SIGHUP.", path=True),
    Setting("tls_key", "a file", _path, "", "The certificate's secret key, in PEM without a passphrase.", path=True),
    Setting("trusted_proxies", "networks", _list_of(_network), (),
            "Addresses of proxies in front, whose header is believed. Without: each connection speaks for itself."),
    Setting("proxy_header", "a header", _header, "X-Forwarded-For",
            "Where such a proxy adds the address that it speaks for, at the end."),
    Setting("status", "HOST:PORT", _optional_address, "",
            "Address for health, readiness and metrics, which only the operator should reach. Without: none."),
    Setting("log_file", "a file", _path, "", "Write the log there. Without: to standard error.", path=True),
    Setting("log_format", "text or json", _one_of("text", "json"), "text",
            "One line of text, or one JSON object, for each event."),
)

_CLUSTER: Final = (
    Setting("cluster.nodes", "nats://HOST:PORT, ...", _list_of(_node), (),
            "The nodes of a NATS cluster: the store is there, shared by relays, instead of in a data folder."),
    Setting("cluster.prefix", "a word", _word, "chez", "What the names of the store's streams begin with."),
    Setting("cluster.shards", f"1 to {MAX_SHARDS}", _up_to(MAX_SHARDS), 4,
            "Of each kind of stream, over which spaces are spread. A store keeps the number that it was made with."),
    Setting("cluster.replicas", f"1 to {MAX_REPLICAS}", _up_to(MAX_REPLICAS), 3,
            "Nodes that have each stream; NATS has it on five at most. A store keeps this, too."),
)

_QUOTAS: Final = {
    "space_bytes": "Bytes of entries kept for one space; then appends are refused, and what is there stays.",
    "control_bytes": "Bytes of control entries kept for one space: members are removed also where it is full.",
    "inbox_items": "Items waiting in one inbox.",
    "inbox_reserve": "Bytes of the disk that inboxes leave free: anybody may fill inboxes, and spaces need room.",
    "inbox_bytes": "On a cluster in its place: bytes that all inboxes together take on each node.",
    "blob_bytes": "Bytes of attachments kept for one space.",
    "grace": "How long entries stay that a checkpoint stands for, before they give their room back; on a cluster 40 at"
             " least.",
}


def _quotas() -> list[Setting]:
    defaults = Quotas()
    kinds = {"inbox_items": ("a number", _count), "grace": ("seconds", _number)}
    return [Setting(f"quotas.{name}", *kinds.get(name, ("bytes", _size)), getattr(defaults, name), why)
            for name, why in _QUOTAS.items()]


def _limits() -> list[Setting]:
    why = reasons()
    made = []
    for one in fields(Limits):
        if one.default is MISSING:
            raise TypeError(f"the limit {one.name} has no default")
        size = one.name.startswith(("memory", "kept_bytes"))
        wants = "bytes" if size else "a number" if isinstance(one.default, int) else (
            "a number" if "_rate" in one.name or "_burst" in one.name else "seconds")
        parse = _size if size else _count if isinstance(one.default, int) else _number
        made.append(Setting(f"limits.{one.name}", wants, parse, one.default, why[one.name]))
    return made


SETTINGS: Final[Mapping[str, Setting]] = MappingProxyType(
    {one.name: one for one in (*_GENERAL, *_CLUSTER, *_quotas(), *_limits())})
"""All settings by name; those of a section of the file have its name and a dot before theirs."""
