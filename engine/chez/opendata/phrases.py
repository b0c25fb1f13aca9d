"""What a person is told of open data, in English and French: every sentence, by a name.

What a publisher wrote is shown as it stands. What the engine refuses, and what it says of data that does not verify, is
in English, as everywhere.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from chez.phrasing import filled

__all__ = ("PHRASES", "phrase")


def phrase(language: str, key: str, **values: Any) -> str:
    """One sentence in "en" or "fr", with its values filled in."""
    return filled(language, PHRASES[key][language == "fr"], values)


PHRASES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    # catalogues
    "catalogue.removed": ("{name}: not followed any more", "{name} : n'est plus suivi"),
    "catalogue.none": ("No catalogue is followed: chez data add ADDRESS",
                       "Aucun catalogue n'est suivi : chez data add ADRESSE"),
    "catalogue.empty": ("{name}: nothing of it is here yet", "{name} : rien n'en est encore arrivé"),
    "catalogue.head": ("{title}: {datasets:dataset|datasets}, by {by} ({contact})",
                       "{title} : {datasets:jeu de données|jeux de données}, par {by} ({contact})"),
    "catalogue.key": ("  key in words: {words}\n  id: {id}", "  clé en mots : {words}\n  id : {id}"),
    "catalogue.formerly": ("  formerly: {words} (it signed the next one)",
                           "  auparavant : {words} (cette clé a signé la suivante)"),
    "key.succeeded": ("NEW KEY  {what}: its publisher goes on with a new key, which the former one signed",
                      "NOUVELLE CLÉ  {what} : qui publie continue avec une nouvelle clé, signée par l'ancienne"),
    "key.words": ("  in words: {words}\n  formerly: {former}", "  en mots : {words}\n  auparavant : {former}"),
    "key.chosen": ("{name}: published by the key {words}", "{name} : publié par la clé {words}"),
    "catalogue.unreadable": ("  {count} more say nothing readable of themselves",
                             "  {count} autres ne disent rien de lisible d'eux-mêmes"),
    "catalogue.what": ("catalogue {name}", "catalogue {name}"),
    # looking
    "search.none": ("No dataset has all of that in the catalogues that you follow.",
                    "Aucun jeu de données n'a tout cela dans les catalogues que vous suivez."),
    "search.head": ("dataset|title|rows|as of|", "jeu|titre|lignes|au|"),
    "search.subscribed": ("subscribed", "abonné"),
    "search.not-here": ("not here", "pas ici"),
    "search.more": ("… and {count} more: --limit shows them", "… et {count} autres : --limit les montre"),
    "show.by": ("by", "par"),
    "show.by-whom": ("{by}, key in words: {words}", "{by}, clé en mots : {words}"),
    "show.nobody": ("nobody that is named", "personne qui soit nommé"),
    "show.formerly": ("formerly", "auparavant"),
    "show.licence": ("licence", "licence"),
    "show.themes": ("themes", "thèmes"),
    "show.where": ("where", "où"),
    "show.when": ("when", "quand"),
    "show.to": ("to", "à"),
    "show.updated": ("updated", "mise à jour"),
    "show.see": ("see", "voir"),
    "show.takes": ("takes", "prend"),
    "show.takes-mib": ("about {mib} MiB of each device that subscribes it",
                       "environ {mib} Mio de chaque appareil qui s'y abonne"),
    "show.table": ("table", "table"),
    "show.table-of": ("{name}, {rows:row|rows}: {fields}", "{name}, {rows:ligne|lignes} : {fields}"),
    "show.not-subscribed": ("\nNot subscribed: chez data subscribe {id}",
                            "\nPas d'abonnement : chez data subscribe {id}"),
    "show.not-here": ("\nIts data is not here.", "\nSes données ne sont pas ici."),
    "show.try": ("Try:  chez sql 'select * from {table} limit 5'",
                 "Essayez :  chez sql 'select * from {table} limit 5'"),
    # datasets
    "dataset.what": ("dataset {name}", "jeu de données {name}"),
    "dataset.unsubscribed": ("{name}: unsubscribed", "{name} : abonnement terminé"),
    "dataset.waits": ("{name}: subscribed, and nothing of it is here yet: chez data update",
                      "{name} : abonné, et rien n'en est encore arrivé : chez data update"),
    "dataset.head": ("{name}: version {number}, {rows:row|rows} in {tables}",
                     "{name} : version {number}, {rows:ligne|lignes} dans {tables}"),
    "dataset.part": ("{head}, more of it is to come", "{head}, le reste est à venir"),
    "dataset.missing": ("  {count:newer version is|newer versions are} known of: to come, or held back by the relay",
                        "  plus récent, connu, et à venir ou retenu par le relais : {count:version|versions}"),
    "warning": ("WARNING  {what}: {problem}\n  {hint}", "ATTENTION  {what} : {problem}\n  {hint}"),
    # versions
    "versions.head": ("version|of|rows|added|changed|removed|", "version|du|lignes|ajoutées|changées|retirées|"),
    "versions.part": ("a part", "une partie"),
    "versions.compare": ("head {head}: compare it with what others see",
                         "tête {head} : comparez-la avec ce que voient les autres"),
    # room
    "room.full": ("WARNING  {what}: wants more room than it has on this device; nothing newer of it comes",
                  "ATTENTION  {what} : veut plus de place qu'il n'en a sur cet appareil ; rien de neuf n'en arrive"),
    "room.more": ("  More room: chez data room NAME --mib N. Too large? Unsubscribe, and tell its publisher.",
                  "  Plus de place : chez data room NOM --mib N. Trop grand ? Désabonnez-vous, dites-le à qui publie."),
    "room.head": ("  {name}: {bytes} of {limit} MiB, {records} of {most} records",
                  "  {name} : {bytes} Mio sur {limit}, {records} lignes sur {most}"),
    "sync.problem": ("Not in step now: {problem}", "Pas à jour pour l'instant : {problem}"),
    "update.problem": ("Not done: {problem}", "Pas fait : {problem}"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
