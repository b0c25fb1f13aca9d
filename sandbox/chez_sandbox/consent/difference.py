"""What a provider's new version changes, in plain words, for somebody who granted an older one.

Compared is what the person was shown then with what is shown now (`inspect.describe`). Each
sentence says whether it is more or less, where that can be said.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from chez.records.types import OPEN
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.catalogue import Language, figure, phrase
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.identity import Card, identify
from chez_sandbox.consent.inspect import describe, fingerprint
from chez_sandbox.consent.quoting import parameter_words
from chez_sandbox.manifest import differing

__all__ = ("difference", "foreign_keys", "granted_before", "news_words")


Say = Callable[..., str]
"""A sentence of the catalogue's "changed." in the language that was asked for."""

Shown = Mapping[str, Any]


def granted_before(grants: Iterable[Granted], bundle: Bundle) -> Granted | None:
    """The newest version of this provider's job that was ever granted, whatever became of the grant."""
    grants, job = list(grants), bundle.manifest.id
    keys = identify(bundle, grants).keys
    same = (one for one in grants if one.grant.provider in keys and one.grant.job == job)
    return max(same, key=lambda one: (one.grant.job_version, one.grant.granted), default=None)


def foreign_keys(
    grants: Iterable[Granted], bundle: Bundle, language: Language = "en", receipts: Sequence[Card] = ()
) -> list[str]:
    """Loud sentences when a provider that goes by the same name or domain had another key before, which did not
    sign this one, and when it replaced this key by another; and a plain one when the key is new and was signed.
    `receipts` as in `identify`."""
    provider, grants = bundle.manifest.provider, list(grants)
    found = identify(bundle, grants, receipts)

    def say(key: str, old: str) -> str:
        return phrase(language, key, name=provider.name, domain=provider.domain, words=fingerprint(old))

    granted = {*(one.grant.provider for one in grants), *(one.key for one in receipts)}
    known, later = granted & found.keys, sorted(granted & found.later)
    signed = sorted(known - found.later) if provider.signing_key not in known else []
    loud = [*(say("changed.key", key) for key in found.foreign), *(say("changed.key-older", key) for key in later)]
    return [*loud, *(say("changed.key-signed", key) for key in signed)]


def difference(before: Bundle, after: Bundle, language: Language = "en") -> list[str]:
    """What changed between two versions of a job, one sentence each; none when the bundles are the same."""
    if before.hash == after.hash:
        return []
    old, new = describe(before, language), describe(after, language)

    def say(key: str, **values: Any) -> str:
        return phrase(language, f"changed.{key}", **values)

    lines = [
        *_reads(say, old["reads"], new["reads"]),
        *_leaves(say, old["leaves"], new["leaves"]),
        *_terms(say, old, new),
        *_provider(say, before, after),
    ]
    if old["code_sha256"] != new["code_sha256"] or old["kind"] != new["kind"]:
        lines.append(say("code"))
    return lines or [say("form")]


def news_words(
    grants: Sequence[Granted], bundle: Bundle, language: Language = "en", receipts: Sequence[Card] = ()
) -> list[str]:
    """What the screen before granting adds for somebody who granted this job, or this provider's namesake, before.

    `receipts` as in `identify`.
    """
    warning = phrase(language, "head.warning")
    lines = [f"  {warning:8} {line}" for line in foreign_keys(grants, bundle, language, receipts)]
    if identify(bundle, grants, receipts).foreign:
        lines.append(f"  {'':8} {phrase(language, 'changed.suspends')}")
    last = granted_before(grants, bundle)
    if last is not None and (changes := difference(last.bundle, bundle, language)):
        since = phrase(language, "changed.since", version=last.grant.job_version)
        lines.append(f"  {phrase(language, 'head.changed'):8} {since}")
        lines += [f"  {'':8} {line}" for line in changes]
    return lines


def _reads(say: Say, old: Sequence[Shown], new: Sequence[Shown]) -> list[str]:
    before, after = ({read["collection"]: read for read in reads} for reads in (old, new))
    lines = [
        say("reads-new", collection=name, fields=", ".join(after[name]["fields"]))
        for name in after
        if name not in before
    ]
    lines += [say("reads-gone", collection=name) for name in before if name not in after]
    for name in (name for name in after if name in before):
        lines += _read(say, before[name], after[name])
    return lines


