"""What a person is shown of a job before anything runs: who, why, what, how much.

Everything is computed from the verified bundle; nothing is the provider's word but names
and the purpose, which are shown as such.
"""

import textwrap
from collections.abc import Mapping
from typing import Any, Final

from mnemonic import Mnemonic

from chez.crypto import hash_fields
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.bits import bits_words
from chez_sandbox.manifest import Read, Window
from chez_sandbox.release.release import message_size
from chez_sandbox.release.types import (
    ArrayType,
    BooleanType,
    EnumType,
    NullableType,
    NullType,
    NumberType,
    ObjectType,
    Type,
)

__all__ = ("describe", "fingerprint", "plain_words")


def fingerprint(key: str) -> str:
    """Six words that stand for a provider's key (66 bits of its hash), to compare aloud."""
    words = Mnemonic("english").wordlist
    number = int.from_bytes(hash_fields("chez/1 fingerprint", bytes.fromhex(key)), "big")
    return " ".join(words[(number >> 11 * place) % 2048] for place in range(6))


def describe(bundle: Bundle) -> dict[str, Any]:
    """Everything about a job, JSON-able: for `--json`, and for `plain_words`."""
    manifest, provider = bundle.manifest, bundle.manifest.provider
    return {
        "job": manifest.id,
        "version": manifest.version,
        "name": manifest.name,
        "provider": {
            "name": provider.name,
            "contact": provider.contact,
            "domain": provider.domain,
            "key": provider.signing_key,
            "fingerprint": fingerprint(provider.signing_key),
            "relay": provider.relay,
        },
        "purpose": {
            "term": manifest.purpose.dpv,
            "plain": manifest.purpose.plain,
            "lawful_basis": manifest.purpose.lawful_basis,
        },
        "reads": [_read(read) for read in manifest.reads],
        "parameters": manifest.parameters,
        "leaves": {
            "what": _leaves(manifest.schema.root, "the result"),
            "results": str(manifest.schema.count),
            "bits": round(manifest.schema.bits, 2),
            "message_bytes": message_size(manifest.schema),
        },
        "limits": {
            "fuel": manifest.limits.fuel,
            "memory_mib": manifest.limits.memory_mib,
            "seconds": manifest.limits.seconds,
        },
        "budget": {"runs": manifest.budget.runs, "bits": manifest.budget.bits},
        "schedule": manifest.schedule,
        "when": _WHEN[manifest.schedule],
        "starts_by_itself": False,
        "retention_days": manifest.retention_days,
        "review": manifest.review,
        "kind": bundle.kind,
        "code_bytes": len(bundle.code),
        "code_sha256": bundle.code_hash.hex(),
        "bundle": bundle.hash.hex(),
    }


def _read(read: Read) -> dict[str, Any]:
    return {
        "collection": read.collection,
        "fields": list(read.fields),
        "spaces": read.spaces,
        "only": [f"{f.field} {f.op} {_value_words(f.value)}" for f in read.where],
        "window": "all there are" if read.window is None else _window(read.window),
        "min_rows": read.min_rows,
    }


def _value_words(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _window(window: Window) -> str:
    steps = f"{window.last} whole {window.grid}s" if window.last > 1 else f"one whole {window.grid}"
    end = "being over on the day of the run" if window.until == "run-date" else "complete by the newest row"
    zone = "" if window.zone == "local" else f", as days go in {window.zone}"
    return f"{steps} by {window.field}, the last one {end}{zone}"


_WHEN: Final[Mapping[str, str]] = {
    "manual": "whenever you start it",
    "once": "once, when you start it",
    "daily": "when you start it; it asks to run every day",
    "weekly": "when you start it; it asks to run every week",
    "on-new-data": "when you start it; it asks to run when there is new data",
}
"""No schedule is run by itself yet: whoever consents is told so, and starts each run."""


def _leaves(kind: Type, name: str) -> list[str]:
    if isinstance(kind, ObjectType):
        return [line for field, inner in kind.fields for line in _leaves(inner, field)]
    return [f"{name}: {_type_words(kind)}"]


def _type_words(kind: Type) -> str:
    match kind:
        case NumberType():
            low, high = kind.text(kind.low), kind.text(kind.high)
            step = "" if kind.step == 1 else f", rounded to {kind.step}"
            return f"a number from {low} to {high}{step}"
        case EnumType():
            return "one of " + ", ".join(kind.values)
        case BooleanType():
            return "yes or no"
        case NullType():
            return "nothing"
        case NullableType():
            return f"{_type_words(kind.kind)}, or nothing"
        case ArrayType():
            return f"a list of {kind.least} to {kind.most}, each: {_type_words(kind.items)}"
        case ObjectType():
            return "{" + "; ".join(f"{field}: {_type_words(inner)}" for field, inner in kind.fields) + "}"
    raise TypeError(kind)


def plain_words(shown: dict[str, Any]) -> list[str]:
    """The lines of the consent screen, in English."""
    provider, leaves, budget = shown["provider"], shown["leaves"], shown["budget"]
    lines = [
        f"{shown['name']} (job {shown['job']}, version {shown['version']})",
        f"  Who      {provider['name']}, {provider['domain']}, {provider['contact']}",
        f"           key in words: {provider['fingerprint']}",
        *_wrapped("Why", shown["purpose"]["plain"]),
        f"           ({shown['purpose']['term']}; lawful basis {shown['purpose']['lawful_basis']})",
    ]
    for number, read in enumerate(shown["reads"]):
        lines.append(f"  {'Reads' if not number else '':8} {read['collection']}: {', '.join(read['fields'])}")
        if read["only"]:
            lines.append(f"           only rows where {' and '.join(read['only'])}")
        lines.append(f"           {read['window']}")
        if read["spaces"] == "all":
            lines.append("           of all your spaces, with what others share with you")
        if read["min_rows"]:
            lines.append(f"           not at all when these are fewer than {read['min_rows']} rows")
    for number, line in enumerate(leaves["what"]):
        lines.append(f"  {'Leaves' if not number else '':8} {line}")
    lines += [
        f"           or only that there is no result: at most {leaves['bits']} bits a run,",
        f"           about as much as {bits_words(leaves['bits'])},",
        f"           always as one sealed message of {leaves['message_bytes']} bytes",
        f"  When     {shown['when']}",
        *(["           (no job starts by itself: nothing runs that you did not start)"] if _asks(shown) else []),
        f"  How much at most {budget['runs']} runs, {budget['bits']:g} bits in all",
        f"  Kept     {shown['retention_days']} days by the provider (its promise)",
        f"  Runs as  {shown['kind']} code of {shown['code_bytes']} bytes without files, network or clock,",
        f"           at most {shown['limits']['seconds']:g} s and {shown['limits']['memory_mib']} MiB",
        f"  Bundle   {shown['bundle']}",
    ]
    return lines


def _asks(shown: dict[str, Any]) -> bool:
    """Whether the job asks to be started by a schedule."""
    return shown["schedule"] not in ("manual", "once")


def _wrapped(head: str, text: str) -> list[str]:
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, 85)] or [""]
    return [f"  {'' if number else head:8} {line}" for number, line in enumerate(lines)]
