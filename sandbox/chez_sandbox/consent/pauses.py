"""Whether a grant is paused: what its record and the journal hold about it.

A pause has an id of its own, and is lifted by a resumption that names it; a grant is paused
while any pause stands. So two devices that pause at once, or one that pauses while another
resumes, end in the same state whatever comes first: a pause that nobody saw when he resumed
stands. (The ids of an observed-remove set: Shapiro et al., "A comprehensive study of
convergent and commutative replicated data types", 2011, section 3.3.5.)

Any device of the person may pause. A resumption counts only with the signature of the device
that runs the grant, whose word the grant is: who can merely write in the record can stop a
job, never start one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec

from chez_sandbox.consent.signed import opened_record

__all__ = ("RESUME", "UNREADABLE", "Resumption", "standing")

RESUME: Final = "grant resumption"
"""The context that a resumption is signed under."""

UNREADABLE: Final = "unreadable"
"""Stands for the pauses of a record that has no map of them; putting one back lifts it."""


class Resumption(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What the running device signs when it lifts a pause. Ids are hexadecimal text, `time` is RFC 3339."""

    version: Literal[1]
    grant: str
    pause: str
    time: str


def standing(grant: str, device: bytes, record: Mapping[str, Any], own: Iterable[str]) -> frozenset[str]:
    """The ids of the pauses that stand for a grant which `device` runs.

    `own` are the pauses that the journal here has receipts of, lest they go with the record.
    A record in which pauses or resumptions are no maps was changed by something else: that
    lifts nothing.
    """
    pauses, resumptions = record.get("pauses"), record.get("resumptions")
    known = set(own) | (set(pauses) if isinstance(pauses, Mapping) else {UNREADABLE})
    if not isinstance(resumptions, Mapping):
        return frozenset(known)
    return frozenset(pause for pause in known if not _lifts(grant, device, pause, resumptions.get(pause)))


def _lifts(grant: str, device: bytes, pause: str, said: object) -> bool:
    resumption = opened_record(said if isinstance(said, Mapping) else None, device, RESUME, Resumption)
    return resumption is not None and (resumption.grant, resumption.pause) == (grant, pause)