def _read(say: Say, old: Shown, new: Shown) -> list[str]:
    name = new["collection"]
    more = [field for field in new["fields"] if field not in old["fields"]]
    less = [field for field in old["fields"] if field not in new["fields"]]
    lines = [say("fields-more", collection=name, fields=", ".join(more))] if more else []
    lines += [say("fields-less", collection=name, fields=", ".join(less))] if less else []
    if not more and not less and old["fields"] != new["fields"]:
        lines.append(say("fields-order", collection=name))
    if old["only"] != new["only"]:
        lines.append(say("rows", collection=name, now=_rows(say, new["only"]), before=_rows(say, old["only"])))
    if old["window"] != new["window"]:
        lines.append(say("window", collection=name, now=new["window"], before=old["window"]))
    if old["spaces"] != new["spaces"]:
        data = "-open" if new["spaces"] == "all" and name.startswith(OPEN) else ""
        lines.append(say(f"spaces-{new['spaces']}{data}", collection=name))
    if old["min_rows"] != new["min_rows"]:
        lines.append(say("least", collection=name, now=new["min_rows"], before=old["min_rows"]))
    return lines


def _rows(say: Say, only: Sequence[str]) -> str:
    return say("rows-only", conditions=", ".join(only)) if only else say("rows-all")


def _leaves(say: Say, old: Shown, new: Shown) -> list[str]:
    lines = [say("tells-new", what=what) for what in new["what"] if what not in old["what"]]
    lines += [say("tells-gone", what=what) for what in old["what"] if what not in new["what"]]
    if old["noise"] and not new["noise"]:
        lines.append(say("noise-gone"))
    return lines + _more_or_less(say, "bits", old["bits"], new["bits"])


def _terms(say: Say, old: Shown, new: Shown) -> list[str]:
    lines, was, is_ = [], old["purpose"], new["purpose"]
    if (was["plain"], was["term"]) != (is_["plain"], is_["term"]):
        # One sentence, one line: a provider's words begin none of their own.
        lines.append(say("purpose", plain=" ".join(is_["plain"].split()), term=is_["term"]))
    if was["lawful_basis"] != is_["lawful_basis"]:
        lines.append(say("basis", now=is_["lawful_basis"], before=was["lawful_basis"]))
    lines += _more_or_less(say, "runs", old["budget"]["runs"], new["budget"]["runs"])
    lines += _more_or_less(say, "budget", old["budget"]["bits"], new["budget"]["bits"])
    lines += _more_or_less(say, "epsilon", old["budget"]["epsilon"] or 0, new["budget"]["epsilon"] or 0)
    lines += _more_or_less(say, "kept", old["retention_days"], new["retention_days"])
    for key in ("name", "when", "review"):
        if old[key] != new[key]:
            lines.append(say(key, now=new[key], before=old[key]))
    for key in ("parameters", "limits"):
        lines += _values(say, key, old[key], new[key])
    return lines


def _values(say: Say, key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Of several values those that one version lacks, or has otherwise."""
    names = differing(old, new)
    now, before = (parameter_words({name: one[name] for name in names if name in one}) for one in (new, old))
    return [say(key, now=", ".join(now) or say("nothing"), before=", ".join(before) or say("nothing"))] if names else []


def _more_or_less(say: Say, key: str, before: float, after: float) -> list[str]:
    if before == after:
        return []
    return [say(f"{key}-{'more' if after > before else 'less'}", now=figure(after), before=figure(before))]


def _provider(say: Say, before: Bundle, after: Bundle) -> list[str]:
    old, new = before.manifest.provider, after.manifest.provider
    lines = []
    if (old.name, old.contact, old.domain) != (new.name, new.contact, new.domain):
        lines.append(say("provider", name=new.name, domain=new.domain, contact=new.contact))
    if (old.relay, old.inbox, old.sealing_key) != (new.relay, new.inbox, new.sealing_key):
        lines.append(say("place", relay=new.relay))
    return lines
