"""What is asked and told of allowance that moves between devices, and why that is refused."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("MOVING",)

LISTED: Final = ("chez job allowance shows those there are", "chez job allowance les montre tous")
ONCE: Final = ("that happens once", "cela n'arrive qu'une fois")
NOTHING: Final = ("no share was moved", "aucune part n'a bougé")

MOVING: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    # giving
    "give.ask": ("Give {listed} to '{name}'? [y/N]", "Donner {listed} à « {name} » ? [o/N]"),
    "give.given": ("Given to '{name}': {amount} of {account}.", "Donné à « {name} » : {amount} de {account}."),
    "give.counts": ("It counts there when both have synced.",
                    "Cela compte là-bas quand les deux se seront synchronisés."),
    "give.not": ("Not given.", "Rien n'est donné."),
    # asking
    "ask.asked": ("Asked for {wanted}.", "Demandé : {wanted}."),
    "ask.there": ("On one that has it, when both have synced: chez job allowance give {device}",
                  "Sur un appareil qui l'a, une fois les deux synchronisés : chez job allowance give {device}"),
    # taking over
    "reclaim.ask": (
        ("Take over what '{name}' held? If it is used again, by whoever has it, more than the ceiling may be told. "
        "[y/N]"),
        ("Reprendre ce qu'avait « {name} » ? S'il sert encore, à qui que ce soit, on peut en dire plus que le plafond. "
        "[o/N]")),
    "reclaim.ask-first": (
        ("Nothing is known here of what '{name}' spent, and your home began on it: it held all that your other devices "
        "don't have. If it ever ran a job, or something took its word away, all of that may be told a second time. "
        "Take it over as untouched? [y/N]"),
        ("On ne sait rien ici de ce que « {name} » a dépensé, et votre foyer y a commencé : il avait tout ce que vos "
        "autres appareils n'ont pas. S'il a lancé une tâche, ou si sa parole a disparu, tout cela peut être dit une "
        "seconde fois. Le reprendre comme intact ? [o/N]")),
    "reclaim.taken": ("Taken over of '{name}': {amount} of {account}.", "Repris à « {name} » : {amount} de {account}."),
    "reclaim.rest": ("Taken over: all that it never spent or gave of.",
                     "Repris : tout ce dont il n'a jamais rien dépensé ni donné."),
    "reclaim.empty": ("It held nothing.", "Il n'avait rien."),
    "reclaim.not": ("Nothing was taken over.", "Rien n'est repris."),
    # why not
    "refused.account": ("'{account}' is no account that devices share",
                        "« {account} » n'est pas un compte que des appareils partagent"),
    "refused.account.hint": ("provider:KEY or collection:NAME: see chez job allowance",
                             "provider:CLÉ ou collection:NOM : voyez chez job allowance"),
    "refused.accounts": ("'{account}' begins the names of {count} accounts",
                         "{count} comptes commencent par « {account} »"),
    "refused.accounts.hint": LISTED,
    "refused.no-account": ("no account is called '{account}'", "aucun compte ne s'appelle « {account} »"),
    "refused.no-account.hint": LISTED,
    "refused.amount": ("an amount is a number from 0 to 10^9, not {amount}",
                       "un montant est un nombre de 0 à 10^9, et non {amount}"),
    "refused.amount.hint": NOTHING,
    "refused.half": ("an account and an amount go together", "un compte et un montant vont ensemble"),
    "refused.half.hint": ("or name the device alone, to give what it asks for",
                          "ou nommez l'appareil seul, pour donner ce qu'il demande"),
    "refused.asks-nothing": ("'{name}' asks for nothing that is known here",
                             "« {name} » ne demande rien, à ce qu'on sait ici"),
    "refused.asks-nothing.hint": ("name an account and an amount", "nommez un compte et un montant"),
    "refused.cant-ask": ("{amount} of {account} can't be asked for", "on ne peut pas demander {amount} de {account}"),
    "refused.cant-ask.hint": ("ask for what a run takes: chez job allowance ask GRANT",
                              "demandez ce que prend une exécution : chez job allowance ask AUTORISATION"),
    "refused.share": ("a share is more than nothing, and for another device",
                      "une part est plus que rien, et pour un autre appareil"),
    "refused.share.hint": NOTHING,
    "refused.lacks": ("this device has {left} of {account} to give, not {amount}",
                      "cet appareil a {left} de {account} à donner, et non {amount}"),
    "refused.lacks.hint": NOTHING,
    "refused.ceiling": ("the ceiling of {account} can't be set", "le plafond de {account} ne se règle pas"),
    "refused.ceiling.hint": ("that of runs:provider:KEY can: see chez job allowance",
                             "celui de runs:provider:CLÉ se règle : voyez chez job allowance"),
    "refused.ceiling-here": ("a ceiling is set on the device that holds what nobody was given",
                             "un plafond se règle sur l'appareil qui a ce que personne n'a reçu"),
    "refused.ceiling-here.hint": (
        "that is where your home began, or which took its share over: see chez job allowance",
        "celui où votre foyer a commencé, ou qui a repris sa part : voyez chez job allowance"),
    "refused.no-device": ("no other device of yours is called '{name}'",
                          "aucun autre de vos appareils ne s'appelle « {name} »"),
    "refused.no-device.hint": ("chez job allowance shows them", "chez job allowance les montre"),
    "refused.devices": ("'{name}' names {count} devices", "« {name} » nomme {count} appareils"),
    "refused.devices.hint": ("use the beginning of an id: chez device list",
                             "donnez le début d'un identifiant : chez device list"),
    "refused.active": ("'{name}' is a device of yours, and may spend what it has",
                       "« {name} » est un de vos appareils, et peut dépenser ce qu'il a"),
    "refused.active.hint": ("have it give its share; or, when it is lost, first: chez device remove {device}",
                            "qu'il donne sa part ; ou, s'il est perdu, d'abord : chez device remove {device}"),
    "refused.taken-by": ("the share of '{name}' was taken over by '{by}' before",
                         "la part de « {name} » a déjà été reprise par « {by} »"),
    "refused.taken-by.hint": ONCE,
    "refused.taken": ("the share of '{name}' was taken over before", "la part de « {name} » a déjà été reprise"),
    "refused.taken.hint": ONCE,
    "refused.not-drawn": ("this grant was revoked, or is another device's",
                          "cette autorisation a été révoquée, ou est celle d'un autre appareil"),
    "refused.not-drawn.hint": ("nothing was drawn for it", "rien n'a été tiré pour elle"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
