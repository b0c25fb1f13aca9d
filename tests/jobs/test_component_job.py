"""A job that is a component of a few hundred bytes, from `chez-job new` to a run on a home."""

import json
from pathlib import Path

import chez
from chez_sandbox.bundle import build_bundle, open_bundle
from chez_sandbox.consent.execution import execute
from chez_sandbox.runtime.host import Outcome, Runtime, Table
from tests.jobs.samples import SIGNING, manifest_text
from tests.jobs.test_flow import chez_job, provider
from tests.jobs.test_grants import grant
from tests.jobs.test_runs import run_once
from tests.runtime.jobs import component

__all__ = ("provider",)  # the fixture


async def test_a_component_goes_the_whole_way(
    provider: Path, provider_cache: Path, home: chez.Home, runtime: Runtime
) -> None:
    """The template's component is tested, built, signed and granted like Python, and its rounded answer leaves."""
    chez_job(provider, "new", "evening", "--template", "component")
    facts = json.loads(chez_job(provider / "evening", "test", "--json", cache=provider_cache))
    assert facts["passed"] and facts["native"] is None and facts["result"] == '{"watts":1100}'
    chez_job(provider, "build", "evening", "--key", "provider.key", "--out", "evening.chez")
    chez_job(provider, "sign", "evening.chez", "--key", "provider.key")
    bundle = open_bundle((provider / "evening.chez").read_bytes())
    assert bundle.kind == "component" and len(bundle.code) < 1000 and not bundle.manifest.parameters
    departure = await run_once(home, (await grant(home, bundle)).grant.id, runtime)
    assert departure.result == b'{"watts":400}'


async def test_the_smallest_component_is_a_job(runtime: Runtime) -> None:
    """A component of some 400 bytes that hands out its parameters lives in the same world, signed and run as any."""
    text = manifest_text().decode().replace('note = "none"', "watts = 1234").encode()
    bundle = build_bundle(text, component(), "component", SIGNING)
    done = await execute(runtime, bundle, [Table("readings", ("local", "watts"), [])], bytes(32), "2026-11-24")
    assert len(bundle.code) < 450
    assert (done.run.outcome, done.admitted and done.admitted.encoded) == (Outcome.OK, b'{"watts":1230}')


def test_a_mistake_in_the_text_names_its_line(tmp_path: Path) -> None:
    """WebAssembly text that does not parse is a typed error with the assembler's line."""
    chez_job(tmp_path, "new", "broken", "--template", "component")
    wat = tmp_path / "broken" / "job.wat"
    wat.write_text(wat.read_text().replace("(canon lower", "(canon lowr"))
    assert "canon lowr" in chez_job(tmp_path, "check", "broken", code=1)
    wat.write_bytes(b"\xff")
    assert "UTF-8" in chez_job(tmp_path, "check", "broken", code=1)
