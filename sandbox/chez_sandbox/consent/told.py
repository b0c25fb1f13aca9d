"""The words in which a person is told of grants (`chez grants`) and of what left (`chez left`)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.departures import Left
from chez_sandbox.consent.diary import NONE

__all__ = ("example_words", "grant_words", "left_words", "result_words", "spent_words")

SHORT: Final = 8
"""Characters of a grant's id that are shown: what commands take as its beginning."""

_STATES: Final[Mapping[str, str]] = {
    "running": "it may run until {until}",
    "revoked": "revoked: it never runs again",
    "elsewhere": "it may run until {until}, on another of your devices",
    "ended": "it ended on {until}",
    "used-up": "all its runs are used",
    "paused": "paused: it runs when you resume it",
}


_REVIEWS: Final[Mapping[str, str]] = {
    "show-me-first": "you see each result before it leaves",
    "within-the-grant": "results leave unseen",
    "hold": "results leave unseen, after {hours} h in which you may withdraw them",
}


def grant_words(one: Mapping[str, Any]) -> list[str]:
    """One grant, as `chez grants` tells it; `one` is what the verb answers for it."""
    if one["state"] == "damaged":
        return [f"Grant {one['grant'][:SHORT]} is damaged, and never runs: {one['problem']}"]
    shown = one["shown"]
    state = _STATES[one["state"]].format(until=one["until"])
    lines = [f"{one['name']}, for {one['provider']} (grant {one['grant'][:SHORT]}): {state}"]
    for read in shown["reads"]:
        only = f", only where {' and '.join(read['only'])}" if read["only"] else ""
        lines.append(f"  may read {', '.join(read['fields'])} of {read['collection']}{only}; {read['window']}")
    lines += [f"  {line}" for line in one["narrowed"]]
    bits = shown["leaves"]["bits"]
    lines += [f"  may tell {what}" for what in shown["leaves"]["what"]]
    lines += [
        f"  a run tells at most {bits:g} bits: about as much as {bits_words(bits)}",
        f"  used {_runs(one['runs'])} of {one['runs_allowed']:,}, {one['bits']:g} bits of {one['bits_allowed']:g}; "
        + _REVIEWS[one["review"]].format(hours=one["hold_hours"]),
    ]
    return lines


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number:,} runs"


def example_words(tried: Mapping[str, Any]) -> list[str]:
    """The lines of the screen before granting that say what a dry run on the person's own data gave."""
    if tried["result"] is None:
        return [f"  Example  on your data it gives no result now: {tried['problem']}"]
    head = ("  Example  on your data, today: ", "                                 ")
    return [f"{head[min(number, 1)]}{line}" for number, line in enumerate(result_words(tried["result"]))]


def left_words(lefts: Sequence[Left], here: str) -> list[str]:
    """All that left, each departure in plain words with its bytes; `here` is this device's id in hexadecimal."""
    if not lefts:
        return ["Nothing ever left this device for a provider."]
    return [line for left in lefts for line in _left(left, here)]


def _left(left: Left, here: str) -> list[str]:
    none = f'nothing but "none": {NONE.get(left.reason, left.reason)}'
    what = none if left.result is None else "; ".join(result_words(left.result))
    bits = "" if left.bits is None else f", at most {left.bits:.4g} bits (about as much as {bits_words(left.bits)})"
    way = f"the relay at {left.relay} has it since {left.delivered}" if left.delivered else _waits(left)
    former = "" if left.device == here else f", by device {left.device[:SHORT]}, which this home was"
    return [
        f"{left.time}  to {left.provider_name}: {what}",
        f"  run {left.sequence} of {left.job}, version {left.version} (grant {left.grant[:SHORT]}){former}",
        f"  {f'exactly {left.result}, ' if left.result else ''}sealed in {len(left.message)} bytes{bits}; {way}",
    ]


def _waits(left: Left) -> str:
    return "still waiting here" if left.leaves is None else f"still waiting here, and sent from {left.leaves} on"


def spent_words(spent: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each provider was told in all, one line each."""
    return [
        f"In all to {one['name']}: at most {one['bits']:g} bits (about as much as {bits_words(one['bits'])}), "
        f"of {one['ceiling']:g} that this device ever tells one provider."
        for one in spent
    ]


def result_words(text: str) -> list[str]:
    """A result's canonical JSON text as "name: value" lines, the names of what is inside joined by dots."""
    return _lines("", json.loads(text))


def _lines(name: str, value: Any) -> list[str]:
    if isinstance(value, dict):
        return [line for key, inner in value.items() for line in _lines(f"{name}.{key}" if name else key, inner)]
    said = "yes" if value is True else "no" if value is False else "nothing" if value is None else json.dumps(value)
    said = value if isinstance(value, str) else said
    return [f"{name}: {said}" if name else said]
