"""Jobs that are components: a few hundred bytes of WebAssembly text each."""

import pytest
import wasmtime
from wasmtime import component as wc

from chez_sandbox.errors import BadComponent
from chez_sandbox.runtime.artifact import find_artifact
from chez_sandbox.runtime.compiled import COMPONENT_LIMIT
from chez_sandbox.runtime.engine import make_engine
from chez_sandbox.runtime.execution import FAILS
from chez_sandbox.runtime.host import Limits, Outcome, RunResult, Runtime
from chez_sandbox.runtime.messages import Done

from .jobs import READINGS, component
from .test_hostile_jobs import run_bare
from .test_limits import TABLE_GROWTH

DATA = """
  (import "chez:job/data@0.1.0" (instance $data
    (export "random" (func (result u64)))
    (export "run-date" (func (result string)))))"""
RANDOM = {
    "imports": DATA + '(core func $random (canon lower (func $data "random")))',
    "host": '(export "random" (func $random))',
    "code": '(import "host" "random" (func $random (result i64)))',
}


async def run(runtime: Runtime, binary: bytes, params: bytes = b'{"a":1}', **limits: int) -> RunResult:
    return await runtime.run_component(binary, params, (READINGS,), Limits(**limits), b"s", "2026-11-24")


def run_alone(engine: wasmtime.Engine, binary: bytes, params: str = '{"a":1}', **limits: int) -> Done:
    """The component in this very process, compiled here: no wall but itself."""
    return run_bare(engine, wc.Component(engine, binary), None, Limits(**limits), params)


@pytest.fixture(scope="module")
def alone() -> wasmtime.Engine:
    """An engine in this process."""
    return make_engine()


async def test_a_component_of_a_few_hundred_bytes_runs(runtime: Runtime) -> None:
    """A plain component gets the parameters and answers; its size is no matter of megabytes."""
    binary = component()
    assert len(binary) < 700
    result = await run(runtime, binary)
    assert (result.outcome, result.value) == (Outcome.OK, b'{"a":1}'), result.log


def with_one_code(code: str, answer: bytes) -> bytes:
    """The least component: one code of failure, and always this answer (a tag, then a code or a text at 12)."""
    data = "".join(f"\\{byte:02x}" for byte in answer)
    return bytes(
        wasmtime.wat2wasm(f"""
    (component
      (core module
        (memory (export "m") 1)
        (data (i32.const 0) "{data}")
        (func (export "a") (param i32 i32 i32 i32) (result i32) (i32.const 64))
        (func (export "r") (param i32 i32) (result i32) (i32.const 0)))
      (core instance (instantiate 0))
      (type (enum "{code}"))
      (export "fail" (type 0))
      (func (param "params" string) (result (result string (error 1)))
        (canon lift (core func 0 "r") (memory (core memory 0 "m")) (realloc (core func 0 "a"))))
      (export "run" (func 0)))
    """)
    )


SAYS_ONE = bytes((0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0)) + b"1"
FAILS_WITH_IT = bytes((1, 0, 0, 0, 0))


def test_a_component_of_less_than_200_bytes_runs(alone: wasmtime.Engine) -> None:
    """It may name fewer codes than the world has; one that the world lacks is never handed out."""
    least = with_one_code("internal", SAYS_ONE)
    assert len(least) < 200
    done = run_alone(alone, least)
    assert (done.outcome, done.value) == (Outcome.OK, b"1"), done.log
    done = run_alone(alone, with_one_code("internal", FAILS_WITH_IT))
    assert (done.outcome, done.value, done.fail) == (Outcome.FAILED, None, "internal")
    done = run_alone(alone, with_one_code("the-names-of-my-rows", FAILS_WITH_IT))
    assert (done.outcome, done.value, done.fail) == (Outcome.REFUSED, None, "")


