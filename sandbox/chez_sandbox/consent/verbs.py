"""What the owner of a home does for `chez job`: one small function per verb.

The bundle comes as bytes (the caller reads the file, with the caller's rights).
"""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez.errors import ChezError, NotAllowed
from chez.tasks import stop
from chez_sandbox.bundle import Bundle, open_bundle
from chez_sandbox.consent.at_work import going_on, runtime_of, scheduler, time_of
from chez_sandbox.consent.catalogue import Language, again, phrase, refused, say_again
from chez_sandbox.consent.delivery import Delivery, deliver
from chez_sandbox.consent.departures import departures
from chez_sandbox.consent.diary import SENTENCES
from chez_sandbox.consent.difference import news_words
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.export import export_consents
from chez_sandbox.consent.grant import require_fitting
from chez_sandbox.consent.grants import grant_job, list_grants, load_grant, revoke_grant
from chez_sandbox.consent.holdings import holders
from chez_sandbox.consent.identity import receipted
from chez_sandbox.consent.inspect import describe, headed, plain_words
from chez_sandbox.consent.narrowing import Narrowing, read_narrowing
from chez_sandbox.consent.overview import all_grants, listed, told_in_all
from chez_sandbox.consent.params import OfBundle, OfGrant, OfId, OfNarrowed, OfReplay, OfRun, Params, read_params
from chez_sandbox.consent.pausing import pause_grant, resume_grant
from chez_sandbox.consent.pending import VERBS as OF_PENDING
from chez_sandbox.consent.pending import previewed
from chez_sandbox.consent.refusals import refuse_job
from chez_sandbox.consent.replaying import replay, replay_words
from chez_sandbox.consent.run import Departure, GrantedRun, authorise, settle_all, withdraw, withdraw_revoked
from chez_sandbox.consent.scheduler import turn_to_run
from chez_sandbox.consent.scope import granted_tables
from chez_sandbox.consent.screen import Choice, chosen_words, standing_words, together_words
from chez_sandbox.consent.sender import sender
from chez_sandbox.consent.sent import say_sent, sent_elsewhere
from chez_sandbox.consent.sharing import VERBS as OF_ALLOWANCE
from chez_sandbox.consent.stopping import unless_revoked
from chez_sandbox.consent.told import elsewhere_words, example_words, grant_words, left_words, spent_words
from chez_sandbox.errors import SandboxError
from chez_sandbox.job_errors import GrantEnded, GrantInvalid
from chez_sandbox.offers.acknowledged import with_received
from chez_sandbox.offers.following import beside_catalogues, catalogues, updates
from chez_sandbox.offers.verbs import VERBS as OF_CATALOGUES
from chez_sandbox.offers.verbs import update_words, warning_words
from chez_sandbox.runtime.host import Runtime, doctor
from chez_sandbox.runtime.walls import ALL, REQUIRED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from chez.home.home import Home

__all__ = ("SENTENCES", "VERBS", "at_work")

P = TypeVar("P", bound=msgspec.Struct)
YES: Final = frozenset({"y", "yes", "o", "oui"})


@asynccontextmanager
async def _runtime(home: "Home", ui: Ui, language: Language) -> "AsyncIterator[Runtime]":
    """The home's one sandbox: made for its first job, ended when the home closes."""
    runtime = await runtime_of(home)
    if not await runtime.is_compiled():
        await ui.say(phrase(language, "say.preparing"))
    yield runtime


