"""The jobs of examples/jobs, signed, and run as a device runs them."""

import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from chez.crypto import SigningKey
from chez_sandbox.bundle import Bundle, build_bundle
from chez_sandbox.consent.execution import Execution, execute
from chez_sandbox.consent.scope import Source, granted_tables
from chez_sandbox.provider.native import run_native
from chez_sandbox.provider.project import open_project
from chez_sandbox.runtime.host import Runtime
from tests.runtime.conftest import ROOT

JOBS: Final = ROOT / "examples" / "jobs"
DATA: Final = ROOT / "tests" / "data"
PLACEHOLDER: Final = SigningKey.from_seed(bytes([1]) * 32)
"""The key of the provider table that an unsigned folder gets (provider/project.py)."""


def example(name: str, replaced: Mapping[str, str] = MappingProxyType({})) -> Bundle:
    """An example job, signed; each text of its manifest that is named is replaced."""
    project = open_project(JOBS / name, None)
    text = project.manifest_text.decode()
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    return build_bundle(text.encode(), project.code, "python", PLACEHOLDER)


async def run_example(runtime: Runtime, bundle: Bundle, source: Source, day: date) -> tuple[Execution, Any]:
    """What an example gives on a day: in the sandbox, and the result as it would leave (None: none).

    Plain Python must give the same bytes before the gate.
    """
    tables = await granted_tables(source, bundle.manifest, day)
    done = await execute(runtime, bundle, tables, bytes(32), day.isoformat())
    parameters = bundle.manifest.parameters_json
    native = await run_native(bundle.code.decode(), parameters, tables, bytes(32), day.isoformat())
    assert native.value == done.run.value
    return done, None if done.admitted is None else json.loads(done.admitted.encoded)


def sample_folder(name: str) -> Path:
    """Where an example's made-up data is."""
    return JOBS / name / "sample"
