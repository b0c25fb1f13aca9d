"""What `chez space audit` says of each finding: plain sentences."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chez.cli.terminal import when

__all__ = ("SHORT", "sentences")

SHORT: Final = 12
"""Characters of an entry's hash that are shown to people."""

SHOWN: Final = 8
"""Records that are named of what a branch of a fork changed."""

_SAID: Final = {
    "Add": "let somebody in", "Archive": "put the space away", "Certify": "let in a device",
    "Create": "make a space", "Enrol": "begin a person", "Expel": "remove a device",
    "Invite": "invite somebody", "Move": "move the space to another place", "NewEpoch": "start a new epoch",
    "Pick": "say which entry counts", "Remove": "remove a member", "Rename": "rename the space",
    "RenameDevice": "rename a device", "Retire": "retire a device", "Revoke": "revoke an invitation",
    "SetRole": "change a role",
}
"""What each kind of word would have done."""


def sentences(one: Mapping[str, Any]) -> Iterator[str]:
    """The lines about one finding of the verb `space-audit`."""
    match one["kind"]:
        case "fork":
            yield from _fork(one)
        case "late":
            yield (f"{_who(one)} wrote {_count(one['count'], 'entry', 'entries')} beyond what its removal accepted, "
                   f"from number {one['sequence']} on: {'it counts' if one['count'] == 1 else 'they count'} for "
                   "nothing, unless a member built on them.")
        case "refused":
            yield (f"{_count(one['count'], 'thing', 'things')} that {_who(one, 'somebody')} sent "
                   f"{'was' if one['count'] == 1 else 'were'} refused: {one['reason']}.")
        case "void":
            yield f"{_who(one, 'somebody')} wanted to {_SAID[one['said']]}, which has no effect: {one['reason']}."
        case "relay":
            yield from _relay(one)
        case _:
            yield ("a new epoch is owed: somebody who was removed, or may write no more, can still read what is new. "
                   "An owner's device starts it when it connects.")


def _fork(one: Mapping[str, Any]) -> Iterator[str]:
    yield (f"{_who(one)} wrote {len(one['entries'])} different entries under number {one['sequence']}: it was copied "
           "or restored, or it lies.")
    if one["counts"] is None:
        yield (f"Of what it wrote from there on ({_count(one['count'], 'entry', 'entries')}) nothing counts, until an "
               "owner picks one of:")
    else:
        yield f"One of them counts; {_count(one['count'], 'entry', 'entries')} on the other side do not:"
    for branch in one["branches"]:
        name = branch["entry"][:SHORT]
        if branch["broken"]:
            yield f"  {name}  broke a rule: nothing can make it count"
            continue
        records = [*branch["records"][:SHOWN], *(["…"] if len(branch["records"]) > SHOWN else [])]
        counts = "  (counts)" if branch["entry"] == one["counts"] else ""
        yield (f"  {name}  {_count(branch['count'], 'entry', 'entries')}, last {when(branch['written'])}: "
               f"{', '.join(records) or 'no records'}{counts}")
    if one["counts"] is None:
        yield "  chez space pick ENTRY says which."


def _relay(one: Mapping[str, Any]) -> Iterator[str]:
    if one["hidden"]:
        yield (f"the relay {one['relay']} does not show entries here, up to {one['offset']}, that it had shown "
               f"{_who(one)}.")
    else:
        yield f"the relay {one['relay']} showed other entries here than to {_who(one)}: at entry {one['offset']}."
    yield ("  It lies, or lost its store. What is here stays; `chez sync --reseed` sends it what it lacks, or use "
           "another one.")


def _who(one: Mapping[str, Any], nobody: str = "a device") -> str:
    if one["name"]:
        return f"device {one['name']!r}"
    return f"device {one['device'][:SHORT]}" if one["device"] else nobody


def _count(number: int, single: str, several: str) -> str:
    return f"{number:,} {single if number == 1 else several}"
