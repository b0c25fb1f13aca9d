"""What the screen before granting adds: what the person gives, and the grants of the job that stand."""

from datetime import UTC, date, datetime

import chez
from chez_sandbox.consent.allowance import set_ceiling
from chez_sandbox.consent.grants import list_grants, revoke_grant
from chez_sandbox.consent.holdings import holders
from chez_sandbox.consent.narrowing import WHOLE
from chez_sandbox.consent.params import OfGrant
from chez_sandbox.consent.screen import Choice, chosen_words, standing_words, together_words
from tests.jobs.samples import SIGNING
from tests.jobs.test_grants import TODAY, bundle, grant
from tests.jobs.test_identity import NEXT, STRANGER, of
from tests.privacy.samples import noised

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


async def test_what_stands_is_of_the_same_provider_and_job(home: chez.Home) -> None:
    """A grant stands for the job's later versions, under a key that the old one signed too; not once it is over."""
    first = await grant(home, of(SIGNING))
    grants = await list_grants(home)
    for job in (of(SIGNING, version=2), of(NEXT, SIGNING, version=2)):
        (line,) = standing_words(grants, job, TODAY, "en")
        assert line.startswith("  Already ") and first.grant.id[:8] in line and first.grant.until in line
    for job in (of(STRANGER, domain="other.net"), bundle(job="another-job")):
        assert standing_words(grants, job, TODAY, "en") == []
    assert standing_words(grants, of(SIGNING), date(2027, 1, 1), "en") == []
    await revoke_grant(home, first.grant.id)
    assert standing_words(await list_grants(home), of(SIGNING), TODAY, "en") == []


async def test_all_runs_of_a_provider_are_said_whoever_signs_next(home: chez.Home) -> None:
    """The screen says how often all jobs of a provider may run: what the person set, also under its next key."""
    await grant(home, of(SIGNING))
    await set_ceiling(home, f"runs:provider:{SIGNING.public.hex()}", 3)
    grants, devices = await list_grants(home), await holders(home)
    (line,) = together_words(grants, of(NEXT, SIGNING, version=2), devices, "en")
    assert line == "  Together all jobs of this provider, over all your devices: at most 3 runs, ever"
    (line,) = together_words(grants, of(STRANGER, domain="other.net"), devices, "fr")
    assert line.startswith("  Ensemble ") and "au plus 400 exécutions" in line


def test_what_is_given_is_said_with_epsilon_where_there_is_noise() -> None:
    """Days, runs and bits as chosen, or all that is asked for; epsilon only where something is noised."""
    job = noised()
    asked = OfGrant(bundle=b"", days=3, runs=2, bits=25.5, epsilon=0.7)
    words = chosen_words(Choice(job, asked, WHOLE), bytes(32), NOW, TODAY)
    assert words[:2] == [
        "  You give until 2026-11-27: at most 2 runs, 25.5 bits in all",
        "           for what is noised, epsilon 0.7 in all",
    ]
    budget = job.manifest.budget
    words = chosen_words(Choice(job, OfGrant(bundle=b""), WHOLE), bytes(32), NOW, TODAY)
    assert f"{budget.runs} runs, {budget.bits:g} bits" in words[0] and f"epsilon {budget.epsilon:g}" in words[1]
    plain = chosen_words(Choice(bundle(), OfGrant(bundle=b""), WHOLE), bytes(32), NOW, TODAY)
    assert not any("epsilon" in line for line in plain)
