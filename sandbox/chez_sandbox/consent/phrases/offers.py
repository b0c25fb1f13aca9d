"""What is told of providers' catalogues, and of what other devices may give."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("OFFERS",)

OFFERS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    # catalogues
    "offers.none": ("You follow no catalogue of jobs.", "Vous ne suivez aucun catalogue de tâches."),
    "offers.warning": ("WARNING  {name}: {problem}", "ALERTE  {name} : {problem}"),
    "offers.empty": ("{name}: nothing of it is here yet", "{name} : rien n'en est encore ici"),
    "offers.head": ("head, the same for everybody: {head}", "tête, la même pour tous : {head}"),
    "offers.job": ("{job} {version}: {name}", "{job} {version} : {name}"),
    "offers.bits": ("a run tells at most {bits} bits; bundle {bundle}",
                    "une exécution dit au plus {bits} bits ; fichier {bundle}"),
    # newer versions
    "offers.newer": ("A new version {version} of {name} ({job}), of which you granted {granted}:",
                     "Une nouvelle version {version} de {name} ({job}), dont vous avez autorisé la {granted} :"),
    "offers.not-yet": ("Nothing of it runs before you grant it: chez job grant {job}",
                       "Rien n'en tourne avant que vous l'autorisiez : chez job grant {job}"),
    # where a bundle comes from
    "offers.line": ("line {number} of the catalogue of {name}, the same for everybody",
                    "ligne {number} du catalogue de {name}, la même pour tous"),
    "offers.absent": ("not in the catalogue of {name}: it may be made for you alone",
                      "absente du catalogue de {name} : elle peut être faite pour vous seul"),
    "offers.missing": (
        "WARNING: one of your devices saw {lines} more at its end: still to come, or taken back by the provider",
        "ALERTE : un de vos appareils y a vu {lines} de plus à la fin : à venir, ou retirées par le fournisseur"),
    "refused.another-offer": (
        "the catalogue of {name} has another bundle as version {version} of {job}: {theirs}, not {ours}",
        "le catalogue de {name} a un autre fichier comme version {version} de {job} : {theirs}, non {ours}"),
    "refused.another-offer.hint": ("it was made for somebody: do not grant it, and ask its provider why there are two",
                                   "il est fait pour quelqu'un : ne l'autorisez pas, demandez pourquoi il y en a deux"),
    # the budget
    "refused.budget": ("the budget of {account} has {left} left on this device, and this takes {takes}",
                       "le budget de {account} a encore {left} sur cet appareil, et ceci en prend {takes}"),
    "refused.budget.hint": ("nothing ran and nothing left; what is spent is spent",
                            "rien n'a tourné et rien n'est parti ; ce qui est dépensé l'est"),
    "budget.said": ("your device '{name}' said that it has {has}", "votre appareil « {name} » a dit avoir {has}"),
    "budget.may-have": ("your device '{name}', on which your home began, may have up to {has}",
                        "votre appareil « {name} », où votre foyer a commencé, peut avoir jusqu'à {has}"),
    "unit.run": ("{number} run", "{number} exécution"),
    "unit.runs": ("{number} runs", "{number} exécutions"),
    "budget.and": ("{one}; {other}", "{one} ; {other}"),
    "budget.ask": ("{said}. There: chez job allowance give {name} {what}. Or here: chez job allowance ask {what}",
                   "{said}. Là-bas : chez job allowance give {name} {what}. Ou ici : chez job allowance ask {what}"),
    # what each device holds
    "allowance.nothing": ("Nothing was granted to any provider, and nothing spent.",
                          "Rien n'a été autorisé à aucun fournisseur, et rien n'est dépensé."),
    "allowance.came": ("A share came: {amount} of {account}.", "Une part est arrivée : {amount} de {account}."),
    "allowance.account": ("{account}: {ceiling} over all your devices",
                          "{account} : {ceiling} sur tous vos appareils"),
    "allowance.account-of": ("{account} ({whose}): {ceiling} over all your devices",
                             "{account} ({whose}) : {ceiling} sur tous vos appareils"),
    "allowance.set": ("another number, on the device that holds it: chez job allowance ceiling {account} N",
                      "un autre nombre, sur l'appareil qui l'a : chez job allowance ceiling {account} N"),
    "allowance.own": ("this device", "cet appareil"),
    "allowance.removed": ("removed", "retiré"),
    "allowance.unsaid": ("it has not said so yet", "il ne l'a pas encore dit"),
    "allowance.device": ("'{name}': {left} left, {spent} spent", "« {name} » : reste {left}, dépensé {spent}"),
    "allowance.device-so": ("'{name}' ({notes}): {left} left, {spent} spent",
                            "« {name} » ({notes}) : reste {left}, dépensé {spent}"),
    "allowance.amount": ("{amount} of {account}", "{amount} de {account}"),
    "allowance.asks": ("'{name}' asks for {wanted}. To give it: chez job allowance give {device}",
                       "« {name} » demande {wanted}. Pour donner : chez job allowance give {device}"),
    "allowance.raise": ("Let {account} have {ceiling} over all your devices, no longer {before}? [y/N]",
                        "Laisser à {account} {ceiling} sur tous vos appareils, et non plus {before} ? [o/N]"),
    "allowance.is-set": ("{account}: {ceiling} over all your devices, no longer {before}.",
                         "{account} : {ceiling} sur tous vos appareils, et non plus {before}."),
    "allowance.not-set": ("Nothing was changed.", "Rien n'est changé."),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
