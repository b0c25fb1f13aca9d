"""What the verbs of `chez job` answer and ask."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("ANSWERS",)

ANSWERS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "ask.grant": ("Grant this? [y/N]", "L'autoriser ? [o/N]"),
    "ask.release": ("Release {result} to {provider}? [y/N]", "Laisser partir {result} vers {provider} ? [o/N]"),
    "say.preparing": ("Preparing the sandbox on this device, once; this takes half a minute …",
                      "Préparation du bac à sable sur cet appareil, une seule fois : une demi-minute …"),
    "say.dry-run": ("dry run", "essai"),
    "say.run": ("run", "exécution"),
    # what would leave
    "preview.result": ("What would leave: {result}", "Ce qui partirait : {result}"),
    "preview.size": ("{length} bytes, as one sealed message of {bytes} bytes, at most {bits} bits of information.",
                     "{length} octets, en un message scellé de {bytes} octets, au plus {bits} bits d'information."),
    "preview.problem": ("No result: {problem}.", "Pas de résultat : {problem}."),
    "preview.none": ('What would leave: the code "none", as one sealed message of {bytes} bytes.',
                     "Ce qui partirait : le code « none », en un message scellé de {bytes} octets."),
    "preview.rows": ("{count} of {collection}", "{count} de {collection}"),
    "preview.read": ("It read {rows}. Nothing left, nothing was spent.",
                     "Elle a lu {rows}. Rien n'est parti, rien n'est dépensé."),
    # granting and running
    "answer.refused": ("Not granted. The provider is not told.", "Refusé. Le fournisseur n'en sait rien."),
    "answer.granted": ("Granted until {until}: {runs:run|runs}, {bits} bits.",
                       "Autorisé jusqu'au {until} : {runs:exécution|exécutions}, {bits} bits."),
    "answer.run-with": ("Run it with: chez job run {grant}", "Pour la lancer : chez job run {grant}"),
    "answer.suspended": ("It is suspended: the provider's key is another. When you know why: chez job resume {grant}",
                         "Elle est suspendue : la clé du fournisseur a changé. Une fois sûr : chez job resume {grant}"),
    "answer.released": ("Run {sequence}: released {result}, as one sealed message of {bytes} bytes.",
                        "Exécution {sequence} : {result} est remis, en un message scellé de {bytes} octets."),
    "answer.none": ('Run {sequence}: told the provider "none", as one sealed message of {bytes} bytes.',
                    "Exécution {sequence} : dit « none » au fournisseur, en un message scellé de {bytes} octets."),
    "answer.again": ("That was before: over the same window nothing runs, leaves or is debited again.",
                     "C'était déjà dit : sur la même période rien ne tourne, ne part ni ne se dépense de nouveau."),
    # on the way
    "way.waiting": ("Waiting to be sent: {count} ({problem}). Later: chez job send",
                    "En attente d'envoi : {count} ({problem}). Plus tard : chez job send"),
    "way.sent": ("The relay has it ({count} sent).", "Le relais l'a (envoyés : {count})."),
    "way.held": ("Not left yet: {count}; the next one leaves {time}. Till then: chez job withdraw {grant}",
                 "Pas encore partis : {count} ; le prochain part {time}. D'ici là : chez job withdraw {grant}"),
    "way.nothing": ("Nothing waits to be sent.", "Rien n'attend d'être envoyé."),
    # waiting
    "pending.nothing": ("No run waits for you.", "Aucune exécution ne vous attend."),
    "pending.turn": ("{name}, for {provider} (grant {grant}): due since {turn}, about",
                     "{name}, pour {provider} (autorisation {grant}) : à lancer depuis le {turn}, sur"),
    "pending.problem": ("{name}, for {provider} (grant {grant}) is due and did not run: {problem}",
                        "{name}, pour {provider} (autorisation {grant}) est à lancer et n'a pas tourné : {problem}"),
    "pending.unexpected": ("an error that nobody foresaw ({kind}); what is known of it is in the home's {file}",
                           "une erreur imprévue ({kind}) ; ce qu'on en sait est dans le fichier {file} du foyer"),
    "pending.clock": ("this device's clock was set ahead, to {time}; once right, or after an hour, it goes on",
                      "l'horloge d'ici a été avancée, à {time} ; une fois juste, ou dans une heure, cela reprend"),
    "pending.run": ("See it, and let it leave or not: chez job run {grant}",
                    "La voir, et la laisser partir ou non : chez job run {grant}"),
    # stopping
    "answer.withdrawn": ("Withdrawn: the result of run {runs} stays here; its bits stay spent.",
                         "Retiré : le résultat de l'exécution {runs} reste ici ; ses bits restent dépensés."),
    "answer.paused": ("Paused: {job}. Again with: chez job resume {grant}",
                      "En pause : {job}. Pour reprendre : chez job resume {grant}"),
    "answer.resumed": ("Resumed: {job} ({grant}) may run again.", "Reprise : {job} ({grant}) peut tourner de nouveau."),
    "answer.over": ("{job} ({grant}): {state}", "{job} ({grant}) : {state}"),
    "answer.revoked": ("Revoked: {job} ({grant}) will not run again.",
                       "Révoquée : {job} ({grant}) ne tournera plus."),
    # this machine
    "doctor.stands": ("stands    {what}", "debout    {what}"),
    "doctor.missing": ("MISSING   {what}", "MANQUE    {what}"),
    "doctor.refuses": ("No job runs here: {walls} must stand on this system.",
                       "Aucune tâche ne tourne ici : {walls} doit tenir sur ce système."),
    "wall.component": ("component: for a job there are no files, network, clock or environment; its work is counted",
                       "component : une tâche n'a ni fichiers, ni réseau, ni horloge ; son travail est compté"),
    "wall.seccomp": ("seccomp: the process may compute and answer, and ask the system for nothing else",
                     "seccomp : le processus peut calculer et répondre, et ne demande rien d'autre au système"),
    "wall.landlock": ("landlock: the process reaches no file, no network address, no other process",
                      "landlock : le processus n'atteint ni fichier, ni adresse réseau, ni autre processus"),
    "wall.rlimits": ("rlimits: its memory and processor time end; it opens nothing and starts nothing",
                     "rlimits : mémoire et temps de calcul limités ; il n'ouvre et ne lance rien"),
    "wall.no-new-privs": ("no-new-privs: it can't gain rights by starting a privileged program",
                          "no-new-privs : il ne gagne aucun droit par un programme privilégié"),
    "wall.not-dumpable": ("not-dumpable: programs of yours can't look into it, nor does a crash write it to disk",
                          "not-dumpable : vos programmes n'y regardent pas, un plantage n'en écrit rien sur le disque"),
    "doctor.runtime": ("Runtime: {hash}", "Moteur : {hash}"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
