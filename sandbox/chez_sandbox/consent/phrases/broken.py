"""What is wrong with a job's file, or with what runs it, by the error's code; in French the exact words are quoted."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("BROKEN",)

ASK_AGAIN: Final = ("ask its provider for the file anew", "demandez de nouveau ce fichier à son fournisseur")
NOT_GRANT: Final = ("do not grant it", "ne l'autorisez pas")
LATER: Final = ("try again in a moment", "réessayez dans un instant")

BROKEN: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "error.BundleForged": ("{said}", "la signature de ce fichier n'est pas celle de son fournisseur ({said})"),
    "error.BundleForged.hint": NOT_GRANT,
    "error.BundleUnsigned": ("{said}", "ce fichier n'est pas signé ({said})"),
    "error.BundleUnsigned.hint": ASK_AGAIN,
    "error.BundleMalformed": ("{said}", "ce fichier n'est pas une tâche que cette version sait lire ({said})"),
    "error.BundleMalformed.hint": ASK_AGAIN,
    "error.BundleTooLarge": ("{said}", "ce fichier est trop grand ({said})"),
    "error.BundleTooLarge.hint": ASK_AGAIN,
    "error.ManifestInvalid": ("{said}", "le manifeste de cette tâche n'est pas valable ({said})"),
    "error.ManifestInvalid.hint": ASK_AGAIN,
    "error.RuntimeMissing": ("{said}", "le Python des tâches n'est pas installé ici ({said})"),
    "error.RuntimeMissing.hint": ("install Chez anew", "réinstallez Chez"),
    "error.BadInput": ("{said}", "ces données ne peuvent pas être données à la tâche ({said})"),
    "error.BadInput.hint": ("leave that field out, or grant a shorter window",
                            "retirez ce champ, ou donnez une période plus courte"),
    "error.BadComponent": ("{said}", "le code de cette tâche est refusé ({said})"),
    "error.BadComponent.hint": NOT_GRANT,
    "error.NoiseMissing": ("{said}", "ce qui bruite les valeurs (OpenDP) n'est pas installé ici ({said})"),
    "error.NoiseMissing.hint": ("install it to run such jobs", "installez-le pour lancer de telles tâches"),
    "error.WorkerFailed": ("{said}", "ce qui devait exécuter la tâche n'a pas pu travailler ({said})"),
    "error.WorkerFailed.hint": LATER,
    "error.WallsMissing": ("{said}", "ce système n'a pas les murs qu'il faut autour d'une tâche ({said})"),
    "error.WallsMissing.hint": ("see chez job doctor", "voyez chez job doctor"),
})  # fmt: skip
"""Each sentence in English and French, by a name; `said` is the error's own message."""
