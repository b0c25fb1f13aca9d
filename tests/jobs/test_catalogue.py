"""What a person is told of jobs, in two languages: every sentence exists in both, with the same values."""

import ast
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from string import Formatter
from typing import Any, get_args

import pytest

import chez
from chez.cli.language import language_of
from chez.errors import ChezError, InvalidValue
from chez_sandbox import errors, job_errors
from chez_sandbox.consent import catalogue, verbs
from chez_sandbox.consent.bits import bits_words
from chez_sandbox.consent.catalogue import PHRASES, Phrase, again, say_again
from chez_sandbox.consent.escrow import Charge, Purse, spend
from chez_sandbox.consent.grant import Review, State
from chez_sandbox.consent.inspect import describe, plain_words
from chez_sandbox.consent.params import OfGrant, OfId, read_params
from chez_sandbox.consent.run import Reason
from chez_sandbox.consent.slots import Slots
from chez_sandbox.job_errors import BudgetSpent, BundleForged, BundleInvalid, GrantEnded, ManifestInvalid
from chez_sandbox.runtime.guest.chez_job import CODES
from chez_sandbox.runtime.messages import Outcome
from tests.jobs.samples import READS
from tests.jobs.test_flow import Person
from tests.jobs.test_grants import bundle, grant, tamper

WORDS = re.compile(r"\b(the|runs?|only|sealed|about|whole|nothing|you|and|with|which|revoked|never|grant)\b")
"""English that no French sentence has."""


def test_every_sentence_is_in_both_languages() -> None:
    """Neither is empty, both take the same values, and heads fit their column."""
    for name, said in PHRASES.items():
        values = [{field for _, field, _, _ in Formatter().parse(text) if field} for text in said]
        assert values[0] == values[1], name
        assert all(text.strip() for text in said), name
        assert not name.startswith("head.") or max(map(len, said)) <= 8, name


def test_what_a_sentence_quotes_is_short_in_each_language() -> None:
    """Both ends of it, and the sentence around it whole: an error is read by a person."""
    for language, words in (("en", "no grant begins with"), ("fr", "aucune autorisation ne commence par")):
        failed = catalogue.refused(InvalidValue, "unknown", id="begin" + "x" * 1_000_000 + "end")
        say_again(failed, language)  # type: ignore[arg-type]
        assert failed.message.startswith(words) and "begin" in failed.message and "end" in failed.message
        assert len(failed.message) < 2000


def named(tree: ast.AST) -> Iterator[str]:
    """The names of the catalogue that a module's calls name."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
            continue
        place = {"phrase": 1, "refused": 1, "Phrase": 0}.get(call.func.id)
        if place is None or place >= len(call.args):
            continue
        said = call.args[place]
        for part in (said.body, said.orelse) if isinstance(said, ast.IfExp) else (said,):
            if isinstance(part, ast.Constant):
                hint = call.func.id == "refused"
                yield from (f"refused.{part.value}", f"refused.{part.value}.hint") if hint else (part.value,)


def test_every_sentence_that_is_asked_for_is_there() -> None:
    """Whatever the code names is in the catalogue, and so is each state, reason and outcome that there can be."""
    folder = Path(catalogue.__file__).parent
    modules = [*folder.glob("*.py"), *(folder.parent / "offers").glob("*.py")]
    names = {name for path in modules for name in named(ast.parse(path.read_text()))}
    assert {"ask.grant", "refused.revoked.hint", "gave-up.rows", "refused.never-ran"} <= names
    for kind, values in (("state", get_args(State)), ("review", get_args(Review)), ("slots", get_args(Slots)),
                         ("none", set(get_args(Reason)) - {""}), ("value", ("true", "false", "null"))):  # fmt: skip
        names |= {f"{kind}.{value}" for value in values}
    names |= {f"gave-up.{outcome}" for outcome in Outcome if outcome not in (Outcome.OK, Outcome.FAILED)}
    names |= {f"gave-up.{code}" for code in CODES} | {f"compared.{state}" for state in ("same", "later", "unknown")}
    assert names - PHRASES.keys() == set()


NOT_FOR_A_PERSON = {
    "params.read_params", "run.__post_init__", "run._debit", "run._depart", "noising._keep", "escrow.limit",
    "escrow.reclaim", "escrow.spend", "grant.require_readable", "pausing.pause_grant",
    "pausing._pause",  # the author of a program, who called something wrongly
    "escrow.credit",  # the journal, whose sentences are in English
    "feed.next_line", "verbs.job_publish", "verbs.job_acknowledge",  # a provider
}  # fmt: skip
"""Which functions say something in English alone, and to whom."""


def in_english(module: str, tree: ast.AST) -> Iterator[str]:
    """The functions of a module that make an error, ask or say something by a sentence of no catalogue."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
            literals = [part for part in call.args if isinstance(part, ast.Constant | ast.JoinedStr)]
            parts = (inner.value for part in literals for inner in ast.walk(part) if isinstance(inner, ast.Constant))
            text = "".join(part for part in parts if isinstance(part, str))
            if (name in ERRORS or name in ("ask", "say", "show")) and re.search(r"[a-z]{2} [a-z]", text):
                yield f"{module}.{function.name}"


