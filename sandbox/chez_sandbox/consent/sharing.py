"""`chez job allowance`: which device holds what of each account, and moving it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from msgspec import Meta

from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez.errors import InvalidValue, NotFound
from chez_sandbox.consent.accounts import Ceilings, charges_of, check_shared, runs_charges
from chez_sandbox.consent.allowance import ask_share, give_share, say_holding, set_ceiling, take_shares
from chez_sandbox.consent.catalogue import Language, again, phrase, refused
from chez_sandbox.consent.escrow import Transfer, shown, thousandths, unit_of
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import list_grants, load_grant
from chez_sandbox.consent.holdings import Holder, ceiling_said, holders
from chez_sandbox.consent.identity import identify
from chez_sandbox.consent.noising import epsilon_charges
from chez_sandbox.consent.params import Params, read_params
from chez_sandbox.consent.reclaiming import find_lost, reclaim_share

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("VERBS",)

YES: Final = frozenset({"y", "yes", "o", "oui"})
Account = Annotated[str, Meta(min_length=1, max_length=300)]
More = Annotated[float, Meta(gt=0, lt=10**9)]


class _Gift(Params, frozen=True, kw_only=True):
    """What to give to which device; without an account, what it asks for."""

    device: Annotated[str, Meta(min_length=1, max_length=128)]
    account: Account | None = None
    amount: More | None = None


class _Lost(Params, frozen=True, kw_only=True):
    """A device that was removed."""

    device: Annotated[str, Meta(min_length=1, max_length=128)]


class _Limit(Params, frozen=True, kw_only=True):
    """The most runs of a provider, over all devices."""

    account: Account
    runs: Annotated[int, Meta(ge=0, le=10**6)]


class _Ask(Params, frozen=True, kw_only=True):
    """What to ask for: so much of an account, or what the runs of a grant take."""

    what: Account
    amount: More | None = None
    runs: Annotated[int, Meta(ge=1, le=10**6)] = 1


async def job_allowance(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What each device holds of each account, and asks for; shares that wait for this one are counted first."""
    language = read_params(params, Params).language
    taken = await take_shares(home)
    await say_holding(home)
    devices, grants = await holders(home), await list_grants(home)
    accounts = _accounts(devices, grants)
    names = _names(grants)
    return {
        "taken": [{"from": one.giver.hex(), "account": one.account, "amount": one.amount / 1000} for one in taken],
        "devices": [_device(one) for one in devices],
        "accounts": [_account(account, devices, names) for account in accounts],
        "words": [
            *(phrase(language, "allowance.came", **_share(one, language)) for one in taken),
            *(line for account in accounts for line in _account_words(account, devices, names, language)),
            *(line for one in devices if one.active and not one.own for line in _ask_words(one, language)),
        ]
        or [phrase(language, "allowance.nothing")],
    }


