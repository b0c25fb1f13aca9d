"""What a person is told of jobs, in English and French: every sentence, by a name, from one catalogue.

The screen's sentences are here, the others in `phrases`. What a provider wrote (names, purpose,
fields) is shown as it stands in the signed manifest. What the engine itself refuses (a locked home,
a full disk, a relay that is away) is in English.

    phrase("fr", "grants.none")          a sentence
    refused(GrantEnded, "ended", until=day)   an error: in English, and can be said again
    again(error.message, "fr")           the same in French
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeVar

from chez.errors import ChezError
from chez.phrasing import Figure, filled
from chez.shown import brief
from chez_sandbox.consent.phrases.answers import ANSWERS
from chez_sandbox.consent.phrases.broken import BROKEN
from chez_sandbox.consent.phrases.changes import CHANGES
from chez_sandbox.consent.phrases.moving import MOVING
from chez_sandbox.consent.phrases.noise import NOISE
from chez_sandbox.consent.phrases.offers import OFFERS
from chez_sandbox.consent.phrases.refused import REFUSED
from chez_sandbox.consent.phrases.replays import REPLAYS
from chez_sandbox.consent.phrases.told import TOLD
from chez_sandbox.errors import SandboxError

__all__ = ("PHRASES", "Language", "Phrase", "again", "figure", "phrase", "refused", "say_again")

Language = Literal["en", "fr"]

E = TypeVar("E", bound=ChezError)


def phrase(language: Language, key: str, **values: Any) -> str:
    """One sentence of the catalogue, with its values filled in."""
    return filled(language, PHRASES[key][language == "fr"], values)


def figure(number: float, form: str = "g") -> Figure:
    """A number as `phrase` writes it in each language, in a form of `format`."""
    return Figure(format(number, form))


class Phrase(str):
    """A sentence in English that knows its name and values, so that it can be said in another language.

    Whoever makes an error, deep in a run, does not know in which language somebody will read it.
    """

    __slots__ = ("key", "values")

    key: str
    values: dict[str, Any]

    def __new__(cls, key: str, **values: Any) -> "Phrase":
        """The sentence of this name; what it quotes is shortened as in any error, in each language alike."""
        values = {name: brief(value) if type(value) is str else value for name, value in values.items()}
        made = super().__new__(cls, phrase("en", key, **values))
        made.key, made.values = key, values
        return made


def again(text: str, language: Language) -> str:
    """A sentence in a language, with what is quoted in it; a text that is not of the catalogue stays as it is."""
    if not isinstance(text, Phrase):
        return text
    values = {name: again(value, language) if isinstance(value, str) else value for name, value in text.values.items()}
    return phrase(language, text.key, **values)


def refused(kind: type[E], key: str, **values: Any) -> E:
    """An error of a kind by the sentences "refused.KEY" and "refused.KEY.hint"."""
    return kind(Phrase(f"refused.{key}", **values), Phrase(f"refused.{key}.hint", **values))


def say_again(error: ChezError | SandboxError, language: Language) -> None:
    """Put an error into a language, in place: it is on its way to the person, with its cause and traceback.

    What checks files and runs jobs knows no catalogue: those errors are said by their code, and quoted.
    """
    name = f"error.{error.code}"
    if language != "en" and name in PHRASES and not isinstance(error.message, Phrase):
        error.message, error.hint = Phrase(name, said=error.message), Phrase(f"{name}.hint")
    error.message, error.hint = again(error.message, language), again(error.hint, language)
    error.args = (error.message, error.hint)


PHRASES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    **ANSWERS, **BROKEN, **CHANGES, **MOVING, **NOISE, **OFFERS, **REFUSED, **REPLAYS, **TOLD,
    # heads of at most eight characters
    "head.who": ("Who", "Qui"),
    "head.why": ("Why", "Pourquoi"),
    "head.reads": ("Reads", "Lit"),
    "head.leaves": ("Leaves", "Sort"),
    "head.when": ("When", "Quand"),
    "head.much": ("How much", "Combien"),
    "head.kept": ("Kept", "Gardé"),
    "head.runs": ("Runs as", "Tourne"),
    "head.bundle": ("Bundle", "Fichier"),
    "head.less": ("Less", "Moins"),
    "head.given": ("You give", "Donné"),
    "head.together": ("Together", "Ensemble"),
    "head.already": ("Already", "Déjà"),
    "head.offered": ("Offered", "Offre"),
    "head.sent": ("Sent", "Envoi"),
    "head.example": ("Example", "Exemple"),
    "head.changed": ("Changed", "Change"),
    "head.warning": ("WARNING", "ALERTE"),
    # the screen
    "title": ("{name} (job {job}, version {version})", "{name} (tâche {job}, version {version})"),
    "key": ("key in words: {words}", "clé en mots : {words}"),
    "basis": ("({term}; lawful basis {basis})", "({term} ; base légale {basis})"),
    "only": ("only rows where {conditions}", "seulement les lignes où {conditions}"),
    "and": (" and ", " et "),
    "spaces": ("of all spaces you are a member of, with what others share with you",
               "de tous les espaces dont vous êtes membre, avec ce que d'autres partagent avec vous"),
    "spaces.open": ("of all spaces you are a member of, and of open data you follow",
                    "de tous les espaces dont vous êtes membre, et des données ouvertes que vous suivez"),
    "least": ("not at all when these are fewer than {rows} rows", "rien du tout s'il y a moins de {rows} lignes"),
    "none": ("or only that there is no result: at most {bits} bits a run,",
             "ou seulement qu'il n'y a pas de résultat : au plus {bits} bits par exécution,"),
    "about": ("about as much as {what},", "à peu près : {what},"),
    "message": ("always as one sealed message of {bytes} bytes", "toujours en un message scellé de {bytes} octets"),
    "message.to": ("to the relay {relay}, which the provider chose", "au relais {relay}, que le fournisseur a choisi"),
    "by-itself": ("(this device starts it by itself while its home is open and connected, if you let results",
                  "(cet appareil la lance seul quand il est ouvert et connecté, si vous laissez sortir les résultats"),
    "waits": ("leave unseen; else it has the result ready, and nothing runs or leaves before you look)",
              "sans les voir ; sinon il prépare le résultat, et rien ne tourne ni ne sort avant que vous regardiez)"),
    "budget": ("at most {runs} runs, {bits} bits in all", "au plus {runs} exécutions, {bits} bits en tout"),
    "kept": ("{days} days by the provider (its promise)", "{days} jours par le fournisseur (sa promesse)"),
    "code": ("{kind} code of {bytes} bytes without files, network or clock,",
             "code {kind} de {bytes} octets sans fichiers, réseau ni horloge,"),
    "limits": ("at most {seconds} s and {memory} MiB", "au plus {seconds} s et {memory} Mio"),
    "parameters": ("with what the provider gives it beside your data:",
                   "avec ce que le fournisseur lui donne en plus de vos données :"),
    "parameters.more": ("(not all of it: `chez --json job inspect` shows all {count}, whole)",
                        "(pas tout : `chez --json job inspect` montre les {count}, entiers)"),
    # what the person chose, and what stands already
    "given": ("until {until}: at most {runs} runs, {bits} bits in all",
              "jusqu'au {until} : au plus {runs} exécutions, {bits} bits en tout"),
    "given.epsilon": ("for what is noised, epsilon {epsilon} in all",
                      "pour ce qui est bruité, epsilon {epsilon} en tout"),
    "given.together": ("all jobs of this provider, over all your devices: at most {runs}, ever",
                       "toutes les tâches de ce fournisseur, sur tous vos appareils : au plus {runs}, à jamais"),
    "standing": ("grant {grant} of this job, version {version}, stands until {until}: this would be another beside it",
                 "l'autorisation {grant} de cette tâche, version {version}, vaut jusqu'au {until} : une de plus"),
    # an example on the person's own data
    "example": ("on your data, today: {line}", "sur vos données, ce jour : {line}"),
    "example.none": ("on your data it gives no result now: {problem}",
                     "sur vos données elle ne donne rien maintenant : {problem}"),
    # windows
    "window.all": ("all there are", "toutes celles qu'il y a"),
    "window.one-day": ("one whole day", "un jour entier"),
    "window.one-week": ("one whole week", "une semaine entière"),
    "window.one-month": ("one whole month", "un mois entier"),
    "window.day": ("{last} whole days", "{last} jours entiers"),
    "window.week": ("{last} whole weeks", "{last} semaines entières"),
    "window.month": ("{last} whole months", "{last} mois entiers"),
    "window.run-date": ("{steps} by {field}, the last one being over on the day of the run",
                        "{steps} d'après {field}, le dernier pas étant fini le jour de l'exécution"),
    "window.latest": ("{steps} by {field}, the last one complete by the newest row",
                      "{steps} d'après {field}, le dernier pas étant complet d'après la ligne la plus récente"),
    "window.zone": (", as days go in {zone}", ", aux jours de {zone}"),
    # schedules
    "when.manual": ("whenever you start it", "quand vous la lancez"),
    "when.once": ("once, when you start it", "une fois, quand vous la lancez"),
    "when.daily": ("every day, once", "chaque jour, une fois"),
    "when.weekly": ("every week, once", "chaque semaine, une fois"),
    "when.monthly": ("every month, once", "chaque mois, une fois"),
    "when.on-new-data": ("when {names} has a new whole step, at most once a day",
                         "quand {names} a un nouveau pas entier, au plus une fois par jour"),
    "when.all": ("; what was missed is made up for, in order", " ; ce qui a été manqué est rattrapé, dans l'ordre"),
    # what can leave
    "type.result": ("the result", "le résultat"),
    "type.line": ("{name}: {what}", "{name} : {what}"),
    "type.number": ("a number from {low} to {high}", "un nombre de {low} à {high}"),
    "type.step": (", rounded to {step}", ", arrondi à {step}"),
    "type.enum": ("one of {values}", "l'un de {values}"),
    "type.boolean": ("yes or no", "oui ou non"),
    "type.null": ("nothing", "rien"),
    "type.nullable": ("{what}, or nothing", "{what}, ou rien"),
    "type.array": ("a list of {least} to {most}, each: {what}", "une liste de {least} à {most}, chacun : {what}"),
    # how much bits are
    "bits.none": ("nothing", "rien"),
    "bits.one": ("a yes or no", "un oui ou non"),
    "bits.digit": ("one digit", "un chiffre"),
    "bits.digits": ("a number of {digits} digits", "un nombre de {digits} chiffres"),
    "bits.text": ("{characters:,} characters of text", "{characters} caractères de texte"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
