"""What each party saw, in words and tables."""

import json
from collections.abc import Iterator
from statistics import median
from typing import Final

from examples.pilot.lives import SOURCES
from examples.pilot.plan import SERVICES, PilotFailed
from examples.pilot.story import Outcome

__all__ = ("check", "figures", "lines")

GROWING: Final = ("arrive", "deposit", "live")
"""The steps that take longer the more people there are."""


def check(outcome: Outcome) -> None:
    """Everybody's is at home, each organisation has its own alone, each service a result of each of its people, and
    nobody else anything. Raises `PilotFailed`."""
    wanted = {source: len(texts) for source, texts in outcome.wanted.texts.items()}
    for found in (outcome.relay_before, *outcome.found):
        expected = {source: count for source, count in wanted.items()
                    if found.place == "the people, in their homes" or found.place == f"the {source}"}
        got = {source: count for source, count in found.texts.items() if count}
        if got != expected:
            raise PilotFailed(f"{found.place}: found {got}, not {expected}")
    for key, standing in outcome.standing.items():
        if not standing.taken or standing.queued or standing.sent or standing.refused or standing.gone:
            raise PilotFailed(f"the {key}: not every message was taken: {standing}")
    told = {line["pseudonym"] for lines in outcome.results.values() for line in lines}
    if len(told) != outcome.plan.people:
        raise PilotFailed(f"the services have results of {len(told)} people, not of {outcome.plan.people}")
    if outcome.messages != len(outcome.wanted.people):
        raise PilotFailed(f"{outcome.messages} of {len(outcome.wanted.people)} sealed results were at the relay")


def figures(outcome: Outcome) -> dict[str, float]:
    """Of each person: seconds and bytes on the wire of the steps that grow with their number, and what stays."""
    people = outcome.plan.people
    return {
        "seconds": sum(outcome.steps[name].seconds for name in GROWING) / people,
        "wire": sum(outcome.steps[name].bytes for name in GROWING) / people,
        "relay": outcome.relay_bytes / people,
        "disk": sum(one.disk for one in outcome.lived) / people,
        "relay_cpu": outcome.relay_cpu / people,
    }


def lines(outcome: Outcome) -> Iterator[str]:
    """The whole report."""
    yield from _people(outcome)
    yield ""
    yield from _whose(outcome)
    yield ""
    yield from _services(outcome)
    yield ""
    yield from _costs(outcome)


def _people(outcome: Outcome) -> Iterator[str]:
    records: dict[str, int] = {}
    for one in outcome.lived:
        for name, count in one.records.items():
            records[name] = records.get(name, 0) + count
    two = sum(one.devices > 1 for one in outcome.lived)
    yield (f"What {outcome.plan.people:,} people have at home now, {two:,} of them on two devices, and nobody else has "
           "together:")
    for name, count in sorted(records.items(), key=lambda item: -item[1]):
        if not name.startswith("chez"):
            yield f"  {name:22} {count:12,} records"


def _whose(outcome: Outcome) -> Iterator[str]:
    wanted = outcome.wanted
    yield (f"Whose values are where: {wanted.total:,} texts of {len(wanted.people)} people, each of one source, looked "
           "for in all files,")
    yield "as they are and in UTF-16, hexadecimal and base64:"
    yield "  " + " " * 34 + "".join(f"{source:>9}" for source in SOURCES) + "    bytes searched"
    yield "  " + f"{'there are':34}" + "".join(f"{len(wanted.texts[source]):9,}" for source in SOURCES)
    before = outcome.relay_before
    for name, found in [("the relay, with all in it", before), *((found.place, found) for found in outcome.found)]:
        counts = "".join(f"{found.texts[source]:9,}" for source in SOURCES)
        yield f"  {name:34}{counts}{found.bytes:18,}"
    yield (f"  The search finds what was hidden on purpose in the relay's store, and {outcome.messages} of "
           f"{len(wanted.people)} sealed results lay there.")
    yield "What the relay's operator can count (`chez-relay inspect`):"
    yield from (f"  {line}" for line in outcome.counted.splitlines())


def _services(outcome: Outcome) -> Iterator[str]:
    yield "What the organisations heard of it: that their messages are on a device,"
    yield "  " + ", ".join(f"the {key} of {one.taken:,}" for key, one in outcome.standing.items())
    yield "What the services know, and no more:"
    for service in SERVICES:
        found = outcome.results[service.job]
        told = [line["result"] for line in found if line["outcome"] == "result"]
        none = len(found) - len(told)
        yield (f"  {service.name} ({service.job}): {len(told)} results"
               + (f', and {none} times "none"' if none else ""))
        for line in told[:2]:
            yield f"    {json.dumps(line)}"
        if told:
            middle = {name: median(line[name] for line in told) for name in told[0]}
            yield f"    the middle of all: {json.dumps(middle)}"


def _costs(outcome: Outcome) -> Iterator[str]:
    people = outcome.plan.people
    yield f"What it cost, of each of {people:,} people:"
    for name, step in outcome.steps.items():
        yield (f"  {name:10} {step.seconds / people:8.2f} s {step.bytes / people / 1e3:10.1f} KB to and from the relay "
               f"{step.connections / people:7.1f} connections")
    cost = figures(outcome)
    yield f"  at the relay {cost['relay'] / 1e3:,.0f} KB and {cost['relay_cpu'] * 1e3:,.0f} ms of a processor"
    yield f"  at home      {cost['disk'] / 1e3:,.0f} KB of disk"
    yield "Where a device's time goes, in the middle:"
    for title, every in (("arrive", outcome.arrived), ("live", outcome.lived)):
        taken: dict[str, list[float]] = {}
        for one in every:
            for name, seconds in one.seconds.items():
                taken.setdefault(name, []).append(seconds)
        steps = ", ".join(f"{name} {median(found) * 1e3:.0f} ms" for name, found in taken.items())
        yield f"  {title}: {steps}"
