"""What the receipts of jobs say, each in one plain sentence (see `chez.agent.diary`)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chez.agent.diary import Names, Sentence
from chez.phrasing import how_many
from chez_sandbox.consent.catalogue import phrase
from chez_sandbox.consent.escrow import shown

__all__ = ("SENTENCES",)

SHORT: Final = 12
"""Characters of a grant's id that are shown to people."""

Body = Mapping[str, Any]


def _grant(body: Body, names: Names) -> str:
    return (f"You granted {body['provider_name']!r} the job {body['job']!r}, version {body['version']}: at most "
            f"{how_many(body['runs'], 'run')} and {body['bits']:g} bits, until {body['until']} "
            f"(grant {body['grant'][:SHORT]}).")


def _run(body: Body, names: Names) -> str:
    rows = sum(body["rows"].values())
    return (f"Run {body['sequence']} of the job {body['job']!r} was given {rows:,} {'row' if rows == 1 else 'rows'}; "
            f"{body['bits']:g} bits were debited, whatever comes of it.")


def _release(body: Body, names: Names) -> str:
    return (f"You released the result of run {body['sequence']} of {body['job']!r} to {body['provider_name']!r}: "
            f"{body['result']}")


def _refusal(body: Body, names: Names) -> str:
    return (f"Run {body['sequence']} of {body['job']!r} tells {body['provider_name']!r} nothing but \"none\": "
            f"{phrase('en', 'none.' + body['reason'])}.")


def _delivered(body: Body, names: Names) -> str:
    return f"The message of run {body['sequence']} by grant {body['grant'][:SHORT]} was delivered to its provider."


def _sending(body: Body, names: Names) -> str:
    run = f"run {body['sequence']} by grant {body['grant'][:SHORT]}"
    return f"The message of {run} begins to be sent: its time has come."


def _revocation(body: Body, names: Names) -> str:
    job = f" of the job {body['job']!r}" if "job" in body else ", whose record was damaged"
    if "from" in body:
        return f"This device found grant {body['grant'][:SHORT]}{job} revoked elsewhere, and keeps to it."
    return f"You revoked grant {body['grant'][:SHORT]}{job}."


def _epsilon(body: Body, names: Names) -> str:
    return (f"Run {body['sequence']} of {body['job']!r} has values that are noised: an epsilon of "
            f"{body['epsilon']:g} was debited.")


def _draw(body: Body, names: Names) -> str:
    return (f"Noise was drawn for {', '.join(sorted(body['numbers']))} of {body['job']!r}, and kept: these values stay "
            "the same for the same days.")


def _drawn_before(body: Body, names: Names) -> str:
    return (f"Run {body['sequence']} of {body['job']!r} drew nothing anew: what was drawn for "
            f"{', '.join(body['keys'])} over the same days stands.")


def _grant_refused(body: Body, names: Names) -> str:
    return f"You refused {body['provider_name']!r} the job {body['job']!r}, version {body['version']}."


def _pause(body: Body, names: Names) -> str:
    if "cause" in body:
        return (f"Grant {body['grant'][:SHORT]} was suspended: grant {body['cause'][:SHORT]} is of another key under "
                "the provider's name, which the key before did not sign.")
    if "from" in body:
        return (f"This device found grant {body['grant'][:SHORT]} of the job {body['job']!r} paused elsewhere, and "
                "keeps to that till you resume it.")
    return f"You paused grant {body['grant'][:SHORT]} of the job {body['job']!r}."


def _resumption(body: Body, names: Names) -> str:
    return f"You let grant {body['grant'][:SHORT]} of the job {body['job']!r} run again."


def _offer_published(body: Body, names: Names) -> str:
    return f"You published the job {body['job']!r}, version {body['version']}, as line {body['number']} of a catalogue."


def _given(body: Body, names: Names) -> str:
    return f"You gave {_share(body)} to {names.device({'device': body['receiver']})}: this one has so much less."


def _received(body: Body, names: Names) -> str:
    return f"This device was given {_share(body)} by {names.device({'device': body['giver']})}."


def _refused(body: Body, names: Names) -> str:
    return (f"A share of {_share(body)}, said to be of {names.device({'device': body['giver']})}, was not counted: "
            f"{body['why']}.")


def _asked(body: Body, names: Names) -> str:
    wanted = ", ".join(f"{shown(amount, account)} of {account}" for account, amount in body["amounts"].items())
    return f"You asked your other devices for {wanted}."


def _reclaimed(body: Body, names: Names) -> str:
    amounts = [f"{shown(amount, account)} of {account}" for account, amount in body["amounts"].items()]
    rest = ["all that it never spent or gave of"] if body["first"] else []
    taken = ", ".join([*amounts, *rest]) or "nothing"
    return f"You took over what {names.device(body)} held: {taken}. What it spends all the same is told besides."


def _ceiling(body: Body, names: Names) -> str:
    most, before = (shown(body[key], body["account"]) for key in ("amount", "before"))
    return f"You let {body['account']} have {most} over all your devices; it had {before}."


def _yielded(body: Body, names: Names) -> str:
    amounts = [f"{shown(amount, account)} of {account}" for account, amount in body["amounts"].items()]
    rest = ["all that it never spent or gave of"] if body["first"] else []
    let = ", ".join([*amounts, *rest]) or "nothing"
    return (f"This device let go of what {names.device(body)} held ({let}): {names.device({'device': body['by']})} "
            "had taken it over as well.")


def _share(body: Body) -> str:
    return f"{shown(body['amount'], body['account'])} of {body['account']}"


SENTENCES: Final[Mapping[str, Sentence]] = MappingProxyType({
    "allowance-asked": _asked, "allowance-ceiling": _ceiling, "allowance-given": _given,
    "allowance-received": _received, "allowance-reclaimed": _reclaimed, "allowance-refused": _refused,
    "allowance-yielded": _yielded,
    "delivered": _delivered, "draw": _draw, "drawn-before": _drawn_before, "epsilon": _epsilon, "grant": _grant,
    "grant-refused": _grant_refused,
    "offer-published": _offer_published, "pause": _pause, "refusal": _refusal, "release": _release,
    "resumption": _resumption, "revocation": _revocation, "run": _run, "sending": _sending,
})
"""The sentence of each kind of receipt that jobs write."""
