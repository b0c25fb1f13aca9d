"""What is said of values that are noised: on the screen, beside a result, when a version changes, in a refusal."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("NOISE",)

NOISE: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    # the screen
    "noise.line": ("{line}; noised: {what}, epsilon {epsilon}", "{line} ; bruité : {what}, epsilon {epsilon}"),
    "noise.count": ("how many rows of {collection}", "combien de lignes de {collection}"),
    "noise.sum": ("the sum of {field} in {collection}, each row taken as {low} to {high}",
                  "la somme de {field} dans {collection}, chaque ligne comptée de {low} à {high}"),
    "noise.mean": ("the mean of {field} in {collection}, each row taken as {low} to {high}",
                   "la moyenne de {field} dans {collection}, chaque ligne comptée de {low} à {high}"),
    "noise.quantile": ("where {share} of {field} in {collection} lie below, each row taken as {low} to {high}",
                       "ce que {share} de {field} dans {collection} n'atteignent pas, ligne comptée de {low} à {high}"),
    "noise.histogram": ("how many rows of {collection} are in each of {bins} groups of {field} ({which})",
                        "combien de lignes de {collection} par groupe de {field} ({bins} : {which})"),
    "noise.bounds": ("bounds {bounds}", "bornes {bounds}"),
    "noise.here": ("your device computes what is noised itself, once for each window: with any one row more or less",
                   "votre appareil calcule ce qui est bruité, une fois par période : une ligne de plus ou de moins"),
    "noise.times": ("of yours no such value is more than {times} times likelier (epsilon {epsilon} for a window)",
                    "ne rend aucune de ces valeurs plus de {times} fois plus probable (epsilon {epsilon} par période)"),
    "noise.unit": ("(that is for one row; what many rows say together, noise does not hide)",
                   "(cela vaut pour une ligne ; ce que beaucoup de lignes disent ensemble, le bruit ne le cache pas)"),
    "noise.alone": ("all of the result is noised: the job's code does not run",
                    "tout le résultat est bruité : le code de la tâche ne tourne pas"),
    "noise.clear": ("the rest has no noise: the job computes it, and may tell of any row it reads",
                    "le reste est sans bruit : la tâche le calcule, et peut parler de toute ligne qu'elle lit"),
    "noise.budget": ("an epsilon of {epsilon} over all windows", "un epsilon de {epsilon} sur toutes les périodes"),
    # beside a result that is shown
    "noise.made-up": ("noised: {keys}; made up here: your rows are not looked at before you grant",
                      "bruité : {keys} ; inventé ici : vos lignes ne sont pas regardées avant que vous autorisiez"),
    "noise.drawn": ("noised: {keys}; drawn once for these days, and the same whenever this is run again",
                    "bruité : {keys} ; tiré une fois pour ces jours, et le même chaque fois que ceci est relancé"),
    # what a new version changes
    "changed.noise-gone": ("nothing of it is noised any more", "rien n'en est plus bruité"),
    "changed.epsilon-more": ("it asks for more epsilon over all windows: {now} (before: {before})",
                            "elle demande plus d'epsilon sur toutes les périodes : {now} (avant : {before})"),
    "changed.epsilon-less": ("it asks for less epsilon over all windows: {now} (before: {before})",
                            "elle demande moins d'epsilon sur toutes les périodes : {now} (avant : {before})"),
    # a grant that can't be given
    "refused.epsilon": ("the job asks for an epsilon of {epsilon}, and needs {least} for a window",
                        "la tâche demande un epsilon de {epsilon}, et il lui en faut {least} par période"),
    "refused.epsilon.hint": ("grant that, or less", "accordez cela, ou moins"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
