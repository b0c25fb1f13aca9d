"""The sentences of the screen before consent, in English and French, in one place.

What a provider wrote (names, purpose, fields) is shown as it stands in the signed manifest.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

__all__ = ("PHRASES", "Language", "language_of", "phrase")

Language = Literal["en", "fr"]


def language_of(locale: str) -> Language:
    """The language of a locale's name such as "fr_FR.UTF-8"; English for whatever is not French."""
    return "fr" if locale.split("_")[0].split(".")[0].lower() == "fr" else "en"


def phrase(language: Language, key: str, **values: Any) -> str:
    """One sentence of the catalogue, with its values filled in."""
    return PHRASES[key][language == "fr"].format(**values)


PHRASES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
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
    # the screen
    "title": ("{name} (job {job}, version {version})", "{name} (tâche {job}, version {version})"),
    "key": ("key in words: {words}", "clé en mots : {words}"),
    "basis": ("({term}; lawful basis {basis})", "({term} ; base légale {basis})"),
    "only": ("only rows where {conditions}", "seulement les lignes où {conditions}"),
    "and": (" and ", " et "),
    "spaces": ("of all your spaces, with what others share with you",
               "de tous vos espaces, avec ce que d'autres partagent avec vous"),
    "least": ("not at all when these are fewer than {rows} rows", "rien du tout s'il y a moins de {rows} lignes"),
    "none": ("or only that there is no result: at most {bits} bits a run,",
             "ou seulement qu'il n'y a pas de résultat : au plus {bits} bits par exécution,"),
    "about": ("about as much as {what},", "à peu près : {what},"),
    "message": ("always as one sealed message of {bytes} bytes", "toujours en un message scellé de {bytes} octets"),
    "not-alone": ("(no job starts by itself: nothing runs that you did not start)",
                  "(aucune tâche ne démarre seule : rien ne tourne que vous n'ayez lancé)"),
    "budget": ("at most {runs} runs, {bits} bits in all", "au plus {runs} exécutions, {bits} bits en tout"),
    "kept": ("{days} days by the provider (its promise)", "{days} jours par le fournisseur (sa promesse)"),
    "code": ("{kind} code of {bytes} bytes without files, network or clock,",
             "code {kind} de {bytes} octets sans fichiers, réseau ni horloge,"),
    "limits": ("at most {seconds} s and {memory} MiB", "au plus {seconds} s et {memory} Mio"),
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
    "when.daily": ("when you start it; it asks to run every day",
                   "quand vous la lancez ; elle demande à tourner chaque jour"),
    "when.weekly": ("when you start it; it asks to run every week",
                    "quand vous la lancez ; elle demande à tourner chaque semaine"),
    "when.on-new-data": ("when you start it; it asks to run when there is new data",
                         "quand vous la lancez ; elle demande à tourner dès qu'il y a de nouvelles données"),
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
