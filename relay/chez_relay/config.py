"""The settings of one relay: each from a flag, else the environment, else the file, else its default."""

import difflib
import errno
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chez_relay.errors import LONGEST, BadConfiguration
from chez_relay.limits import Limits
from chez_relay.settings import SETTINGS, Setting, parse_address
from chez_relay.storage import Quotas

if TYPE_CHECKING:
    from chez_relay.tls import Certificate

__all__ = ("FILE_VARIABLE", "Configuration", "Value", "example", "load", "reference", "shown")

FILE_VARIABLE: Final = "CHEZ_RELAY_CONFIG"
"""Where the environment names the file."""

_PREFIX: Final = "CHEZ_RELAY_"

EVERYWHERE: Final = ("0.0.0.0", "::")
"""Hosts that stand for all addresses of a machine: no device dials one of these."""

MAX_FILE: Final = 1024 * 1024
"""Bytes of a file of settings or tokens: some ten thousand tokens; a device that never ends is neither."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a setting is, and where that comes from: a flag, a variable, the file, or "default"."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """All settings, by their names."""

    values: Mapping[str, Value]

    def __getitem__(self, name: str) -> Any:
        return self.values[name].value

    @property
    def address(self) -> tuple[str, int]:
        """Where to listen: host and port."""
        return parse_address(self["listen"])

    @property
    def nameless(self) -> bool:
        """Whether devices of other machines would be turned away: it listens for them, and goes by no name for them."""
        return not self["names"] and self.address[0] in EVERYWHERE

    @property
    def data(self) -> Path:
        """The data folder. Raises `BadConfiguration` when none is set."""
        if not self["data"]:
            raise BadConfiguration("no data folder is set", "give --data FOLDER, or data = \"FOLDER\" in the file")
        return Path(self["data"])

    @property
    def nodes(self) -> tuple[str, ...]:
        """The nodes of the cluster; empty where the store is in a folder. Raises `BadConfiguration` where both are set.
        """
        nodes: tuple[str, ...] = self["cluster.nodes"]
        if nodes and self["data"]:
            folder, cluster = (self.values[name].origin for name in ("data", "cluster.nodes"))
            raise BadConfiguration(f"both a data folder ({folder}) and a NATS cluster ({cluster}) are set",
                                   "leave one of them out; a flag takes back what a file or a variable says: --data ''")
        return nodes

    @property
    def limits(self) -> Limits:
        """What is said of limits."""
        return Limits(**self._section("limits"))

    @property
    def quotas(self) -> Quotas:
        """What is said of quotas."""
        return Quotas(**self._section("quotas"))

    def _section(self, section: str) -> dict[str, Any]:
        start = f"{section}."
        return {name.removeprefix(start): one.value for name, one in self.values.items() if name.startswith(start)}

    def certificate(self) -> "Certificate | None":
        """The certificate for wss://, if one is set. Raises `BadConfiguration`."""
        chain, key = self["tls_certificate"], self["tls_key"]
        if not chain and not key:
            return None
        if not chain or not key:
            raise BadConfiguration("tls_certificate and tls_key are set together, or neither is")
        from chez_relay.tls import Certificate

        return Certificate(Path(chain), Path(key))

    def tokens(self) -> tuple[str, ...]:
        """The tokens that allow creating spaces; empty where everybody may. Raises `BadConfiguration`."""
        if not self["token_file"]:
            return ()
        try:
            lines = _text(Path(self["token_file"])).split()
        except (OSError, ValueError) as error:
            raise BadConfiguration(f"the token file {self['token_file']} can't be read: {_why(error)}") from error
        if not lines:
            raise BadConfiguration(f"the token file {self['token_file']} is empty",
                                   "write one token a line, or leave it out")
        return tuple(lines)


def load(flags: Mapping[str, object], environ: Mapping[str, str], file: Path | None = None) -> Configuration:
    """Put the settings together. `flags` has those that the command line says, by name.

    Raises `BadConfiguration` for what is no setting (with the name that is nearest), for a value that a setting
    does not take, and for a file that can't be read.
    """
    named = file or (Path(environ[FILE_VARIABLE]) if environ.get(FILE_VARIABLE) else None)
    said = dict(_from_file(named)) if named else {}
    said |= dict(_from_environment(environ))
    for name, given in flags.items():
        said[name] = _value(_known(name, "on the command line"), given, "flag")
    return Configuration({name: said.get(name) or Value(one.default, "default") for name, one in SETTINGS.items()})


def _from_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Value]]:
    variables = {one.variable: one for one in SETTINGS.values()}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(_PREFIX) or variable == FILE_VARIABLE:
            continue
        if variable not in variables:
            raise BadConfiguration(f"the environment has {variable}, which is no setting",
                                   _nearest(variable, [*variables, FILE_VARIABLE]))
        one = variables[variable]
        yield one.name, _value(one, text, variable)


