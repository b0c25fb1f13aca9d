"""The parameters of the verbs of jobs: closed, typed, checked before anything is done."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from chez.errors import InvalidValue
from chez_sandbox.consent.catalogue import Language, refused
from chez_sandbox.consent.grant import Review
from chez_sandbox.consent.slots import Slots

__all__ = ("OfBundle", "OfGrant", "OfId", "OfNarrowed", "OfReplay", "OfRun", "Params", "read_params")

P = TypeVar("P", bound=msgspec.Struct)

_BOUND: Final = re.compile(
    r"Expected `(?:int|float|str|bytes)`(?P<length> of length)? (?P<which>[<>]=?) (?P<bound>[-\d.e+]+)"
    r" - at `\$\.(?P<name>\w+)`"
)
"""What msgspec says of a number or a text that is out of its bounds."""


class Params(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of a verb; a wrong or unknown one is named in the error."""

    language: Language = "en"
    """In which it answers, and refuses."""


class OfBundle(Params, frozen=True, kw_only=True):
    """A job's file, as bytes."""

    bundle: bytes


class OfNarrowed(OfBundle, frozen=True, kw_only=True):
    """A job's file, and what to take away of what it asks for."""

    drop: Annotated[list[str], Meta(max_length=1024)] = []
    """Fields to leave out, each "collection.field"."""
    windows: Annotated[list[str], Meta(max_length=16)] = []
    """Shorter windows, each "collection=steps"."""


class OfGrant(OfNarrowed, frozen=True, kw_only=True):
    """What a person grants."""

    example: bool = False
    """Whether to run the job first and show what would leave."""
    days: Annotated[int, Meta(ge=0, le=3660)] = 365
    runs: int | None = None
    bits: float | None = None
    epsilon: float | None = None
    review: Review = "show-me-first"
    slots: Slots = "hour"
    hold_hours: int = 0


class OfId(Params, frozen=True, kw_only=True):
    """A grant, by a beginning of its id."""

    grant: Annotated[str, Meta(min_length=1, max_length=64)]


class OfRun(OfId, frozen=True, kw_only=True):
    """A grant to run."""

    answers: bool = True
    """Whether somebody is there to answer; else a run that would ask does not start."""


class OfReplay(OfId, frozen=True, kw_only=True):
    """A run to repeat: the last one of its grant unless said."""

    sequence: Annotated[int, Meta(ge=1)] | None = None


def read_params(params: Mapping[str, Any], kind: type[P]) -> P:
    """The parameters of a verb; raises `InvalidValue` naming what is wrong."""
    try:
        return msgspec.convert(params, kind)
    except msgspec.ValidationError as error:
        if (found := _BOUND.fullmatch(str(error))) is None:
            raise InvalidValue(f"wrong parameters: {error}") from None
        name, bound = found["name"].replace("_", " "), found["bound"]
        which = found["which"].replace("<=", "≤").replace(">=", "≥")
        if found["length"] is None:
            raise refused(InvalidValue, "bounds", name=name, which=which, bound=bound) from None
        if (which, bound) == ("≥", "1"):
            raise refused(InvalidValue, "empty", name=name) from None
        raise refused(InvalidValue, "length", name=name, which=which, bound=bound) from None
