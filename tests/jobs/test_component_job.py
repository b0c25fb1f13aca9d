"""A job that is a component of a few hundred bytes, from `chez-job new` to a run on a home."""

import json
from pathlib import Path

import wasmtime

import chez
from chez_sandbox.bundle import build_bundle, open_bundle
from chez_sandbox.consent.execution import execute
from chez_sandbox.runtime.host import Outcome, Runtime, Table
from tests.jobs.samples import SIGNING, manifest_text
from tests.jobs.test_flow import chez_job, provider
from tests.jobs.test_grants import grant
from tests.jobs.test_runs import run_once

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


LEAST = r"""
(component
  (core module
    (memory (export "m") 1)
    (data (i32.const 0) "\00\00\00\00\0c\00\00\00\0e\00\00\00{\22watts\22:1234}")
    (func (export "a") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "r") (param i32 i32) (result i32) (i32.const 0)))
  (core instance (instantiate 0))
  (type (enum "internal"))
  (export "fail" (type 0))
  (func (param "params" string) (result (result string (error 1)))
    (canon lift (core func 0 "r") (memory (core memory 0 "m")) (realloc (core func 0 "a"))))
  (export "run" (func 0)))
"""
"""A job that says 1234 watts in 204 bytes: no names but those of the world, and of its six codes only one."""


async def test_the_smallest_component_is_a_job(runtime: Runtime) -> None:
    """A component of some 200 bytes with one answer lives in the same world, signed and run as any."""
    bundle = build_bundle(manifest_text(), bytes(wasmtime.wat2wasm(LEAST)), "component", SIGNING)
    done = await execute(runtime, bundle, [Table("readings", ("local", "watts"), [])], bytes(32), "2026-11-24")
    assert len(bundle.code) < 210
    assert (done.run.outcome, done.admitted and done.admitted.encoded) == (Outcome.OK, b'{"watts":1230}')


def test_a_mistake_in_the_text_names_its_line(tmp_path: Path) -> None:
    """WebAssembly text that does not parse is a typed error with the assembler's line."""
    chez_job(tmp_path, "new", "broken", "--template", "component")
    wat = tmp_path / "broken" / "job.wat"
    wat.write_text(wat.read_text().replace("(canon lower", "(canon lowr"))
    assert "canon lowr" in chez_job(tmp_path, "check", "broken", code=1)
    wat.write_bytes(b"\xff")
    assert "UTF-8" in chez_job(tmp_path, "check", "broken", code=1)