async def test_a_component_calls_the_host(runtime: Runtime) -> None:
    """It may import `data`, or a part of it; the random numbers are those of the seed."""
    digit = """
        (i32.store8 (i32.const 64)
          (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (call $random) (i64.const 10)))))
        (i32.store (i32.const 4) (i32.const 64)) (i32.store (i32.const 8) (i32.const 1)) (i32.const 0)"""
    first, again = [await run(runtime, component(**RANDOM, run=digit)) for _ in range(2)]
    assert first.outcome is Outcome.OK, first.log
    assert first.value == again.value


def answering(pointer: int, length: int) -> str:
    """ok, with the text there."""
    text = f"(i32.store (i32.const 4) (i32.const {pointer})) (i32.store (i32.const 8) (i32.const {length}))"
    return text + "(i32.const 0)"


def failing(number: int) -> str:
    """err, with the code of this number."""
    code = f"(i32.store8 (i32.const 4) (i32.const {number}))"
    return f"(i32.store8 (i32.const 0) (i32.const 1)) {code} (i32.const 0)"


@pytest.mark.parametrize(("number", "code"), list(enumerate(FAILS[:4])))
async def test_a_component_fails_with_a_code(runtime: Runtime, number: int, code: str) -> None:
    """Its failure is one of the closed set."""
    result = await run(runtime, component(run=failing(number)))
    assert (result.outcome, result.code) == (Outcome.FAILED, code)


