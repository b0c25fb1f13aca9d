"""The words in which a person is told of grants (`chez grants`), of what left (`chez left`), and how it leaves."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.catalogue import Language, figure, phrase
from chez_sandbox.consent.departures import Left
from chez_sandbox.consent.sent import Elsewhere
from chez_sandbox.consent.slots import Plan, Slots, leaves_at, slot_after

__all__ = (
    "SHORT",
    "doctor_words",
    "elsewhere_words",
    "example_words",
    "grant_words",
    "leaving_example",
    "leaving_words",
    "left_words",
    "noised_words",
    "result_words",
    "shown_time",
    "spent_words",
)

SHORT: Final = 8
"""Characters of a grant's id that are shown: what commands take as its beginning."""


def grant_words(one: Mapping[str, Any], now: datetime, language: Language = "en") -> list[str]:
    """One grant, as `chez grants` tells it; `one` is what the verb answers for it in the same language."""

    def say(key: str, **values: Any) -> str:
        return phrase(language, f"grants.{key}", **values)

    short = one["grant"][:SHORT]
    if one["state"] == "damaged":
        return [say("damaged", grant=short, problem=one["problem"])]
    shown, bits = one["shown"], one["shown"]["leaves"]["bits"]
    state = phrase(language, f"state.{one['state']}", until=one["until"], device=one["device_name"])
    lines = [say("head", name=one["name"], provider=one["provider"], grant=short, state=state)]
    allowed = {"allowed": one["runs_allowed"], "most": figure(one["bits_allowed"])}
    if one["runs"] is None:
        used = say("used-there", device=one["device_name"], **allowed)
    else:
        used = say("used", runs=one["runs"], bits=figure(one["bits"]), **allowed)
    if one["state"] in ("revoked", "ended"):
        return [*lines, f"  {used}"]
    lines += [f"  {_reads(read, language)}" for read in one["reads"]]
    lines += [f"  {line}" for line in one["narrowed"]]
    lines += [f"  {say('tells', what=what)}" for what in shown["leaves"]["what"]]
    lines.append(f"  {say('bits', bits=figure(bits), what=bits_words(bits, language))}")
    lines += [f"  {used}", f"  {say('when', when=shown['when'])}"]
    how = leaving_words(one["review"], one["slots"], one["hold_hours"], Plan(**one["leaves"]), now, language)
    return [*lines, *(f"  {line}" for line in how)]


def shown_time(time: str) -> str:
    """A time (RFC 3339) as a person reads it, on the clock of the wall: "2026-11-26 17:27"."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M")


def _reads(read: Mapping[str, Any], language: Language) -> str:
    fields = ", ".join(read["fields"]) or phrase(language, "grants.count")  # all of them may be left out
    said = {"fields": fields, "collection": read["collection"], "window": read["window"]}
    if not read["only"]:
        return phrase(language, "grants.reads", **said)
    return phrase(language, "grants.reads-only", conditions=phrase(language, "and").join(read["only"]), **said)


def leaving_words(
    review: str, slots: Slots, hold_hours: int, plan: Plan, now: datetime, language: Language = "en"
) -> list[str]:
    """How and when a grant's results leave: whether they are seen, and at which time of an hour or day.

    `now` is an aware datetime: a slot is one of the clock of the wall here.
    """
    moment = round(now.timestamp() * 1000)
    at = "slots.held" if hold_hours and not plan.step else f"slots.{slots}"
    slot = datetime.fromtimestamp(slot_after(moment, plan.step * 1000, plan.offset * 1000) / 1000, UTC).astimezone()
    return [
        phrase(language, f"review.{review}", hours=hold_hours),
        phrase(language, at, minute=slot.minute, time=slot.strftime("%H:%M")),
    ]


def leaving_example(plan: Plan, now: datetime, language: Language) -> list[str]:
    """When the message of a run that began now would leave, and until when its result may be withdrawn."""
    if plan == Plan(0, 0, 0):
        return [phrase(language, "slots.final")]
    moment = round(now.timestamp() * 1000)
    leaves = datetime.fromtimestamp(leaves_at(plan, moment, moment) / 1000, UTC).isoformat(timespec="seconds")
    return [phrase(language, "slots.example", when=shown_time(leaves)), phrase(language, "slots.withdraw")]


def example_words(tried: Mapping[str, Any], language: Language = "en") -> list[str]:
    """The lines of the screen before granting that say what a dry run on the person's own data gave."""
    head = f"  {phrase(language, 'head.example'):8} "
    if tried["result"] is None:
        return [head + phrase(language, "example.none", problem=tried["problem"])]
    # A result may have no field at all.
    first, *rest = [*result_words(tried["result"], language), *noised_words(tried, language)] or [""]
    line = head + phrase(language, "example", line=first)
    return [line, *(f"{'':{len(line) - len(first)}}{more}" for more in rest)]