async def job_allowance_give(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Give a part of what this device holds to another one: what is said, or what that one asks for."""
    asked = read_params(params, _Gift)
    language = asked.language
    await take_shares(home)
    try:
        info = await home.devices.find(asked.device)
    except NotFound:
        raise refused(NotFound, "no-device", name=asked.device) from None
    devices = await holders(home)
    if (asked.account is None) != (asked.amount is None):
        raise refused(InvalidValue, "half")
    if asked.account is None or asked.amount is None:
        amounts = dict(next(one.asks for one in devices if one.id == info.id))
        if not amounts:
            raise refused(NotFound, "asks-nothing", name=info.name)
        question = phrase(language, "give.ask", listed=_listed(amounts, language), name=info.name)
        if (await ui.ask(question, default="n")).strip().lower() not in YES:
            return {"given": [], "words": [phrase(language, "give.not")]}
    else:
        amounts = {_named(asked.account, _accounts(devices, await list_grants(home))): thousandths(asked.amount)}
    made = await give_share(home, asked.device, amounts)
    words = [phrase(language, "give.given", name=info.name, **_share(one, language)) for one in made]
    return {
        "given": [{"account": one.account, "amount": one.amount / 1000, "to": info.name} for one in made],
        "words": [*words, phrase(language, "give.counts")],
    }


async def job_allowance_ask(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Say to the other devices what this one lacks; whoever sits at one gives it, or not."""
    asked = read_params(params, _Ask)
    if asked.amount is None:
        granted = await load_grant(home, asked.what)
        # What a run debits stands in the receipt of its grant, whatever became of the records since.
        receipts = await home.journal.receipts("grant", grant=granted.grant.id)
        providers = receipts[0].body["accounts"] if receipts else _providers(granted, await list_grants(home))
        amounts = _needed(granted, providers, asked.runs)
    else:
        accounts = _accounts(await holders(home), await list_grants(home))
        amounts = {_named(asked.what, accounts): thousandths(asked.amount)}
    await ask_share(home, amounts, now=datetime.now(UTC).isoformat(timespec="seconds"))
    own = next(one.name for one in await holders(home) if one.own)
    words = [
        phrase(asked.language, "ask.asked", wanted=_listed(amounts, asked.language)),
        phrase(asked.language, "ask.there", device=repr(own)),
    ]
    said = {account: amount / 1000 for account, amount in amounts.items()}
    return {"asked": said, "device": own, "words": words}


async def job_allowance_reclaim(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Take over, by the person's word, what a removed device held."""
    asked = read_params(params, _Lost)
    lost = await find_lost(home, asked.device)
    language = asked.language
    for question in ("reclaim.ask", *(["reclaim.ask-first"] if lost.first and not lost.said else [])):
        if (await ui.ask(phrase(language, question, name=lost.name), default="n")).strip().lower() not in YES:
            return {"reclaimed": None, "words": [phrase(language, "reclaim.not")]}
    taken = await reclaim_share(home, lost)
    words = [
        phrase(language, "reclaim.taken", name=lost.name, amount=_shown(amount, account, language), account=account)
        for account, amount in taken.amounts.items()
    ]
    words += [phrase(language, "reclaim.rest")] if taken.rest else []
    amounts = {account: amount / 1000 for account, amount in taken.amounts.items()}
    said = words or [phrase(language, "reclaim.empty")]
    return {"reclaimed": amounts, "device": lost.name, "rest": taken.rest, "words": said}


async def job_allowance_ceiling(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Set how often a provider's jobs may run, over all devices; more than before takes a yes."""
    asked = read_params(params, _Limit)
    devices, language = await holders(home), asked.language
    account = _named(asked.account, _accounts(devices, await list_grants(home)))
    ceiling, before = thousandths(asked.runs), ceiling_said(devices, account, Ceilings().of(account))
    said = {
        "account": account,
        "ceiling": _shown(ceiling, account, language),
        "before": _shown(before, account, language),
    }
    if ceiling > before:
        question = phrase(language, "allowance.raise", **said)
        if (await ui.ask(question, default="n")).strip().lower() not in YES:
            return {"account": account, "ceiling": None, "words": [phrase(language, "allowance.not-set")]}
    await set_ceiling(home, account, asked.runs)
    return {"account": account, "ceiling": asked.runs, "words": [phrase(language, "allowance.is-set", **said)]}


def _providers(granted: Granted, grants: Iterable[Granted]) -> Sequence[str]:
    """Whose accounts a grant of another device is debited from, by the records that there are."""
    before = [one for one in grants if one.grant.granted <= granted.grant.granted]
    return identify(granted.bundle, before).accounts


def _needed(granted: Granted, providers: Sequence[str], runs: int) -> dict[str, int]:
    grant, manifest = granted.grant, granted.bundle.manifest
    charges = charges_of(grant.id, manifest, amount=manifest.schema.bits, granted=grant.bits,
                         ceilings=Ceilings(), providers=providers)  # fmt: skip
    charges += runs_charges(manifest, Ceilings(), providers)
    charges += tuple(epsilon_charges(grant, manifest.measurements, Ceilings(), providers))
    return {one.account: one.amount * runs for one in charges if not one.own}


def _accounts(devices: Iterable[Holder], grants: Sequence[Granted]) -> list[str]:
    """The accounts that devices share and that there is something to say of."""
    said = {name for one in devices for name in (*one.left, *one.spent, *one.asks)}
    return sorted(said | {name for granted in grants for name in _needed(granted, _providers(granted, grants), 1)})


def _named(text: str, accounts: Sequence[str]) -> str:
    """The account that a text names, whole or by a unique beginning. Raises `InvalidValue`, `NotFound`."""
    if text in accounts:
        return text
    found = [name for name in accounts if name.startswith(text)]
    if len(found) > 1:
        raise refused(InvalidValue, "accounts", account=text, count=len(found))
    if not found:
        check_shared(text)
        raise refused(NotFound, "no-account", account=text)
    return found[0]


def _names(grants: Iterable[Granted]) -> dict[str, str]:
    """Providers' names by their keys."""
    return {one.grant.provider: one.bundle.manifest.provider.name for one in grants}


def _device(one: Holder) -> dict[str, Any]:
    asks = {account: amount / 1000 for account, amount in one.asks.items()}
    return {"device": one.id.hex(), "name": one.name, "own": one.own, "active": one.active, "said": one.said,
            "first": one.first, "asks": asks}  # fmt: skip


def _account(account: str, devices: Iterable[Holder], names: Mapping[str, str]) -> dict[str, Any]:
    devices = list(devices)
    ceiling = ceiling_said(devices, account, Ceilings().of(account))
    held = [
        {
            "device": one.id.hex(),
            "left": one.left_of(account, ceiling) / 1000,
            "spent": one.spent.get(account, 0) / 1000,
        }
        for one in devices
    ]
    return {"account": account, "unit": unit_of(account), "ceiling": ceiling / 1000, "of": _whose(account, names),
            "held": held}  # fmt: skip


def _whose(account: str, names: Mapping[str, str]) -> str | None:
    return names.get(account.rpartition(":")[2])


def _shown(amount: int, account: str, language: Language) -> str:
    return again(shown(amount, account), language)


def _listed(amounts: Mapping[str, int], language: Language) -> str:
    return ", ".join(
        phrase(language, "allowance.amount", amount=_shown(amount, account, language), account=account)
        for account, amount in amounts.items()
    )


def _share(one: Transfer, language: Language) -> dict[str, str]:
    return {"amount": _shown(one.amount, one.account, language), "account": one.account}


def _account_words(
    account: str, devices: Sequence[Holder], names: Mapping[str, str], language: Language
) -> list[str]:
    ceiling, whose = ceiling_said(devices, account, Ceilings().of(account)), _whose(account, names)
    said = {"account": account, "ceiling": _shown(ceiling, account, language), "whose": whose}
    lines = [phrase(language, "allowance.account-of" if whose else "allowance.account", **said)]
    for one in devices:
        left, spent = one.left_of(account, ceiling), one.spent.get(account, 0)
        if not left and not spent and not one.own:
            continue
        notes = [phrase(language, f"allowance.{note}") for note, holds in (
            ("own", one.own), ("removed", not one.active), ("unsaid", not one.said),
        ) if holds]  # fmt: skip
        held = phrase(language, "allowance.device-so" if notes else "allowance.device", name=one.name,
                      notes="; ".join(notes), left=_shown(left, account, language),
                      spent=_shown(spent, account, language))  # fmt: skip
        lines.append(f"  {held}")
    if unit_of(account) == "runs":
        lines.append(f"  {phrase(language, 'allowance.set', account=account)}")
    return lines


def _ask_words(one: Holder, language: Language) -> list[str]:
    if not one.asks:
        return []
    wanted = _listed(one.asks, language)
    return [phrase(language, "allowance.asks", name=one.name, device=repr(one.name), wanted=wanted)]


VERBS: Final[Mapping[str, Verb]] = {
    "job-allowance": job_allowance,
    "job-allowance-ask": job_allowance_ask,
    "job-allowance-ceiling": job_allowance_ceiling,
    "job-allowance-give": job_allowance_give,
    "job-allowance-reclaim": job_allowance_reclaim,
}
