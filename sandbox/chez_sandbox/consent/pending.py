"""What waits for the person before it runs, and how a result is shown before it leaves."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from chez.agent.ui import Ui
from chez.agent.verbs import Verb
from chez_sandbox.bundle import Bundle
from chez_sandbox.consent.at_work import standing_of
from chez_sandbox.consent.catalogue import Language, again
from chez_sandbox.consent.execution import Execution
from chez_sandbox.consent.grant import Granted
from chez_sandbox.consent.grants import list_grants
from chez_sandbox.consent.params import Params, read_params
from chez_sandbox.consent.scheduler import waiting_turns
from chez_sandbox.release.release import message_size

if TYPE_CHECKING:
    from chez.home.home import Home

__all__ = ("VERBS", "job_pending", "previewed")


def previewed(bundle: Bundle, execution: Execution, language: Language) -> dict[str, Any]:
    """What would leave of an execution, and what stays here of it, JSON-able."""
    admitted = execution.admitted
    return {
        "outcome": "none" if admitted is None else "result",
        "result": None if admitted is None else admitted.encoded.decode(),
        "problem": again(execution.problem, language),
        "noised": [one.key for one in bundle.manifest.measurements],
        "made_up": False,
        "bits": round(bundle.manifest.schema.bits, 2),
        "message_bytes": message_size(bundle.manifest.schema),
        "fuel": execution.run.fuel,
        "log": execution.run.log,
        "walls": list(execution.run.walls),
    }


async def job_pending(home: "Home", params: dict[str, Any], ui: Ui) -> Any:
    """The turns that wait for the person, and those that could not be run, each with what is known of it.

    `preview` is what would leave, where that is computed already; `problem` is why a run by itself did not begin.
    """
    language = read_params(params, Params).language
    standing, rows = await standing_of(home), []
    waiting, problems = await waiting_turns(home, datetime.now())
    for granted, turn, windows in waiting:
        known = standing.pending.get(granted.grant.id)
        fresh = known is not None and (known.turn, known.windows) == (turn, windows)
        shown = previewed(granted.bundle, known.execution, language) if known is not None and fresh else None
        preview = None if shown is None else {**shown, "made_up": True}
        rows.append(_row(granted, turn=turn.isoformat(), windows=windows, preview=preview, problem=None))
    for granted in await list_grants(home):
        if (problem := {**problems, **standing.problems}.get(granted.grant.id)) is not None:
            said = again(problem, language)
            rows.append(_row(granted, turn=None, windows=[], preview=None, problem=said))
    return rows


def _row(granted: Granted, **known: Any) -> dict[str, Any]:
    grant, manifest = granted.grant, granted.bundle.manifest
    return {
        "grant": grant.id,
        "job": grant.job,
        "name": manifest.name,
        "provider": manifest.provider.name,
        **known,
    }


VERBS: Final[Mapping[str, Verb]] = {"job-pending": job_pending}
"""Among the verbs of `chez_sandbox.consent.verbs`."""
