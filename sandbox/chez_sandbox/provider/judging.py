"""What `chez-job check` finds: how much a job tells, what it asks for in vain, what a person will see.

Everything but fuel, rows and unread fields follows from the manifest alone. A *refused*
finding makes the command fail; a *warning* is for the provider to weigh, or with --strict
fails, too.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.dpv import PURPOSES
from chez_sandbox.consent.inspect import describe, plain_words
from chez_sandbox.manifest import Manifest, Read
from chez_sandbox.provider.noise import noise_facts, noise_lines, noise_warnings
from chez_sandbox.provider.trial import Trial
from chez_sandbox.provider.versions import version_changes, version_findings
from chez_sandbox.release.release import message_size
from chez_sandbox.release.schema import count_text
from chez_sandbox.release.types import ArrayType, NullableType, ObjectType, Type

__all__ = ("Finding", "Overlap", "check_facts", "check_words", "findings", "overlaps", "unread")

_PERSON: Final = 2**33
"""More results than people on Earth: one can stand for one person."""

_NAMING: Final = frozenset("""
    account address bic card contract email iban id identifier ip mail meter mobile name number passport phone pod prm
    reference serial siren siret ssn tel telephone user username uuid
""".split())
"""Words of a field's name that promise an identifier."""

_NAMED: Final = 1024
"""Values from which such a field can be one: an enum of a few tariffs' names is none."""


class Finding(msgspec.Struct, frozen=True):
    """One thing about a job, at a field of its manifest."""

    level: Literal["refused", "warning"]
    path: str
    words: str


class Overlap(msgspec.Struct, frozen=True):
    """What the difference between two runs next to each other tells."""

    collection: str
    risk: Literal["none", "overlap", "open"]
    words: str


_STEPS: Final[Mapping[tuple[str, str], int]] = {("weekly", "day"): 7, ("monthly", "day"): 28, ("monthly", "week"): 4}
"""Steps of the grid by which a schedule moves a window; one for any other: also a person may start runs so often."""


def overlaps(manifest: Manifest) -> list[Overlap]:
    """How far the windows of two runs share rows: their difference tells of the rest alone."""
    return [_overlap(manifest, read) for read in manifest.reads]


def _overlap(manifest: Manifest, read: Read) -> Overlap:
    window = read.window
    if manifest.budget.runs == 1:
        return Overlap(read.collection, "none", "one run: there is nothing to compare it with")
    if window is None:
        words = "without a window each run reads all there is: two runs differ by what came between them"
        return Overlap(read.collection, "open", words)
    step = _STEPS.get((manifest.schedule, window.grid), 1)
    shared = max(0, window.last - step)
    if not shared:
        return Overlap(read.collection, "none", "no two windows share a row, or they are the same")
    words = (
        f"windows next to each other share {shared} of {window.last} {window.grid}s: the difference of two results "
        f"tells of {step} {window.grid}{'s' if step > 1 else ''} alone, for each of {manifest.budget.runs} runs but one"
    )
    return Overlap(read.collection, "overlap", words)


def findings(manifest: Manifest, trial: Trial | None) -> list[Finding]:
    """Everything there is to say of this version alone, refusals first."""
    found = [*_purpose(manifest), *_result(manifest.schema.root, "result"), *_budget(manifest), *_differences(manifest)]
    rows = None if trial is None else trial.rows
    found += [Finding("warning", place, words) for place, words in noise_warnings(manifest, rows)]
    if trial is not None:
        found += _trial(manifest, trial)
    return sorted(found, key=lambda one: one.level)


def _purpose(manifest: Manifest) -> Iterator[Finding]:
    if manifest.purpose.dpv.removeprefix("dpv:") not in PURPOSES:
        words = f"{manifest.purpose.dpv} is no purpose of the Data Privacy Vocabulary 2.3 (https://w3id.org/dpv/purposes)"
        yield Finding("warning", "purpose.dpv", words)


def _result(kind: Type, path: str) -> Iterator[Finding]:
    """Fields of the result that can carry an identifier."""
    inner = kind.kind if isinstance(kind, NullableType) else kind
    if isinstance(inner, ObjectType):
        for name, field in inner.fields:
            yield from _result(field, f"{path}.{name}")
        if path == "result" and inner.count >= _PERSON:
            words = f"has {_about(inner.count)} values: enough to tell every person on Earth apart"
            yield Finding("warning", path, words)
        return
    if isinstance(inner, ArrayType):
        yield from _result(inner.items, f"{path}[]")
        if inner.count >= _PERSON:
            words = f"has {_about(inner.count)} values: a list this long can spell out an identifier"
            yield Finding("warning", path, words)
        return
    words_of_name = set(re.split(r"[^a-z]+", path.rpartition(".")[2]))
    if inner.count >= 2**32:
        words = f"has {_about(inner.count)} values: one number as fine as this can name a person"
        yield Finding("refused", path, words)
    elif inner.count >= _NAMED and (named := sorted(words_of_name & _NAMING)):
        yield Finding("refused", path, f"is called {named[0]!r} and has {inner.count:,} values: it can name a person")


def _about(count: int) -> str:
    """So many values, in three digits."""
    return f"{count:.3g}" if count < 10**100 else count_text(count)


def _budget(manifest: Manifest) -> Iterator[Finding]:
    bits, budget = manifest.schema.bits, manifest.budget
    if budget.runs * bits > budget.bits:
        words = f"suffices for {int(budget.bits / bits)} of {budget.runs} runs"
        yield Finding("warning", "budget.bits", words)
    if min(budget.bits, budget.runs * bits) > Ceilings().provider:
        words = f"is more than the {Ceilings().provider:g} bits that a device lets one provider have in all"
        yield Finding("warning", "budget.bits", words)