ERRORS = {
    name for module in (chez.errors, job_errors, errors) for name in module.__all__ if f"error.{name}" not in PHRASES
}


def test_no_person_is_told_anything_in_english_alone() -> None:
    """Every refusal, question and answer of what a person uses is of the catalogue, or said in French by its code."""
    folder = Path(catalogue.__file__).parent
    offers = [folder.parent / "offers" / f"{name}.py" for name in ("commands", "feed", "following", "verbs")]
    trees = {path.stem: ast.parse(path.read_text()) for path in (*folder.glob("*.py"), *offers)}
    found = {name for module, tree in trees.items() for name in in_english(module, tree)}
    assert found == NOT_FOR_A_PERSON


def test_a_sentence_is_said_again_with_what_it_quotes() -> None:
    """A refusal that quotes another is French throughout; what is not of the catalogue stays as it is."""
    inner = Phrase("refused.unreadable", grant="01020304")
    outer = Phrase("refused.damaged-revoked", problem=inner)
    assert outer == "the grant 01020304 is not readable; it is revoked all the same"
    assert again(outer, "en") == outer
    assert again(outer, "fr") == "l'autorisation 01020304 n'est pas lisible ; elle est révoquée tout de même"
    assert again("disk full", "fr") == "disk full"


def test_a_budget_that_is_spent_is_refused_in_french() -> None:
    """The refusal of a debit keeps its account and what is lacking, and says in French what it said in English."""
    charge = Charge("provider:ab", 2000, 1000, own=False)
    with pytest.raises(BudgetSpent, match="the budget of provider:ab has 1 bit left on this device") as refusal:
        spend(Purse(bytes(32), True), [charge])
    say_again(refusal.value, "fr")
    assert "le budget de provider:ab a encore 1 bit sur cet appareil, et ceci en prend 2 bits" in str(refusal.value)
    assert (refusal.value.account, refusal.value.lacks, refusal.value.shared) == ("provider:ab", 1000, True)


async def test_a_broken_file_is_refused_in_french() -> None:
    """Each error of a job's file and of what runs it is said in French by its code, with its own words quoted."""
    nobody: Any = None
    forged = bundle().encoded[:-1] + b"!"
    for language, why in (("en", "^the signature is not the provider's"), ("fr", "^la signature de ce fichier n'est")):
        with pytest.raises(BundleForged, match=why) as refusal:
            await verbs.VERBS["job-inspect"](nobody, {"bundle": forged, "language": language}, Person(""))
        assert "the signature is not the provider's over this" in refusal.value.message
    kinds = [ManifestInvalid.__name__, *(kind.__name__ for kind in BundleInvalid.__subclasses__())]
    kinds += [name for name in errors.__all__ if name != "SandboxError"]
    assert {f"error.{name}{part}" for name in kinds for part in ("", ".hint")} <= PHRASES.keys()
    say_again(missing := errors.WallsMissing("This system lacks walls that are required: seccomp"), "fr")
    assert "murs qu'il faut" in missing.message and "seccomp" in missing.message and "chez job doctor" in missing.hint


def test_the_french_screen_has_the_facts_of_the_english_one() -> None:
    """Line by line the same numbers and names stand in both, and the words differ."""
    job = bundle(reads=READS.replace('"readings"', '"readings"\nspaces = "all"\nmin_rows = 5'))
    screens = [plain_words(describe(job, language), language) for language in ("en", "fr")]
    assert len(screens[0]) == len(screens[1])
    for english, french in zip(*screens, strict=True):
        assert re.findall(r"\d+", english) == re.findall(r"\d+", french)
    text = "\n".join(screens[1])
    (bits,) = re.findall(r"at most (\d+\.\d+) bits a run", "\n".join(screens[0]))
    assert f"au plus {bits.replace('.', ',')} bits par exécution" in text
    assert "Pourquoi" in text and "un nombre de 0 à 10000, arrondi à 10" in text and "365 jours entiers" in text
    assert not WORDS.search(text.replace(job.manifest.purpose.plain, ""))


async def test_the_verbs_speak_the_language_that_is_asked_for(home: chez.Home) -> None:
    """Inspecting and granting show the screen in French when it is asked for."""
    person = Person("no")
    asked = {"bundle": bundle().encoded, "language": "fr"}
    shown = await verbs.job_inspect(home, asked, person)
    await verbs.job_grant(home, asked, person)
    for words in (shown["words"], person.shown[-1]["job"]["words"]):
        assert any("toujours en un message scellé" in line for line in words)