async def job_inspect(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Verify a bundle and describe it; nothing runs."""
    asked = read_params(params, OfBundle)
    return _described(open_bundle(asked.bundle), asked.language)


def _described(bundle: Bundle, language: Language) -> dict[str, Any]:
    shown = describe(bundle, language)
    return {**shown, "words": plain_words(shown, language)}


async def job_dry_run(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Run a job on the person's data and show what would leave. Nothing leaves, nothing is spent."""
    asked = read_params(params, OfNarrowed)
    bundle = open_bundle(asked.bundle)
    return await _tried(home, bundle, read_narrowing(bundle.manifest, asked.drop, asked.windows), ui, asked.language)


async def _example(
    home: "Home", bundle: Bundle, narrowing: Narrowing, ui: Ui, language: Language
) -> dict[str, Any]:
    """A dry run for the screen before granting; what keeps it from running now is said there, and keeps no grant."""
    try:
        return await _tried(home, bundle, narrowing, ui, language)
    except (ChezError, SandboxError) as error:
        say_again(error, language)
        return {"result": None, "problem": error.message}


async def _tried(home: "Home", bundle: Bundle, narrowing: Narrowing, ui: Ui, language: Language) -> dict[str, Any]:
    today = date.today()
    tables = await granted_tables(home, bundle.manifest, today, narrowing)
    label = phrase(language, "say.dry-run")
    async with _runtime(home, ui, language) as runtime, _progress(ui, label) as progress:
        execution = await execute(runtime, bundle, tables, bundle.hash, today.isoformat(), progress)
    shown = {**previewed(bundle, execution, language), "made_up": True}
    return {**shown, "rows": {table.name: len(table.rows) for table in tables}}


async def job_grant(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Show a job, ask, and record the person's consent, or that they said no."""
    asked = read_params(params, OfGrant)
    bundle = open_bundle(asked.bundle)
    narrowing = read_narrowing(bundle.manifest, asked.drop, asked.windows)
    require_fitting(bundle, asked.runs, asked.bits, asked.epsilon, asked.review, asked.hold_hours)
    seed, today = secrets.token_bytes(32), date.today()  # what is shown holds, however late the answer comes
    described = _described(bundle, asked.language)
    described["words"] += chosen_words(Choice(bundle, asked, narrowing), seed, datetime.now(UTC), today)
    grants = await list_grants(home)
    described["words"] += together_words(grants, bundle, await holders(home), asked.language)
    described["words"] += standing_words(grants, bundle, today, asked.language)
    described["words"] += news_words(grants, bundle, asked.language, await home.transaction(receipted))
    if said := beside_catalogues(await catalogues(home), bundle, asked.language):
        described["words"] += headed(phrase(asked.language, "head.offered"), [said])
    if asked.example:
        described["example"] = await _example(home, bundle, narrowing, ui, asked.language)
        described["words"] += example_words(described["example"], asked.language)
    await ui.show({"job": described})
    if (await ui.ask(phrase(asked.language, "ask.grant"), default="n")).strip().lower() not in YES:
        await refuse_job(home, bundle)
        return {"grant": None}
    granted = await grant_job(
        home,
        bundle,
        id=secrets.token_bytes(16),
        seed=seed,
        now=_now(),
        until=today + timedelta(days=asked.days),
        runs=asked.runs,
        bits=asked.bits,
        epsilon=asked.epsilon,
        review=asked.review,
        slots=asked.slots,
        hold_hours=asked.hold_hours,
        narrowing=narrowing,
    )
    return listed(granted, 0, 0.0)


async def job_run(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Run a granted job, show what would leave, ask, and let it leave (or "none")."""
    asked = read_params(params, OfRun)
    granted = await load_grant(home, asked.grant)
    if not asked.answers and granted.grant.review == "show-me-first":
        raise refused(NotAllowed, "unseen")
    turn = await turn_to_run(home, granted, datetime.now())
    try:
        async with _runtime(home, ui, asked.language) as runtime, authorise(home, asked.grant, turn) as run:
            answer = await run.answered()
            departure = answer or await _run(run, runtime, ui, asked.language)
    finally:
        # Also when the person went away: the message of an interrupted run is due.
        delivery = await _deliver(home)
    return {**_departed(departure), "again": answer is not None, "delivery": _told(delivery)}


async def _run(run: GrantedRun, runtime: Runtime, ui: Ui, language: Language) -> Departure:
    """Run, show what would leave, and let it leave, or "none"."""
    async with _progress(ui, phrase(language, "say.run")) as progress:
        execution = await unless_revoked(run.home, run.granted.grant.id, lambda: run.execute(runtime, progress))
    if execution is None:
        raise refused(GrantEnded, "revoked-meanwhile")
    await ui.show({"preview": previewed(run.granted.bundle, execution, language)})
    return await _review(run, execution, ui, language)


async def _review(run: GrantedRun, execution: Execution, ui: Ui, language: Language) -> Departure:
    """The person's word, where it is asked for; a failed run needs none, there is nothing to release."""
    if execution.admitted is None or run.granted.grant.review != "show-me-first":
        return await run.release(execution)
    result, provider = execution.admitted.encoded.decode(), run.granted.bundle.manifest.provider.name
    question = phrase(language, "ask.release", result=result, provider=provider)
    if (await ui.ask(question, default="n")).strip().lower() in YES:
        return await run.release(execution)
    return await run.decline()


def _departed(departure: Departure) -> dict[str, Any]:
    return {
        "grant": departure.grant,
        "sequence": departure.sequence,
        "outcome": departure.outcome,
        "result": None if departure.result is None else departure.result.decode(),
        "message": departure.message.hex(),
    }


def _told(delivery: Delivery) -> dict[str, Any]:
    return {
        "sent": delivery.sent,
        "waiting": delivery.waiting,
        "problem": delivery.problem,
        "held": delivery.held,
        "next": None if delivery.next is None else delivery.next.isoformat(timespec="seconds"),
    }


async def job_send(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Send the messages whose time has come."""
    read_params(params, Params)
    return _told(await _deliver(home))


async def _deliver(home: "Home") -> Delivery:
    """Send what is due, the "none" of runs that a killed process left behind included, and the rest at its time."""
    now = await time_of(home)
    try:
        told = await _send_due(home)
    finally:  # also where that failed: it tries again
        later = await home.shared("sender", lambda: sender(partial(_send_due, home), now, partial(going_on, home)))
    later.nudge(told)
    return told


async def _send_due(home: "Home") -> Delivery:
    await settle_all(home, date.today())
    told = await deliver(home, await (await time_of(home)).told())
    await say_sent(home)  # an entry at the relay tells it no more than the message just did
    return told


@asynccontextmanager
async def at_work(home: "Home") -> "AsyncIterator[None]":
    """What goes on by itself for jobs while a home is served: messages leave at their times, and due jobs run."""
    with going_on(home):
        await _deliver(home)
    async with scheduler(home, lambda: runtime_of(home), lambda: _deliver(home)):
        yield


async def job_grants(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Every grant there ever was, damaged ones included, with its state today; and the words for it."""
    language = read_params(params, Params).language
    grants = await all_grants(home, date.today(), language)
    known = await catalogues(home)
    newer = updates(known, await list_grants(home), language)
    words = [line for one in grants for line in grant_words(one, datetime.now(UTC), language)]
    words = [*(words or [phrase(language, "grants.none")]), *update_words(newer, language)]
    words += warning_words(known, language)
    return {"grants": grants, "updates": newer, "words": words}


async def job_left(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """All that ever left by this home, with the exact bytes (hexadecimal); what others say to have sent; the words."""
    language = read_params(params, Params).language
    lefts = await with_received(home, await departures(home))
    rows = [{**asdict(left), "message": left.message.hex(), "sha256": left.sha256} for left in lefts]
    spent = await told_in_all(home, lefts)
    words = [*left_words(lefts, home.device_id.hex(), datetime.now(UTC), language), *spent_words(spent, language)]
    others = await sent_elsewhere(home, {(one.device, one.grant, one.sequence) for one in lefts})
    active = {info.id.hex(): info.name for info in await home.devices.all() if info.active and not info.own}
    words += elsewhere_words(others, active, language)
    return {"left": rows, "spent": spent, "elsewhere": [msgspec.structs.asdict(one) for one in others], "words": words}


async def job_export_consents(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Grants, refusals and departures as one signed JSON-LD document."""
    read_params(params, Params)
    return await export_consents(home, _now(), date.today())


async def job_withdraw(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Have the results of a grant that are still here leave as "none", at their time."""
    made = await withdraw(home, read_params(params, OfId).grant)
    return {"grant": made[0].grant, "withdrawn": [one.sequence for one in made]}


async def job_revoke(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """End a grant for good; a run in progress, and a result that is still here, then leave "none"."""
    try:
        grant = await revoke_grant(home, read_params(params, OfId).grant)
    except GrantInvalid:  # it is revoked all the same
        await withdraw_revoked(home)
        raise
    await withdraw_revoked(home)
    return {"grant": grant.id, "job": grant.job, "revoked": True}


async def job_pause(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Let a grant run nothing until it is resumed."""
    grant = await pause_grant(home, read_params(params, OfId).grant, pause=secrets.token_bytes(16), now=_now())
    return {"grant": grant.id, "job": grant.job, "paused": True, **await _stands(home, grant.id)}


async def job_resume(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Let a paused grant run again, on the device that runs it."""
    grant = await resume_grant(home, read_params(params, OfId).grant, now=_now())
    return {"grant": grant.id, "job": grant.job, "paused": False, **await _stands(home, grant.id)}


async def _stands(home: "Home", id: str) -> dict[str, str]:
    """What a grant is worth now: one that is over is neither paused nor resumed by what is said of its pauses."""
    granted, done = await load_grant(home, id), len(await home.journal.receipts("run", grant=id))
    return {"state": granted.state(home.device_id, date.today(), done), "until": granted.grant.until}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


async def job_show_grant(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """What a grant was given for, as it was shown."""
    asked = read_params(params, OfId)
    granted = await load_grant(home, asked.grant)
    return {**_described(granted.bundle, asked.language), "grant": granted.grant.id, "revoked": granted.revoked}


async def job_replay(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Run a receipted run again and compare. Nothing leaves, nothing is debited."""
    asked = read_params(params, OfReplay)
    label = phrase(asked.language, "say.replay")
    async with _runtime(home, ui, asked.language) as runtime, _progress(ui, label) as progress:
        found = await replay(home, runtime, asked.grant, asked.sequence, progress)
    plain = replace(found, problem=again(found.problem, asked.language))
    return {**asdict(plain), "words": replay_words(found, asked.language)}


async def job_doctor(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """Which walls stand around a job on this machine."""
    language = read_params(params, Params).language
    async with _runtime(home, ui, language) as runtime:
        standing = await doctor(runtime)
        missing = [wall for wall in ALL if wall not in standing]
        hash = await runtime.runtime_hash()
    refuses = sorted(REQUIRED.intersection(missing))
    return {"walls": list(standing), "missing": missing, "refuses": refuses, "runtime": hash}


@asynccontextmanager
async def _progress(ui: Ui, label: str) -> "AsyncIterator[Callable[[int, int], None]]":
    """A plain callback whose news reaches the person while the run goes on."""
    latest = (0, 0)
    news = asyncio.Event()

    def note(done: int, total: int) -> None:
        nonlocal latest
        latest = (done, total)
        news.set()

    async def pump() -> None:
        while True:
            await news.wait()
            news.clear()
            await ui.progress(*latest, label)

    task = asyncio.create_task(pump())
    try:
        yield note
        if news.is_set():  # the last rows and the result may have come in one piece
            await ui.progress(*latest, label)
    finally:
        await stop(task)


def _spoken(verb: Verb) -> Verb:
    """A verb that refuses in the language that it is asked in."""

    @wraps(verb)
    async def spoken(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
        try:
            return await verb(home, params, ui)
        except (ChezError, SandboxError) as error:
            if params.get("language") == "fr":
                say_again(error, "fr")
            raise

    return spoken


_VERBS: Final[Mapping[str, Verb]] = {
    **OF_ALLOWANCE,
    **OF_CATALOGUES,
    **OF_PENDING,
    "job-doctor": job_doctor,
    "job-dry-run": job_dry_run,
    "job-export-consents": job_export_consents,
    "job-grant": job_grant,
    "job-grants": job_grants,
    "job-inspect": job_inspect,
    "job-left": job_left,
    "job-pause": job_pause,
    "job-replay": job_replay,
    "job-resume": job_resume,
    "job-revoke": job_revoke,
    "job-run": job_run,
    "job-send": job_send,
    "job-show-grant": job_show_grant,
    "job-withdraw": job_withdraw,
}

VERBS: Final[Mapping[str, Verb]] = {name: _spoken(verb) for name, verb in _VERBS.items()}
"""Found by the owner of a home through the entry point group `chez.verbs`."""