ATTACKS = {
    "loops": (component(run="(loop (br 0)) unreachable"), {"fuel": 10**7}, Outcome.FUEL),
    "recurses": (component(run="(call $run (local.get 0) (local.get 1))"), {}, Outcome.STACK),
    "starts with too much memory": (component(memory="4000"), {}, Outcome.MEMORY),
    "traps": (component(run="unreachable"), {}, Outcome.CRASHED),
    "reads out of bounds": (component(run="(i32.load (i32.const -4))"), {}, Outcome.CRASHED),
    "loops when it starts": (
        component(extra="(func $s (loop (br 0))) (start $s)"), {"fuel": 10**7}, Outcome.FUEL),
    "answers no JSON": (component(run=answering(0, 4)), {}, Outcome.REFUSED),
    "answers no UTF-8": (
        component(run="(i32.store8 (i32.const 99) (i32.const 255))" + answering(99, 1)), {}, Outcome.CRASHED),
    "answers from beyond its memory": (component(run=answering(65000, -1)), {}, Outcome.CRASHED),
    "answers an unknown code": (component(run=failing(77)), {}, Outcome.CRASHED),
    "floods the host with calls": (
        component(**RANDOM, run="(loop (drop (call $random)) (br 0)) unreachable"),
        {"calls": 1000}, Outcome.FUEL),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
async def test_a_hostile_component_ends_in_its_outcome(runtime: Runtime, name: str) -> None:
    """Each ends in its fixed outcome, without a value."""
    binary, limits, outcome = ATTACKS[name]
    result = await run(runtime, binary, **limits)  # type: ignore[arg-type]
    assert (result.outcome, result.value) == (outcome, None), result.log


async def test_a_flood_of_calls_while_it_starts_ends_in_its_outcome(runtime: Runtime) -> None:
    """What stops a run in a call of the host is its outcome also where the component is just being made, and its log
    says so."""
    flood = component(**RANDOM, extra="(func $s (loop (drop (call $random)) (br 0))) (start $s)")
    result = await run(runtime, flood, calls=1000)
    assert (result.outcome, result.log) == (Outcome.FUEL, "stopped: more than 1000 host calls")


@pytest.mark.parametrize("name", ATTACKS)
def test_a_hostile_component_ends_without_any_other_wall(alone: wasmtime.Engine, name: str) -> None:
    """With no process and no operating system's wall around, each ends in the same outcome."""
    binary, limits, outcome = ATTACKS[name]
    done = run_alone(alone, binary, **limits)  # type: ignore[arg-type]
    assert (done.outcome, done.value) == (outcome, None), done.log


def test_tables_and_instances_are_limited_without_any_other_wall(alone: wasmtime.Engine) -> None:
    """A table does not grow beyond its limit, nor has a component more instances, in the component alone."""
    assert run_alone(alone, TABLE_GROWTH, "1", tables=200_000).outcome is Outcome.OK
    assert run_alone(alone, TABLE_GROWTH, "1").outcome is Outcome.CRASHED
    assert run_alone(alone, component(), instances=2).outcome is Outcome.OK
    assert run_alone(alone, component(), instances=0).outcome is Outcome.REFUSED


def importing(name: str, kind: str = '(instance (export "get-random-u64" (func (result u64))))') -> bytes:
    return component(imports=f'(import "{name}" {kind})')


REFUSED = {
    "random": importing("wasi:random/random@0.2.0"),
    "files": importing("wasi:filesystem/preopens@0.2.0"),
    "sockets": importing("wasi:sockets/tcp@0.2.0"),
    "clock": importing("wasi:clocks/wall-clock@0.2.0"),
    "environment": importing("wasi:cli/environment@0.2.0"),
    "another version of data": importing("chez:job/data@0.2.0"),
    "a function of its own": importing("now", "(func (result u64))"),
    "a function that data does not have": component(
        imports='(import "chez:job/data@0.1.0" (instance (export "now" (func (result u64)))))'),
    "a function of another type": component(
        imports='(import "chez:job/data@0.1.0" (instance (export "run-date" (func (result u64)))))'),
    "a shared memory": component(memory="1 1 shared"),
    "a thread": component(extra="(func (drop (i32.atomic.load (i32.const 0))))"),
    "a core module": b"\0asm\x01\0\0\0",
    "text": b"(component)",
    "nothing": b"",
    "noise": b"\0asm" + bytes(range(200)),
    "half": component()[:-20],
    "an empty component": b"\0asm\x0d\0\x01\0",
    "too large": b"\0asm\x0d\0\x01\0" + bytes(COMPONENT_LIMIT),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_a_component_of_another_world_is_refused_at_load(runtime: Runtime, name: str) -> None:
    """What imports WASI, or is no component of our world, is REFUSED before anything of it runs."""
    result = await run(runtime, REFUSED[name])
    assert (result.outcome, result.value, result.fuel) == (Outcome.REFUSED, None, 0), result.log
    assert "refused: " in result.log
    assert "not permitted" not in result.log  # by our word, not by an accident of a wall


UNCOMPILED = {"a shared memory", "a thread", "a core module", "nothing", "noise", "half", "too large"}


@pytest.mark.parametrize("name", sorted(UNCOMPILED))
def test_the_engine_compiles_no_threads_and_no_noise(alone: wasmtime.Engine, name: str) -> None:
    """Shared memory and its instructions, or what is no component, do not become code at all."""
    with pytest.raises(wasmtime.WasmtimeError):
        wc.Component(alone, REFUSED[name])


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - UNCOMPILED))
def test_the_list_of_imports_holds_without_any_other_wall(alone: wasmtime.Engine, name: str) -> None:
    """A component of another world is refused by the list of imports itself, before anything of it runs."""
    done = run_alone(alone, REFUSED[name])
    assert (done.outcome, done.value, done.fuel) == (Outcome.REFUSED, None, 0), done.log
    assert "refused: " in done.log


@pytest.mark.parametrize("name", ["random", "files", "nothing", "half", "too large"])
async def test_preparing_says_why_a_component_is_refused(runtime: Runtime, name: str) -> None:
    """`prepare` raises BadComponent, so that a bundle can be refused before anybody consents to it."""
    with pytest.raises(BadComponent):
        await runtime.prepare(REFUSED[name])


async def test_the_python_runtime_is_no_job(runtime: Runtime) -> None:
    """The runtime's own world takes another argument: as a job it is refused."""
    await runtime.prepare()  # its code may have been let go meanwhile, and to compile it as a provider's takes a minute
    assert (await run(runtime, find_artifact().read_bytes())).outcome is Outcome.REFUSED
