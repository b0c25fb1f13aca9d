"""What `chez-job check --against` finds: what a new version changes, and what it tells beside the older one.

A person may have granted both, and their results are the provider's: over other rows, or with other parameters, the
difference of two results tells of what lies between them. The device sums the bits of all versions in one
account; that bounds how much, and not of what.
"""

from collections.abc import Iterator
from typing import Literal

import msgspec

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.accounts import Ceilings
from chez_sandbox.consent.difference import difference
from chez_sandbox.manifest import Read, differing

__all__ = ("version_changes", "version_findings")

Found = tuple[Literal["refused", "warning"], str, str]
"""Level, place in the manifest, and words, as of a `judging.Finding`."""


def version_changes(before: Bundle, after: Bundle, *, signed: bool = True) -> list[str]:
    """What a person who granted the older version will be told of the newer one.

    A folder is not `signed` yet, and names no provider: it is going to be the same one's.
    """
    if signed:
        return difference(before, after)
    manifest = msgspec.structs.replace(after.manifest, provider=before.manifest.provider)
    after = msgspec.structs.replace(after, manifest=manifest)
    same = (before.manifest, before.kind, before.code) == (after.manifest, after.kind, after.code) and (
        before.manifest.parameters_json == after.manifest.parameters_json)  # where 1 is not true
    return [] if same else difference(before, after)


def version_findings(before: Bundle, after: Bundle, *, signed: bool = True) -> Iterator[Found]:
    """What devices that granted the older version refuse, and what results of both tell when compared."""
    old, new = before.manifest, after.manifest
    if old.id != new.id:
        yield "refused", "id", f"is {new.id!r}, and the bundle it is held against is {old.id!r}: another job"
        return
    if new.version < old.version:
        yield "refused", "version", f"is lower than {old.version}: devices that granted that one refuse this one"
    elif new.version == old.version and version_changes(before, after, signed=signed):
        yield "refused", "version", f"is {old.version} already for another bundle: raise it, or devices refuse this one"
    earlier = {read.collection: read for read in old.reads}
    for number, read in enumerate(new.reads):
        if (former := earlier.get(read.collection)) is not None and (parts := _other_rows(former, read)):
            words = (
                f"{' and '.join(parts)} changed since version {old.version}: of whoever granted both, "
                "the difference of two results tells of the rows that one reads and the other does not"
            )
            yield "warning", f"reads[{number}]", words
    if changed := differing(old.parameters, new.parameters):
        words = (
            f"{', '.join(changed)} changed since version {old.version}: of whoever granted both, "
            "two results over the same rows tell what lies between"
        )
        yield "warning", "parameters", words
    bits = sum(min(one.budget.bits, one.budget.runs * one.schema.bits) for one in (old, new))
    if new.version > old.version and bits > Ceilings().provider:
        words = f"with version {old.version} comes to {bits:.0f} bits; a device lets one provider have "
        yield "warning", "budget.bits", f"{words}{Ceilings().provider:g} in all"


def _other_rows(old: Read, new: Read) -> list[str]:
    parts = (("where", "the filters"), ("window", "the window"), ("spaces", "which spaces are read"))
    return [words for name, words in parts if getattr(old, name) != getattr(new, name)]
