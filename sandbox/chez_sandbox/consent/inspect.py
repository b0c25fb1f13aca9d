"""What a person is shown of a job before anything runs: who, why, what, how much.

Everything is computed from the verified bundle; nothing is the provider's word but names
and the purpose, which are shown as such.
"""

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, Final

from mnemonic import Mnemonic

from chez.crypto import hash_fields
from chez.records.types import OPEN
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.catalogue import Language, figure, phrase
from chez_sandbox.consent.leaves import leaves_words, noise_facts, noise_words
from chez_sandbox.consent.quoting import CUT, parameter_words, values_words
from chez_sandbox.consent.schedule import awaited, is_repeated
from chez_sandbox.manifest import Manifest, Read, Window
from chez_sandbox.release.release import message_size
from chez_sandbox.release.schema import count_text

__all__ = ("describe", "fingerprint", "headed", "plain_words", "prose")

MOST_PARAMETERS: Final = 8
"""How many of a job's parameters the screen shows: it is read before anything is said yes to."""


def fingerprint(key: str) -> str:
    """Six words that stand for a provider's key (66 bits of its hash), to compare aloud."""
    words = Mnemonic("english").wordlist
    number = int.from_bytes(hash_fields("chez/1 fingerprint", bytes.fromhex(key)), "big")
    return " ".join(words[(number >> 11 * place) % 2048] for place in range(6))


def describe(bundle: Bundle, language: Language = "en") -> dict[str, Any]:
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
        "reads": [_read(read, language) for read in manifest.reads],
        "parameters": manifest.parameters,
        "leaves": {
            "what": leaves_words(manifest, language),
            "noise": noise_facts(manifest),
            "results": count_text(manifest.schema.count),
            "bits": round(manifest.schema.bits, 2),
            "message_bytes": message_size(manifest.schema),
        },
        "limits": {
            "fuel": manifest.limits.fuel,
            "memory_mib": manifest.limits.memory_mib,
            "seconds": manifest.limits.seconds,
        },
        "budget": {"runs": manifest.budget.runs, "bits": manifest.budget.bits, "epsilon": manifest.budget.epsilon},
        "schedule": manifest.schedule,
        "when": _when(manifest, language),
        "starts_by_itself": is_repeated(manifest.schedule),
        "retention_days": manifest.retention_days,
        "review": manifest.review,
        "kind": bundle.kind,
        "code_bytes": len(bundle.code),
        "code_sha256": bundle.code_hash.hex(),
        "bundle": bundle.hash.hex(),
    }


def _read(read: Read, language: Language) -> dict[str, Any]:
    return {
        "collection": read.collection,
        "fields": list(read.fields),
        "spaces": read.spaces,
        "only": [f"{f.field} {f.op} {_values(f.value)}" for f in read.where],
        "window": phrase(language, "window.all") if read.window is None else _window(read.window, language),
        "min_rows": read.min_rows,
    }


def _values(value: Any) -> str:
    return values_words(value if isinstance(value, list) else [value])


def _window(window: Window, language: Language) -> str:
    name = f"window.{window.grid}" if window.last > 1 else f"window.one-{window.grid}"
    steps = phrase(language, name, last=window.last)
    zone = "" if window.zone == "local" else phrase(language, "window.zone", zone=window.zone)
    return phrase(language, f"window.{window.until}", steps=steps, field=window.field) + zone


def plain_words(shown: dict[str, Any], language: Language = "en") -> list[str]:
    """The lines of the consent screen; `shown` is what `describe` gave in the same language."""
    provider, leaves, budget, purpose = (shown[key] for key in ("provider", "leaves", "budget", "purpose"))

    def say(key: str, **values: Any) -> str:
        return phrase(language, key, **values)

    def line(head: str, text: str) -> str:
        return f"  {say(head) if head else '':8} {text}"

    lines = [
        say("title", name=shown["name"], job=shown["job"], version=shown["version"]),
        line("head.who", f"{provider['name']}, {provider['domain']}, {provider['contact']}"),
        line("", say("key", words=provider["fingerprint"])),
        *_wrapped(say("head.why"), purpose["plain"]),
        line("", say("basis", term=purpose["term"], basis=purpose["lawful_basis"])),
    ]
    for number, read in enumerate(shown["reads"]):
        lines.append(line("" if number else "head.reads", f"{read['collection']}: {', '.join(read['fields'])}"))
        lines += [line("", text) for text in _scope_words(read, language)]
    lines += [line("" if number else "head.leaves", what) for number, what in enumerate(leaves["what"])]
    limits = shown["limits"]
    return [
        *lines,
        line("", say("none", bits=figure(leaves["bits"], ""))),
        line("", say("about", what=bits_words(leaves["bits"], language))),
        line("", say("message", bytes=leaves["message_bytes"])),
        line("", say("message.to", relay=provider["relay"])),
        *(line("", text) for text in noise_words(leaves["noise"], language)),
        line("head.when", shown["when"]),
        *([line("", say("by-itself")), line("", say("waits"))] if shown["starts_by_itself"] else []),
        line("head.much", say("budget", runs=budget["runs"], bits=figure(budget["bits"]))),
        *([line("", say("noise.budget", epsilon=figure(budget["epsilon"])))] if leaves["noise"] else []),
        line("head.kept", say("kept", days=shown["retention_days"])),
        line("head.runs", say("code", kind=shown["kind"], bytes=shown["code_bytes"])),
        line("", say("limits", seconds=figure(limits["seconds"]), memory=limits["memory_mib"])),
        *(line("", text) for text in _given_words(shown["parameters"], language)),
        line("head.bundle", shown["bundle"]),
    ]


def _scope_words(read: Mapping[str, Any], language: Language) -> list[str]:
    """What rows of a collection are read."""
    conditions = phrase(language, "and").join(read["only"])
    return [
        *([phrase(language, "only", conditions=conditions)] if read["only"] else []),
        read["window"],
        *([phrase(language, f"spaces{'.open' * read['collection'].startswith(OPEN)}")]
          if read["spaces"] == "all" else []),
        *([phrase(language, "least", rows=read["min_rows"])] if read["min_rows"] else []),
    ]


def _given_words(parameters: Mapping[str, Any], language: Language) -> list[str]:
    """What the provider gives its code beside the rows; of many the first."""
    words = parameter_words(parameters)
    if not words:
        return []
    cut = len(words) > MOST_PARAMETERS or any(text.endswith(CUT) for text in words)
    return [phrase(language, "parameters"), *(f"| {text}" for text in words[:MOST_PARAMETERS]),
            *([phrase(language, "parameters.more", count=len(words))] if cut else [])]


def _when(manifest: Manifest, language: Language) -> str:
    """The schedule in words, with what becomes of what was missed."""
    names = ", ".join(awaited(manifest))
    said = phrase(language, f"when.{manifest.schedule}", names=names)
    return said + phrase(language, "when.all") if manifest.catch_up == "all" else said


def prose(text: str) -> list[str]:
    """A provider's words as lines to indent, each behind a mark that no line of ours has, so none passes for one."""
    return [f"| {line}" for part in text.splitlines() for line in textwrap.wrap(part, 66)] or ["|"]


def _wrapped(head: str, text: str) -> list[str]:
    return headed(head, prose(text))


def headed(head: str, lines: Iterable[str]) -> list[str]:
    """Lines of the screen under one head; none for none."""
    return [f"  {'' if number else head:8} {line}" for number, line in enumerate(lines)]
