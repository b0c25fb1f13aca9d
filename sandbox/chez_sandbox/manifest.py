"""What a job says about itself: `manifest.toml`, read into typed values.

    chez = 1                        # version of this format
    id = "tariff-advisor"           # with the provider's key: which job
    version = 1                     # only rises
    name = "Tariff advisor"
    schedule = "manual"             # or "once"
    retention_days = 30             # how long the provider keeps a result
    review = "show-me-first"        # or "within-the-grant": what it asks for; the person decides

    [purpose]                       # why: a DPV term, and plain words
    [provider]                      # who: name, contact, keys, inbox (`chez-job build` fills it in)
    [[reads]]                       # what: collection, fields, where, window; any number of them
    [parameters]                    # handed to the job as they are; part of what is signed
    [result]                        # what can leave: a closed schema (release.schema)
    [limits]                        # fuel, memory_mib, seconds, output_bytes
    [budget]                        # runs, and bits over all of them

Unknown fields are refused, so that nothing a person was not shown is signed or read.
Errors are `ManifestInvalid`, naming the field and what is allowed there.
"""

import json
import math
import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from chez.crypto import CryptoFailed, seal_to
from chez_sandbox.job_errors import ManifestInvalid, SchemaInvalid
from chez_sandbox.release.schema import Schema

__all__ = (
    "MAX_MANIFEST",
    "Budget",
    "Filter",
    "Limits",
    "Manifest",
    "Provider",
    "Purpose",
    "Read",
    "Window",
    "parse_manifest",
)

MAX_MANIFEST: Final = 64 * 1024
"""Bytes of a manifest: a person should be able to read it."""

Key = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z", description="32 bytes as 64 hexadecimal digits")]
Line = Annotated[str, Meta(min_length=1, max_length=120, description="one line of at most 120 characters")]
Prose = Annotated[str, Meta(min_length=1, max_length=1000, description="at most 1000 characters")]
Slug = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,62}\Z", description="lower-case letters, digits and '-'")]
Name = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,62}\Z", description="lower-case letters, digits and '_'")]
Term = Annotated[
    str,
    Meta(pattern=r"^dpv:[A-Z][A-Za-z]{1,62}\Z", description="a DPV term such as dpv:ServicePersonalisation"),
]
Scalar = str | int | float | bool


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the manifest: closed, immutable."""


class Purpose(_Part, frozen=True, kw_only=True):
    """Why the job runs."""

    dpv: Term
    """W3C Data Privacy Vocabulary purpose, such as `dpv:ServicePersonalisation`."""
    plain: Prose
    """The same in words for the person."""
    lawful_basis: Literal[
        "dpv:Consent",
        "dpv:Contract",
        "dpv:LegalObligation",
        "dpv:LegitimateInterest",
        "dpv:PublicInterest",
        "dpv:VitalInterest",
    ] = "dpv:Consent"


class Provider(_Part, frozen=True, kw_only=True):
    """Who gets the result, and how it travels. Grants bind every field of it."""

    name: Line
    contact: Line
    domain: Annotated[str, Meta(pattern=r"^[a-z0-9.-]{1,253}\Z", description="a domain such as example.org")]
    signing_key: Key
    """Ed25519, signs the bundle; it is the provider's identity."""
    sealing_key: Key
    """X25519, results are sealed to it."""
    relay: Annotated[
        str,
        Meta(pattern=r"^wss?://[^\s/]+(/\S*)?\Z", description="ws://HOST:PORT or wss://HOST", max_length=256),
    ]
    inbox: Key
    """The relay's name of the inbox: the hash of its owner's key."""
    inbox_write_seed: Key
    """Whoever has the bundle may write here: the inbox's quota, not this seed, keeps order."""


class Filter(_Part, frozen=True, kw_only=True):
    """Only rows whose `field` compares so with `value` (a list for "in") are read."""

    field: Name
    op: Literal["=", "!=", "<", "<=", ">", ">=", "in"] = "="
    value: Scalar | Annotated[list[Scalar], Meta(min_length=1, max_length=100)]


