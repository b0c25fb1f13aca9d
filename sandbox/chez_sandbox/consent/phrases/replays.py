"""What `chez job replay` found."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("REPLAYS",)

REPLAYS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "say.replay": ("replay", "répétition"),
    "replay.same": ("Run {sequence} again, on the same rows: the same, byte for byte: {result}",
                    "Exécution {sequence} refaite, sur les mêmes lignes : la même, octet pour octet : {result}"),
    "replay.different": ("Run {sequence} again, on the same rows, gives another result: {result}, not {released}",
                         "Exécution {sequence} refaite, mêmes lignes, autre résultat : {result}, et non {released}"),
    "replay.untold": ("Run {sequence} again, on the same rows, gives {result}; nothing was released to compare with.",
                      "Exécution {sequence} refaite, mêmes lignes : {result} ; rien n'était parti à quoi comparer."),
    "replay.rows-changed": (
        "Run {sequence} can't be repeated: rows of {tables} changed since, and can't all be rebuilt. Nothing ran.",
        ("Exécution {sequence} impossible à refaire : {tables} a changé depuis, et ne peut être reconstitué. Rien n'a "
        "tourné.")),
    "replay.rebuilt": ("Rows of {tables} changed since: they were rebuilt from their history, as they were then.",
                       "Des lignes de {tables} ont changé depuis : elles sont reconstituées telles qu'alors."),
    "replay.purged": ("  purged since, so that nothing is left of it: {collection} {id}",
                      "  effacé depuis, il n'en reste rien : {collection} {id}"),
    "replay.changed": ("  changed since: {collection} {id} (chez history {collection} {id})",
                       "  changé depuis : {collection} {id} (chez history {collection} {id})"),
    "replay.other-machinery": ("Run {sequence} can't be repeated: the sandbox here is another version. Nothing ran.",
                               "Exécution {sequence} impossible à refaire : autre version du bac à sable ici."),
    "refused.replay.none": ("no run, or runs of several grants, have this id",
                            "aucune exécution, ou celles de plusieurs autorisations, n'a cet identifiant"),
    "refused.replay.none.hint": ("chez left lists runs with their grants", "chez left liste les exécutions"),
    "refused.replay.bundle": ("the grant's record holds other code than the run had",
                              "l'autorisation contient un autre code que celui de l'exécution"),
    "refused.replay.bundle.hint": ("it can't be repeated here", "elle ne peut être refaite ici"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
