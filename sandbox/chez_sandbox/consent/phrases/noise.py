"""What is said of values that are noised: on the screen, beside a result, when a version changes, in a refusal."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ("NOISE",)

NOISE: Final[Mapping[str, tuple[str, str]]] = MappingProxyType({
    "refused.epsilon": ("the job asks for an epsilon of {epsilon}, and needs {least} for a window",
                        "la tâche demande un epsilon de {epsilon}, et il lui en faut {least} par période"),
    "refused.epsilon.hint": ("grant that, or less", "accordez cela, ou moins"),
})  # fmt: skip
"""Each sentence in English and French, by a name."""
