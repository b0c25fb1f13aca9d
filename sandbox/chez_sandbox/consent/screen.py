"""What the screen before granting adds to a job's own description: what the person chose, and what stands already."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.accounts import Ceilings, provider_account
from chez_sandbox.consent.catalogue import Language, again, figure, phrase
from chez_sandbox.consent.escrow import RUNS, shown
from chez_sandbox.consent.execution import longest_of
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.holdings import Holder, ceiling_said
from chez_sandbox.consent.identity import identify
from chez_sandbox.consent.inspect import headed
from chez_sandbox.consent.narrowing import Narrowing, narrowed_words
from chez_sandbox.consent.slots import make_plan
from chez_sandbox.consent.told import SHORT, leaving_example, leaving_words

if TYPE_CHECKING:
    from chez_sandbox.consent.params import OfGrant

__all__ = ("Choice", "chosen_words", "standing_words", "together_words")


class Choice(msgspec.Struct, frozen=True):
    """What a person is about to grant: the job, and what they ask for of it."""

    bundle: Bundle
    asked: "OfGrant"
    narrowing: Narrowing


def chosen_words(choice: Choice, seed: bytes, now: datetime, today: date) -> list[str]:
    """How long, how often and how much; how and when results leave; what the person takes away.

    `seed` is the grant's to be, from which its slots follow.
    """
    asked, manifest, language = choice.asked, choice.bundle.manifest, choice.asked.language
    runs = manifest.budget.runs if asked.runs is None else asked.runs
    bits = manifest.budget.bits if asked.bits is None else asked.bits
    given = [phrase(language, "given", until=today + timedelta(days=asked.days), runs=runs, bits=figure(bits))]
    if manifest.measurements:
        epsilon = manifest.budget.epsilon if asked.epsilon is None else asked.epsilon
        given.append(phrase(language, "given.epsilon", epsilon=figure(epsilon or 0)))
    seen = asked.review == "show-me-first"
    plan = make_plan(
        asked.slots, seed, seconds=longest_of(manifest), asked=seen, hold_hours=asked.hold_hours
    )
    sent = leaving_words(asked.review, asked.slots, asked.hold_hours, plan, now, language)
    return [
        *headed(phrase(language, "head.given"), given),
        *headed(phrase(language, "head.sent"), [*sent, *leaving_example(plan, now, language)]),
        *headed(phrase(language, "head.less"), narrowed_words(manifest, choice.narrowing, language)),
    ]


def standing_words(grants: Iterable[Granted], bundle: Bundle, today: date, language: Language) -> list[str]:
    """The grants of this very job that stand already: another one beside them is more than the person may mean."""
    grants, job = list(grants), bundle.manifest.id
    # A provider whose old key signed this one is the same.
    keys = identify(bundle, grants).keys
    standing = [
        phrase(language, "standing", grant=one.grant.id[:SHORT], version=one.grant.job_version, until=one.grant.until)
        for one in grants
        if one.grant.provider in keys
        and one.grant.job == job
        and not one.revoked
        and one.grant.until >= today.isoformat()
    ]
    return headed(phrase(language, "head.already"), standing)


def together_words(
    grants: Iterable[Granted], bundle: Bundle, devices: Sequence[Holder], language: Language
) -> list[str]:
    """How often all jobs of this provider may run in all, however often this one may."""
    accounts = [RUNS + provider_account(key) for key in identify(bundle, grants).accounts]
    ceiling, account = min((ceiling_said(devices, name, Ceilings().of(name)), name) for name in accounts)
    words = phrase(language, "given.together", runs=again(shown(ceiling, account), language))
    return headed(phrase(language, "head.together"), [words])
