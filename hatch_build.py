"""The wheel's build hook: puts the Python runtime of jobs into it (hatchling runs this).

The runtime is one WebAssembly artifact of 18 MB, built and never in git. A wheel gets
the one of this tree, built first where there is none, at the place where
chez_sandbox/runtime/artifact.py looks. An editable install gets nothing: bin/setup
builds the artifact afterwards.
"""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RuntimeHook(BuildHookInterface[BuilderConfig]):
    """Adds the artifact to a standard wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is put together."""
        if version != "standard":
            return
        sandbox = Path(self.root) / "sandbox"
        sys.path.insert(0, str(sandbox))
        try:
            from chez_sandbox.runtime.build import ensure_artifact

            artifact = ensure_artifact(self.app.display_info)
        finally:
            sys.path.remove(str(sandbox))
        build_data["force_include"][str(artifact)] = artifact.relative_to(sandbox).as_posix()