def noised_words(tried: Mapping[str, Any], language: Language = "en") -> list[str]:
    """What to say beside a result that was shown, of the values in it that are noised."""
    if not (keys := ", ".join(tried.get("noised", ()))):
        return []
    return [phrase(language, "noise.made-up" if tried["made_up"] else "noise.drawn", keys=keys)]


def left_words(lefts: Sequence[Left], here: str, now: datetime, language: Language = "en") -> list[str]:
    """All that left, each departure in plain words with its bytes; `here` is this device's id in hexadecimal.

    `now` is an aware datetime: what leaves later is said to be here.
    """
    if not lefts:
        return [phrase(language, "left.nothing")]
    return [line for left in lefts for line in _left(left, here, now, language)]


def _left(left: Left, here: str, now: datetime, language: Language) -> list[str]:
    def say(key: str, **values: Any) -> str:
        return phrase(language, f"left.{key}", **values)

    if left.result is None:
        what = say("none", reason=phrase(language, f"none.{left.reason}"))
        sealed = say("sealed", bytes=len(left.message))
    else:
        what = "; ".join(result_words(left.result, language))
        sealed = say("exactly", result=left.result, bytes=len(left.message))
    if left.bits is not None:
        sealed += say("bits", bits=figure(left.bits, ".4g"), what=bits_words(left.bits, language))
    run = say("run", sequence=left.sequence, job=left.job, version=left.version, grant=left.grant[:SHORT])
    if left.device != here:
        run += say("former", device=left.device[:SHORT])
    gone = left.delivered or left.tried or left.device != here
    later = not gone and left.leaves is not None and datetime.fromisoformat(left.leaves) > now
    return [
        say("not-yet" if later else "to", time=shown_time(left.time), provider=left.provider_name, what=what),
        f"  {run}",
        f"  {say('way', sealed=sealed, way=_way(left, here, language))}",
    ]


def _way(left: Left, here: str, language: Language) -> str:
    if left.received:
        return phrase(language, "left.received", day=left.received)
    if left.delivered:
        return phrase(language, "left.delivered", relay=left.relay, time=shown_time(left.delivered))
    if left.tried:
        return phrase(language, "left.tried", relay=left.relay, time=shown_time(left.tried))
    if left.device != here:
        return phrase(language, "left.unknown")
    if left.leaves is None:
        return phrase(language, "left.waits")
    return phrase(language, "left.waits-till", time=shown_time(left.leaves))


def elsewhere_words(sent: Sequence[Elsewhere], active: Mapping[str, str], language: Language = "en") -> list[str]:
    """What other devices say to have sent, and that those in use (id -> name) are to be asked for more."""
    words = []
    for one in sent:
        run = phrase(language, "left.run", sequence=one.sequence, job=one.job, version=one.version,
                     grant=one.grant[:SHORT])  # fmt: skip
        said = {"time": shown_time(one.time), "provider": one.provider_name, "device": one.device_name}
        words.append(phrase(language, "left.elsewhere", **said))
        bits = phrase(language, "left.bits", bits=figure(one.bits, ".4g"), what=bits_words(one.bits, language))
        words.append(f"  {run}{bits}")
    said_so = {one.device for one in sent}
    for id, name in active.items():
        words.append(phrase(language, "left.ask-there" if id in said_so else "left.elsewhere-no", name=name))
    return words


def spent_words(spent: Sequence[Mapping[str, Any]], language: Language = "en") -> list[str]:
    """What each provider was told in all, one line each; of several keys of one provider by what it is called now."""
    lines = {
        tuple(one["accounts"]) or one["provider"]:
        phrase(language, "left.spent", provider=one["name"], bits=figure(one["bits"]),
               what=bits_words(one["bits"], language), ceiling=figure(one["ceiling"]))
        for one in spent
    }  # fmt: skip
    return list(lines.values())


def result_words(text: str, language: Language = "en") -> list[str]:
    """A result's canonical JSON text as "name: value" lines, the names of what is inside joined by dots."""
    return _lines("", json.loads(text), language)


def _lines(name: str, value: Any, language: Language) -> list[str]:
    if isinstance(value, dict):
        inside = ((f"{name}.{key}" if name else key, inner) for key, inner in value.items())
        return [line for key, inner in inside for line in _lines(key, inner, language)]
    if value is None or isinstance(value, bool):
        said = phrase(language, f"value.{json.dumps(value)}")
    else:
        said = value if isinstance(value, str) else json.dumps(value)
    return [phrase(language, "type.line", name=name, what=said) if name else said]


def doctor_words(found: Mapping[str, Any], language: Language) -> list[str]:
    """Which walls stand around a job, each with what it does; `found` is what the verb answers."""
    standing, missing = ("component", *found["walls"]), found["missing"]
    words = [phrase(language, "doctor.stands", what=phrase(language, f"wall.{wall}")) for wall in standing]
    words += [phrase(language, "doctor.missing", what=phrase(language, f"wall.{wall}")) for wall in missing]
    if found["refuses"]:
        words.append(phrase(language, "doctor.refuses", walls=", ".join(found["refuses"])))
    return [*words, phrase(language, "doctor.runtime", hash=found["runtime"])]
