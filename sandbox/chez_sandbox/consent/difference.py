"""What a provider's new version changes, in plain words, for somebody who granted an older one.

Compared is what the person was shown then with what is shown now (`inspect.describe`). Each
sentence says whether it is more or less, where that can be said.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.grants import Granted
from chez_sandbox.consent.inspect import describe, fingerprint

__all__ = ("difference", "foreign_keys", "granted_before", "news_words")


def granted_before(grants: Iterable[Granted], bundle: Bundle) -> Granted | None:
    """The newest version of this provider's job that was ever granted, whatever became of the grant."""
    manifest = bundle.manifest
    job = (manifest.provider.signing_key, manifest.id)
    same = (one for one in grants if (one.grant.provider, one.grant.job) == job)
    return max(same, key=lambda one: (one.grant.job_version, one.grant.granted), default=None)


def foreign_keys(grants: Iterable[Granted], bundle: Bundle) -> list[str]:
    """Loud lines when a provider that goes by the same name or domain had another key before."""
    provider = bundle.manifest.provider
    others = {
        one.grant.provider
        for one in grants
        if one.grant.provider != provider.signing_key
        and (
            one.bundle.manifest.provider.domain == provider.domain
            or one.bundle.manifest.provider.name.casefold() == provider.name.casefold()
        )
    }
    return [
        f"WARNING  {provider.name} ({provider.domain}) HAD ANOTHER KEY BEFORE: {fingerprint(key)}. "
        "Ask it by a way you know before you grant."
        for key in sorted(others)
    ]


def difference(before: Bundle, after: Bundle) -> list[str]:
    """What changed between two versions of a job, one sentence each; none when the bundles are the same."""
    if before.hash == after.hash:
        return []
    old, new = describe(before), describe(after)
    lines = [
        *_reads(old["reads"], new["reads"]),
        *_leaves(old["leaves"], new["leaves"]),
        *_terms(old, new),
        *_provider(before, after),
    ]
    if old["code_sha256"] != new["code_sha256"] or old["kind"] != new["kind"]:
        lines.append("its code is another")
    return lines or ["nothing of what you are shown changed, only how its manifest is written"]


def news_words(grants: Sequence[Granted], bundle: Bundle) -> list[str]:
    """What the screen before granting adds for somebody who granted this job, or this provider's namesake, before."""
    lines = [f"  {line}" for line in foreign_keys(grants, bundle)]
    last = granted_before(grants, bundle)
    if last is not None and (changes := difference(last.bundle, bundle)):
        lines.append(f"  Changed  since version {last.grant.job_version}, which you granted:")
        lines += [f"           {line}" for line in changes]
    return lines


def _reads(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[str]:
    before, after = ({read["collection"]: read for read in reads} for reads in (old, new))
    lines = [f"it reads more: {name} ({', '.join(after[name]['fields'])})" for name in after if name not in before]
    lines += [f"it reads {name} no longer" for name in before if name not in after]
    for name in (name for name in after if name in before):
        lines += _read(name, before[name], after[name])
    return lines


def _read(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    more = [field for field in new["fields"] if field not in old["fields"]]
    less = [field for field in old["fields"] if field not in new["fields"]]
    lines = [f"it reads more of {name}: {', '.join(more)}"] if more else []
    lines += [f"it reads less of {name}: no longer {', '.join(less)}"] if less else []
    if not more and not less and old["fields"] != new["fields"]:
        lines.append(f"it reads the same fields of {name} in another order")
    if old["only"] != new["only"]:
        lines.append(f"it reads other rows of {name}: {_rows(new['only'])} (before: {_rows(old['only'])})")
    if old["window"] != new["window"]:
        lines.append(f"it reads another time of {name}: {new['window']} (before: {old['window']})")
    if old["spaces"] != new["spaces"]:
        wide, narrow = "also what others share with you", "your private space alone"
        lines.append(f"it reads of {name}: {wide if new['spaces'] == 'all' else narrow}")
    if old["min_rows"] != new["min_rows"]:
        lines.append(f"it needs at least {new['min_rows']} rows of {name} (before: {old['min_rows']})")
    return lines


def _rows(only: Sequence[str]) -> str:
    return f"only where {' and '.join(only)}" if only else "all of them"


def _leaves(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    lines = [f"it may tell what it could not: {what}" for what in new["what"] if what not in old["what"]]
    lines += [f"it may no longer tell: {what}" for what in old["what"] if what not in new["what"]]
    if old["bits"] != new["bits"]:
        word = "more" if new["bits"] > old["bits"] else "less"
        lines.append(f"a run can tell {word}: at most {new['bits']:g} bits (before: {old['bits']:g})")
    return lines


def _terms(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    lines = []
    if old["purpose"] != new["purpose"]:
        lines.append(f"it says another purpose: {new['purpose']['plain']} ({new['purpose']['term']})")
    for what, before, after in (
        ("runs are asked for", old["budget"]["runs"], new["budget"]["runs"]),
        ("bits are asked for over all runs", old["budget"]["bits"], new["budget"]["bits"]),
        ("days the provider keeps results", old["retention_days"], new["retention_days"]),
    ):
        if before != after:
            lines.append(f"{'more' if after > before else 'fewer'} {what}: {after:g} (before: {before:g})")
    for key, what in (
        ("name", "its name"),
        ("when", "when it runs"),
        ("review", "how results leave, by its wish"),
        ("parameters", "its parameters"),
        ("limits", "what it may use of this device"),
    ):
        if old[key] != new[key]:
            lines.append(f"{what} changed: {new[key]} (before: {old[key]})")
    return lines


def _provider(before: Bundle, after: Bundle) -> list[str]:
    old, new = before.manifest.provider, after.manifest.provider
    lines = []
    if (old.name, old.contact, old.domain) != (new.name, new.contact, new.domain):
        lines.append(f"its provider is now {new.name}, {new.domain}, {new.contact}")
    if (old.relay, old.inbox, old.sealing_key) != (new.relay, new.inbox, new.sealing_key):
        lines.append(f"results go to another place, or are sealed to another key: by {new.relay}")
    return lines
