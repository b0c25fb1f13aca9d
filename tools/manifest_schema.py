"""Prints the JSON Schema of manifest.toml.

    python -m tools.manifest_schema > sandbox/chez_sandbox/form/manifest.schema.json
"""

import sys

from chez_sandbox.form.published import render
from chez_sandbox.manifest import Manifest

if __name__ == "__main__":
    sys.stdout.write(render(Manifest))