def _differences(manifest: Manifest) -> Iterator[Finding]:
    for number, (read, overlap) in enumerate(zip(manifest.reads, overlaps(manifest), strict=True)):
        if overlap.risk != "none":
            place = f"reads[{number}]" + ("" if read.window is None else ".window")
            yield Finding("warning", place, overlap.words)


def _trial(manifest: Manifest, trial: Trial) -> Iterator[Finding]:
    if trial.sandbox.admitted is None:
        yield Finding("refused", "", f"on the sample data no result came out: {trial.sandbox.problem}")
    if not trial.same:
        yield Finding("refused", "", "plain Python and the sandbox gave different results")
    if trial.sandbox.run.fuel > 0.8 * manifest.limits.fuel:
        share = trial.sandbox.run.fuel / manifest.limits.fuel
        yield Finding("warning", "limits.fuel", f"{share:.0%} of it is used on the sample data alone")
    for number, read in enumerate(manifest.reads):
        if not trial.rows[read.collection]:
            yield Finding("warning", f"reads[{number}]", f"finds no row of {read.collection} in the sample data")
    for collection, fields in (unread(manifest, trial) or {}).items():
        number = [read.collection for read in manifest.reads].index(collection)
        words = f"asks for {', '.join(fields)}, and the job does not look at it: ask for less"
        yield Finding("warning", f"reads[{number}].fields", words)


def unread(manifest: Manifest, trial: Trial | None) -> dict[str, list[str]] | None:
    """Fields that the job did not look at on the sample data; None where that can't be seen.

    Known of Python that came to its end: a component's rows are text to the host.
    """
    noised = {(one.collection, one.field) for one in manifest.measurements if one.field is not None}
    if manifest.own_schema is None:
        used = frozenset(noised)  # the code does not run
    elif trial is None or trial.native is None or trial.native.value is None:
        return None
    else:
        used = trial.native.used | noised
    left = {
        read.collection: [name for name in read.fields if (read.collection, name) not in used]
        for read in manifest.reads
    }
    return {collection: fields for collection, fields in left.items() if fields}


def check_facts(bundle: Bundle, trial: Trial | None, signed: bool, before: Bundle | None = None) -> dict[str, Any]:
    """Everything, JSON-able; `before` is an older version to hold this one against."""
    manifest, schema, limits = bundle.manifest, bundle.manifest.schema, bundle.manifest.limits
    found = findings(manifest, trial)
    if before is not None:
        found += [Finding(*one) for one in version_findings(before, bundle, signed=signed)]
        found.sort(key=lambda one: one.level)
    shown = describe(bundle)
    return {
        "job": manifest.id,
        "version": manifest.version,
        "signed": signed,
        "ok": not any(one.level == "refused" for one in found),
        "bits": schema.bits,
        "results": count_text(schema.count),
        "runs": manifest.budget.runs,
        "bits_in_all": min(manifest.budget.bits, manifest.budget.runs * schema.bits),
        "provider_ceiling": Ceilings().provider,
        "message_bytes": message_size(schema),
        "fuel": None if trial is None else trial.sandbox.run.fuel,
        "fuel_limit": limits.fuel,
        "rows": None if trial is None else trial.rows,
        "result": None if trial is None or trial.sandbox.admitted is None else trial.sandbox.admitted.encoded.decode(),
        "unread": unread(manifest, trial),
        "noise": noise_facts(manifest, None if trial is None else trial.rows),
        "differencing": [
            {"collection": one.collection, "risk": one.risk, "words": one.words} for one in overlaps(manifest)
        ],
        "findings": [{"level": one.level, "path": one.path, "words": one.words} for one in found],
        "against": None if before is None else before.manifest.version,
        "changes": None if before is None else version_changes(before, bundle, signed=signed),
        "consent": shown,
        "preview": plain_words(shown),
    }


def check_words(facts: Mapping[str, Any]) -> list[str]:
    """The same for people: the consent screen first, then the figures, then what was found."""
    in_all = f"at most {facts['bits_in_all']:.1f} in {facts['runs']} runs"
    lines = [
        "What a person will see:",
        "",
        *facts["preview"],
        "",
        "What it comes to:",
        f"  bits     {facts['bits']:.2f} a run ({facts['results']} results), {in_all}",
        f"           (a device lets one provider have {facts['provider_ceiling']:g}, over all its jobs)",
        f"  message  {facts['message_bytes']} bytes, always",
    ]
    if facts["fuel"] is None:
        lines.append("  fuel     not tried on sample data (sample/, or --sample; chez-job test --generate makes some)")
    else:
        share = facts["fuel"] / facts["fuel_limit"]
        lines.append(f"  fuel     {facts['fuel']:,} of {facts['fuel_limit']:,} on the sample data ({share:.1%})")
        lines.append(f"  result   {facts['result'] or 'none'}")
    lines += noise_lines(facts["noise"])
    if facts["unread"] is None:
        lines.append("  unread   not known: only Python that comes to its end on sample data can be watched")
    else:
        fields = [f"{collection}: {', '.join(names)}" for collection, names in facts["unread"].items()]
        lines.append(f"  unread   {'; '.join(fields) or 'nothing: every field asked for is looked at'}")
    if facts["against"] is not None:
        lines.append(f"  changes  since version {facts['against']}, as people who granted that one will read:")
        lines += [f"           {line}" for line in facts["changes"] or ["nothing"]]
    # The others are among the findings.
    quiet = [one for one in facts["differencing"] if one["risk"] == "none"]
    lines += [f"  compare  {one['collection']}: {one['words']}" for one in quiet]
    lines += [f"{one['level']:8} {one['path']}{': ' if one['path'] else ''}{one['words']}" for one in facts["findings"]]
    return lines
