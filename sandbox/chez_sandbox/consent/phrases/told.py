"""What `chez grants` and `chez left` tell, and how and when results leave."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("TOLD",)

TOLD: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    # where a grant stands
    "state.running": ("it may run until {until}", "elle vaut jusqu'au {until}"),
    "state.revoked": ("revoked: it never runs again", "révoquée : elle ne tournera plus jamais"),
    "state.elsewhere": ("it may run until {until}, on your device '{device}' alone",
                        "elle vaut jusqu'au {until}, sur votre appareil « {device} » seulement"),
    "state.ended": ("it ended on {until}", "elle a pris fin le {until}"),
    "state.used-up": ("all its runs are used", "toutes ses exécutions sont faites"),
    "state.paused": ("paused: it runs when you resume it", "en pause : elle tournera quand vous la reprendrez"),
    # grants
    "grants.none": ("You granted nothing to any provider.", "Vous n'avez rien autorisé à aucun fournisseur."),
    "grants.damaged": ("Grant {grant} is damaged, and never runs: {problem}",
                       "L'autorisation {grant} est abîmée et ne tourne jamais : {problem}"),
    "grants.head": ("{name}, for {provider} (grant {grant}): {state}",
                    "{name}, pour {provider} (autorisation {grant}) : {state}"),
    "grants.reads": ("may read {fields} of {collection}; {window}", "peut lire {fields} de {collection} ; {window}"),
    "grants.reads-only": ("may read {fields} of {collection}, only where {conditions}; {window}",
                          "peut lire {fields} de {collection}, seulement où {conditions} ; {window}"),
    "grants.tells": ("may tell {what}", "peut dire {what}"),
    "grants.bits": ("a run tells at most {bits} bits: about as much as {what}",
                    "une exécution dit au plus {bits} bits : à peu près {what}"),
    "grants.when": ("runs {when}", "tourne {when}"),
    "grants.used": ("used {runs:run|runs} of {allowed}, {bits} bits of {most}",
                    "{runs:exécution faite|exécutions faites} sur {allowed}, {bits} bits sur {most}"),
    "grants.used-there": ("what it used of {allowed:run|runs} and {most} bits: chez grants, on '{device}'",
                          ("ce qu'elle a pris de {allowed:exécution|exécutions} et {most} bits : chez grants, sur "
                           "« {device} »")),
    # how results leave
    "review.show-me-first": ("you see each result before it leaves",
                             "vous voyez chaque résultat avant qu'il ne parte"),
    "review.within-the-grant": ("results leave unseen", "les résultats partent sans être vus"),
    "review.hold": ("results leave unseen, after {hours} h in which you may withdraw them",
                    "les résultats partent sans être vus, après {hours} h pendant lesquelles vous pouvez les retirer"),
    "slots.at-once": ("as soon as that is done, which tells how long a run took",
                      "dès que c'est fait, ce qui dit combien de temps l'exécution a pris"),
    "slots.held": ("as soon as these hours are over", "dès que ces heures sont passées"),
    "slots.hour": ("at minute {minute} of an hour, however long a run took",
                   "à la minute {minute} d'une heure, si longue que soit l'exécution"),
    "slots.day": ("at {time} of a day, however long a run took", "à {time} d'un jour, si longue que soit l'exécution"),
    "slots.example": ("a run that began now would leave {when} at the earliest;",
                      "une exécution lancée maintenant partirait le {when} au plus tôt ;"),
    "slots.withdraw": ("till it leaves, chez job withdraw keeps its result here",
                       "d'ici là, chez job withdraw garde son résultat ici"),
    "slots.final": ("what was let go is gone: there is no time to withdraw it",
                    "ce qui est autorisé part aussitôt : il n'y a pas de délai pour le retirer"),
    # what left
    "left.nothing": ("Nothing ever left this device for a provider.",
                     "Rien n'a jamais quitté cet appareil pour un fournisseur."),
    "left.not-yet": ("{time}  not left yet, to {provider}: {what}", "{time}  pas encore parti, à {provider} : {what}"),
    "left.to": ("{time}  to {provider}: {what}", "{time}  à {provider} : {what}"),
    "left.none": ('nothing but "none": {reason}', "rien d'autre que « none » : {reason}"),
    "left.run": ("run {sequence} of {job}, version {version} (grant {grant})",
                 "exécution {sequence} de {job}, version {version} (autorisation {grant})"),
    "left.former": (", by device {device}, which this home was", ", par l'appareil {device}, que ce foyer était"),
    "left.exactly": ("exactly {result}, sealed in {bytes} bytes", "exactement {result}, scellé en {bytes} octets"),
    "left.sealed": ("sealed in {bytes} bytes", "scellé en {bytes} octets"),
    "left.way": ("{sealed}; {way}", "{sealed} ; {way}"),
    "left.bits": (", at most {bits} bits (about as much as {what})", ", au plus {bits} bits (à peu près {what})"),
    "left.delivered": ("the relay at {relay} has it since {time}", "le relais {relay} l'a depuis {time}"),
    "left.received": ("received by the provider on {day}, it says", "reçu par le fournisseur le {day}, dit-il"),
    "left.tried": ("sent since {time}, and may have left: the relay at {relay} has not said that it has it",
                   "envoyé depuis {time}, et peut-être parti : le relais {relay} n'a pas dit qu'il l'a"),
    "left.unknown": ("not sent by this one, and whether that device did is not known here",
                     "pas envoyé par celui-ci ; on ne sait pas ici si cet appareil l'a fait"),
    "left.waits": ("still waiting here", "attend encore ici"),
    "left.waits-till": ("still waiting here, and sent from {time} on", "attend encore ici, envoyé à partir de {time}"),
    "left.spent": ("In all to {provider}: at most {bits} bits ({what}), of {ceiling} that it may ever have.",
                   "En tout à {provider} : au plus {bits} bits ({what}), sur {ceiling} qu'il aura jamais."),
    "left.elsewhere": ("{time}  to {provider}, by your device '{device}': a message, as that device says",
                       "{time}  à {provider}, par votre appareil « {device} » : un message, dit cet appareil"),
    "left.elsewhere-no": ("'{name}' has not said that it sent any; what waits there: chez left, on that device",
                          "« {name} » n'a rien dit avoir envoyé ; ce qui attend là-bas : chez left, sur cet appareil"),
    "left.ask-there": ("'{name}' said so by its last sync; what exactly it was: chez left, on that device",
                       "« {name} » l'a dit à sa dernière synchro ; quoi au juste : chez left, sur cet appareil"),
    # why a message says "none"
    "none.declined": ("you said no", "vous avez dit non"),
    "none.job": ("the job gave nothing that may leave", "la tâche n'a rien donné qui puisse sortir"),
    "none.revoked": ("the grant was revoked", "l'autorisation a été révoquée"),
    "none.interrupted": ("the run was cut off", "l'exécution a été coupée"),
    "none.withdrawn": ("you withdrew the result before it left", "vous avez retiré le résultat avant son départ"),
    # results
    "value.true": ("yes", "oui"),
    "value.false": ("no", "non"),
    "value.null": ("nothing", "rien"),
    # what was taken away
    "less.field": ("you leave out {field} of {collection}: the job sees nothing there",
                   "vous retirez {field} de {collection} : la tâche n'y voit rien"),
    "less.window": ("you give {steps} of {collection}, not {whole}",
                    "vous donnez {steps} de {collection}, et non {whole}"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