class Window(_Part, frozen=True, kw_only=True):
    """Only whole days are read: `days` of them, the last being the day before `until`'s.

    `field` holds a day or a local time as ISO 8601 text. `until = "run-date"` ends before
    the day of the run, so that only closed days count; "latest" ends with the newest day
    there is, for data that comes late.
    """

    field: Name
    days: Annotated[int, Meta(ge=1, le=3660)]
    until: Literal["run-date", "latest"] = "run-date"


class Read(_Part, frozen=True, kw_only=True):
    """One collection the job reads: only these fields, of only these rows."""

    collection: Name
    fields: Annotated[list[Name], Meta(min_length=1, max_length=64)]
    where: Annotated[list[Filter], Meta(max_length=16)] = []
    window: Window | None = None


class Limits(_Part, frozen=True, kw_only=True):
    """What a run may use; the run ends when one is met."""

    fuel: Annotated[int, Meta(ge=1_000_000, le=10**12)] = 20_000_000_000
    """WebAssembly instructions, about; a year of half-hours costs some 10^9."""
    memory_mib: Annotated[int, Meta(ge=32, le=1024)] = 128
    """Memory of the component; the Python runtime alone takes 16 MiB."""
    seconds: Annotated[float, Meta(gt=0, le=300)] = 20.0
    """Wall time, all included."""
    output_bytes: Annotated[int, Meta(ge=16, le=1 << 20)] = 64 * 1024
    """JSON text of a result, before it is checked."""


class Budget(_Part, frozen=True, kw_only=True):
    """How much can leave under one grant, over all its runs."""

    runs: Annotated[int, Meta(ge=1, le=10_000)] = 1
    bits: Annotated[float, Meta(gt=0, le=1_000_000)]
    """Bits; at least what one run can carry."""