def _from_file(path: Path) -> Iterator[tuple[str, Value]]:
    import tomllib

    try:
        text = _text(path)
    except (OSError, ValueError) as error:
        raise BadConfiguration(f"the file of settings {path} can't be read: {_why(error)}",
                               "`chez-relay config --example` writes one to edit") from error
    try:
        tree = tomllib.loads(text)
    except ValueError as error:
        raise BadConfiguration(f"the file of settings {path} is no TOML: {error}") from error
    for name, given in _flat(tree):
        one = _known(name, f"in {path.name}")
        if one.path and isinstance(given, str) and given:
            given = str(path.absolute().parent / given)
        yield name, _value(one, given, path.name)


def _text(path: Path) -> str:
    """What a file says. A pipe is a file as well: who has a password manager write the tokens names one."""
    with path.open("rb") as file:
        data = file.read(MAX_FILE + 1)
    if len(data) > MAX_FILE:
        raise OSError(errno.EFBIG, f"it has more than {MAX_FILE:,} bytes")
    return data.decode()


def _why(error: OSError | ValueError) -> str:
    return str(error.strerror) if isinstance(error, OSError) else "it is no text in UTF-8"


def _flat(tree: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, given in tree.items():
        if isinstance(given, dict):
            yield from ((f"{name}.{below}", value) for below, value in given.items())
        else:
            yield name, given


def _known(name: str, where: str) -> Setting:
    if name not in SETTINGS:
        raise BadConfiguration(f"{name!r} {where} is no setting", _nearest(name, list(SETTINGS)))
    return SETTINGS[name]


def _nearest(name: str, known: list[str]) -> str:
    if any(one.startswith(f"{name}.") for one in known):
        return f"{name} is a section: name a setting of it, as {name}.NAME or under [{name}]"
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean {near[0]}?" if near else "`chez-relay config` shows them all"


def _value(one: Setting, given: object, origin: str) -> Value:
    try:
        return Value(one.parse(given), origin)
    except (ValueError, OverflowError):  # the latter: a whole number that is beyond all numbers with a point
        if isinstance(given, list | tuple) and len(given) > 1:
            for part in given:
                _value(one, (part,), origin)  # the one that is meant is told
        said = "" if origin == "flag" else f" ({origin})"
        given = given[0] if isinstance(given, list | tuple) and len(given) == 1 else given
        hint = "as 1073741824, \"1 GiB\" or \"512 MiB\"" if one.wants == "bytes" else ""
        raise BadConfiguration(f"{one.name}{said} wants {one.wants}, not {_said(given)}", hint) from None


def _said(given: object) -> str:
    try:
        text = repr(given)
    except ValueError:  # Python writes no whole number of thousands of digits
        return "a number of thousands of digits"
    # A part of it might show a secret that `_open` hides in the whole, which takes it the square of the length.
    return _open(text) if len(text) <= LONGEST else f"something of {len(text):,} characters"


# --- for people ---------------------------------------------------------------------------


def _open(text: str) -> str:
    """Text without the password or token of a URL in it, whatever they are: it goes to logs, terminals and reports."""
    return re.sub(r"(\w+://(?:[^:@/\s]*:)?).*@|[^\s'\"]+@", r"\1***@", text, flags=re.DOTALL)


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(f'"{_open(part)}"' for part in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _sections() -> Iterator[tuple[str, list[Setting]]]:
    for section in ("", "cluster", "quotas", "limits"):
        yield section, [one for one in SETTINGS.values() if one.name.rpartition(".")[0] == section]


def example() -> str:
    """A file with every setting at its default, each with its reason: all of it comments, to be edited."""
    lines = ["# Settings of a Chez relay: `chez-relay serve --config FILE`. What is commented out is the default."]
    for section, settings in _sections():
        lines += [f"\n[{section}]"] if section else []
        for one in settings:
            lines += [f"\n# {one.why}", f"# {one.name.rpartition('.')[2]} = {_shown(one.default)}"]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """The table of all settings for docs/operations.md, in Markdown."""
    rows = [f"| `{one.name}` | {one.wants} | `{_shown(one.default)}` | {one.why} |" for one in SETTINGS.values()]
    return "\n".join(("| setting | takes | default | why |", "|---|---|---|---|", *rows)) + "\n"


def shown(configuration: Configuration) -> str:
    """The effective settings as a file would have them, each with its origin."""
    lines: list[str] = []
    for section, settings in _sections():
        lines += [f"[{section}]"] if section else []
        for one in settings:
            value = configuration.values[one.name]
            lines.append(f"{one.name.rpartition('.')[2]} = {_shown(value.value)}".ljust(44) + f"  # {value.origin}")
    return "\n".join(lines) + "\n"