async def test_grants_and_refusals_are_told_in_french(home: chez.Home) -> None:
    """Whatever stands with a grant, its list and its refusal are French for whoever asks in French."""

    async def said(verb: Any, **params: Any) -> str:
        return "\n".join((await verb(home, {**params, "language": "fr"}, Person("")))["words"])

    assert await said(verbs.job_grants) == "Vous n'avez rien autorisé à aucun fournisseur."
    assert await said(verbs.job_left) == "Rien n'a jamais quitté cet appareil pour un fournisseur."
    for number in (1, 2, 3):
        await grant(home, bundle(), number, until=date(2026 if number == 2 else 2100, 1, 1))
    await tamper(home, "03" * 16, signature=b"")
    await verbs.VERBS["job-pause"](home, {"grant": "01"}, Person(""))
    told = await said(verbs.job_grants)
    assert "en pause : elle tournera quand vous la reprendrez" in told and "elle a pris fin le 2026-01-01" in told
    assert "L'autorisation 03030303 est abîmée" in told and not WORDS.search(told)
    for verb, params, why in (
        ("job-run", {"grant": "02"}, "cette autorisation a pris fin le 2026-01-01"),
        ("job-run", {"grant": "0"}, "plusieurs autorisations commencent par « 0 »"),
        ("job-withdraw", {"grant": "01"}, "aucune autorisation qui ait tourné ne commence par « 01 »"),
        ("job-grant", {"bundle": bundle().encoded, "runs": 101}, "la tâche demande 100 exécutions et 1000 bits"),
        ("job-dry-run", {"bundle": bundle().encoded, "drop": ["diary.text"]}, "la tâche ne demande pas diary.text"),
    ):
        with pytest.raises(ChezError) as refusal:
            await verbs.VERBS[verb](home, {**params, "language": "fr"}, Person(""))
        assert why in str(refusal.value) and refusal.value.hint and not WORDS.search(str(refusal.value))
    with pytest.raises(GrantEnded, match="this grant ended on 2026-01-01"):
        await verbs.VERBS["job-run"](home, {"grant": "02"}, Person(""))


async def test_what_moves_allowance_and_compares_catalogues_is_french(home: chez.Home) -> None:
    """Asking, giving and taking over are answered in French, and each refusal of theirs is French, with a hint."""
    await grant(home, bundle())

    async def said(verb: str, **params: Any) -> str:
        return "\n".join((await verbs.VERBS[verb](home, {**params, "language": "fr"}, Person("")))["words"])

    told = await said("job-allowance-ask", what="01", runs=2)
    assert "2 exécutions de runs:provider:" in told and "Sur un appareil qui l'a" in told
    assert not WORDS.search(told.replace("runs:", ""))
    for verb, params, why in (
        ("job-allowance-ask", {"what": "nobody", "amount": 1.0}, "« nobody » n'est pas un compte"),
        ("job-allowance-ask", {"what": "collection:none", "amount": 1.0}, "aucun compte ne s'appelle"),
        ("job-allowance-reclaim", {"device": "phone"}, "aucun autre de vos appareils ne s'appelle « phone »"),
        ("job-allowance-ceiling", {"account": "collection:readings", "runs": 1}, "ne se règle pas"),
        ("job-catalogue-compare", {"head": "3"}, "n'est pas la tête d'un catalogue"),
        ("job-catalogue-compare", {"head": f"3:{'0' * 64}"}, "aucun catalogue suivi ici ne peut être comparé"),
        ("job-offer", {"job": "evening"}, "aucun catalogue d'ici n'offre de tâche « evening »"),
    ):
        with pytest.raises(ChezError) as refusal:
            await verbs.VERBS[verb](home, {**params, "language": "fr"}, Person(""))
        assert why in str(refusal.value) and refusal.value.hint
        assert not WORDS.search(str(refusal.value).replace("runs:", ""))


def test_a_locale_has_a_language() -> None:
    """French for French locales of any country, English for all others and for none."""
    assert [language_of(name) for name in ("fr_FR.UTF-8", "fr", "FR_CA", "fr.UTF-8")] == ["fr"] * 4
    assert [language_of(name) for name in ("", "C", "C.UTF-8", "en_US", "fro", "de_DE")] == ["en"] * 6
    assert bits_words(9.97, "fr") == "un nombre de 4 chiffres"


@pytest.mark.parametrize(("given", "english", "french"), [
    ({"grant": ""}, "the grant is empty", "grant : il n'y a rien"),
    ({"grant": "a" * 65}, "the grant must have ≤ 64 characters", "grant : il faut ≤ 64 caractères"),
    ({"bundle": b"", "days": 99_999}, "days must be ≤ 3660", "days doit être ≤ 3660"),
])  # fmt: skip
def test_a_number_or_a_text_out_of_its_bounds_is_told_in_plain_words(
    given: dict[str, Any], english: str, french: str
) -> None:
    """Who types nothing, or too much, is told what is wrong, not what a parser says of it."""
    with pytest.raises(InvalidValue) as caught:
        read_params(given, OfGrant if "days" in given else OfId)
    assert caught.value.message == english
    say_again(caught.value, "fr")
    assert caught.value.message == french
    with pytest.raises(InvalidValue, match=r"at `\$\.windows`"):  # of a list there is no such sentence
        read_params({"bundle": b"", "windows": ["a"] * 17}, OfGrant)