class Manifest(_Part, frozen=True, kw_only=True):
    """A job, as its provider describes and signs it."""

    chez: Literal[1]
    id: Slug
    version: Annotated[int, Meta(ge=1, le=2**31)]
    name: Line
    purpose: Purpose
    provider: Provider
    reads: Annotated[list[Read], Meta(min_length=1, max_length=16)]
    parameters: dict[str, Any] = {}
    result: dict[str, Any]
    limits: Limits = Limits()
    budget: Budget
    schedule: Literal["manual", "once"] = "manual"
    retention_days: Annotated[int, Meta(ge=0, le=3660)]
    review: Literal["show-me-first", "within-the-grant"] = "show-me-first"

    @property
    def schema(self) -> Schema:
        """The result's schema (checked when the manifest was read)."""
        return Schema.parse(self.result)

    @property
    def parameters_json(self) -> bytes:
        """The parameters as the job gets them: canonical JSON, keys in order."""
        text = json.dumps(self.parameters, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()


def parse_manifest(text: bytes) -> Manifest:
    """Read and check a manifest. Raises `ManifestInvalid` naming the field."""
    if len(text) > MAX_MANIFEST:
        raise ManifestInvalid("", f"has {len(text)} bytes", f"at most {MAX_MANIFEST} are read")
    try:
        tables = tomllib.loads(text.decode(), parse_float=Decimal)
    except UnicodeDecodeError:
        raise ManifestInvalid("", "is not UTF-8 text") from None
    except (tomllib.TOMLDecodeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ManifestInvalid("", f"is not TOML: {error}", "see toml.io") from None
    try:
        # Exact decimals matter in the schema only; elsewhere a float is what JSON would say.
        plain = {key: _plain(value, key, exact=key == "result") for key, value in tables.items()}
        manifest = msgspec.convert(plain, Manifest)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _explain(str(error)) from None
    _check(manifest)
    return manifest


def _check(manifest: Manifest) -> None:
    shown = {
        "name": manifest.name,
        "purpose.plain": manifest.purpose.plain,
        "provider.name": manifest.provider.name,
        "provider.contact": manifest.provider.contact,
    }
    for path, text in shown.items():
        # A terminal acts on control characters and on marks that turn text around.
        if not text.replace("\n", "").isprintable() or ("\n" in text and path != "purpose.plain"):
            raise ManifestInvalid(path, "has characters that are not printable")
    try:
        seal_to(bytes.fromhex(manifest.provider.sealing_key), b"")
    except CryptoFailed:
        raise ManifestInvalid("provider.sealing_key", "is not an X25519 public key") from None
    seen: set[str] = set()
    for number, read in enumerate(manifest.reads):
        path = f"reads[{number}]"
        if read.collection in seen:
            raise ManifestInvalid(f"{path}.collection", f"{read.collection!r} is named twice", "one table for each")
        if read.collection.startswith("sqlite_"):
            raise ManifestInvalid(f"{path}.collection", "must not begin with sqlite_", "SQLite keeps these names")
        seen.add(read.collection)
        if len(set(read.fields)) != len(read.fields):
            raise ManifestInvalid(f"{path}.fields", "names a field twice")
        for place, row_filter in enumerate(read.where):
            if isinstance(row_filter.value, list) != (row_filter.op == "in"):
                raise ManifestInvalid(f"{path}.where[{place}].value", 'must be a list for "in", and only then')
    try:
        bits = manifest.schema.bits
    except SchemaInvalid as error:
        raise ManifestInvalid(error.path, error.problem, error.hint) from None
    if manifest.budget.bits < bits:
        raise ManifestInvalid(
            "budget.bits",
            f"is {manifest.budget.bits:g}, but one run can carry {bits:.2f}",
            "give the result fewer values, or ask for more",
        )
    if manifest.schedule == "once" and manifest.budget.runs != 1:
        raise ManifestInvalid("budget.runs", 'must be 1 when the schedule is "once"')
    _check_parameter(manifest.parameters, "parameters")


def _plain(value: object, path: str, exact: bool) -> object:
    if isinstance(value, dict):
        return {key: _plain(item, f"{path}.{key}", exact) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, f"{path}[{number}]", exact) for number, item in enumerate(value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        # TOML asks for this; and Python refuses to write much longer ones as text.
        raise ManifestInvalid(path, "is a whole number of more than 64 bits")
    return float(value) if isinstance(value, Decimal) and not exact else value


def _check_parameter(value: object, path: str) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_parameter(item, f"{path}.{key}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_parameter(item, f"{path}[{number}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise ManifestInvalid(path, "must be a finite number")
    elif not isinstance(value, str | bool | int | float):
        raise ManifestInvalid(path, f"can't be a {type(value).__name__}", "write dates and times as text")


_AT = re.compile(r"^(?P<problem>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_FIELD = re.compile(r"(?P<what>missing required|unknown) field `(?P<name>[^`]*)`")
_PARTS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "": Manifest,
    "purpose": Purpose,
    "provider": Provider,
    "reads[]": Read,
    "reads[].where[]": Filter,
    "reads[].window": Window,
    "limits": Limits,
    "budget": Budget,
}


def _explain(message: str) -> ManifestInvalid:
    """msgspec's message as ours: the path as a person writes it, and what is allowed."""
    match = _AT.match(message)
    problem, path = (match["problem"], match["path"] or "") if match else (message, "")
    path = path.replace("[...]", "[]")
    table = re.sub(r"\[\d*\]", "[]", path)
    if field := _FIELD.search(problem):
        name = f"{path}.{field['name']}" if path else field["name"]
        allowed = f"fields here: {', '.join(_PARTS[table].__struct_fields__)}" if table in _PARTS else ""
        missing = field["what"].startswith("missing")
        return ManifestInvalid(name, "is missing" if missing else "is not a field of a manifest", allowed)
    parent, _, name = table.rpartition(".")
    problem = re.sub(r"str matching regex .*", "another text", problem.replace("`", ""))
    return ManifestInvalid(path, problem[0].lower() + problem[1:], _description(parent, name))


def _description(table: str, name: str) -> str:
    part = _PARTS.get(table)
    if part is None:
        return ""
    for field in msgspec.inspect.type_info(part).fields:  # type: ignore[attr-defined]
        if field.encode_name == name.removesuffix("[]"):
            kind = field.type
            if isinstance(kind, msgspec.inspect.LiteralType):
                return f"allowed: {', '.join(map(str, kind.values))}"
            while not isinstance(kind, msgspec.inspect.Metadata) and hasattr(kind, "item_type"):
                kind = kind.item_type
            extra = getattr(kind, "extra_json_schema", None) or {}
            text = extra.get("description", "")
            return f"allowed: {text}" if text else ""
    return ""
