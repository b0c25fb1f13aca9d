"""`chez-job test` and `check`: a job tried on sample data, and judged."""

import asyncio
import json
from datetime import date
from pathlib import Path
from typing import Any, Final

import click

from chez.cli.terminal import json_line, say, say_lines
from chez.errors import InvalidValue, NotFound, StorageFailed
from chez.shown import NO_FILE, UNREADABLE, UNWRITABLE
from chez_sandbox.bundle import MAX_BUNDLE, Bundle, assemble_bundle, open_bundle
from chez_sandbox.job_errors import ManifestInvalid, Problem
from chez_sandbox.provider.generate import generate
from chez_sandbox.provider.judging import check_facts, check_words
from chez_sandbox.provider.project import Project, open_project
from chez_sandbox.provider.trial import Trial, cache_folder, run_trial
from chez_sandbox.release.release import message_size
from chez_sandbox.release.schema import count_text

__all__ = ("FOLDER", "JSON", "bundle_at", "check", "read_file", "test")

FOLDER: Final = click.argument("folder", default=".", type=click.Path(path_type=Path, file_okay=False))
JSON: Final = click.option("--json", "as_json", is_flag=True, help="Answer in JSON for programs.")
SAMPLE: Final = click.option(
    "--sample", type=click.Path(path_type=Path, file_okay=False), help="Sample data (default: sample/)."
)
DATE: Final = click.option("--date", "run_date", help="The date of the run, YYYY-MM-DD (default: today).")


@click.command()
@FOLDER
@SAMPLE
@DATE
@click.option("--generate", "make", is_flag=True, help="First make sample data for the collections that have none.")
@click.option("--seed", type=int, default=0, show_default=True, help="What --generate makes follows from it.")
@JSON
@click.pass_context
def test(
    ctx: click.Context,
    folder: Path,
    sample: Path | None,
    run_date: str | None,
    make: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Run the job on sample data: plain Python with tracebacks, then the real sandbox."""
    project, day = open_project(folder, None), _day(run_date)
    samples = sample or folder / "sample"
    if make:
        for path in _make_samples(project, samples, day, seed):
            say(f"made {path}, for runs on {day}", err=True)
    if samples != folder / "sample":
        _require_folder(samples)
    trial = _try(project, samples, day, watched=False)
    if as_json:
        json_line(_trial_facts(project, trial))
    else:
        say("\n".join(_trial_words(project, trial)))
    ctx.exit(0 if trial.passed else 1)


@click.command()
@click.argument("path", default=".", type=click.Path(path_type=Path))
@SAMPLE
@DATE
@click.option("--strict", is_flag=True, help="Fail on warnings, too.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="BUNDLE",
    help="An older version: what changes, and what results of both tell.",
)
@click.option("--no-run", is_flag=True, help="Look at the manifest alone, and run nothing.")
@JSON
@click.pass_context
def check(
    ctx: click.Context,
    path: Path,
    sample: Path | None,
    run_date: str | None,
    strict: bool,
    against: Path | None,
    no_run: bool,
    as_json: bool,
) -> None:
    """Judge a folder or a bundle: what people will see, how much it tells, what it asks for in vain.

    It is tried on sample data, if there is any. Ends with 1 when something is refused.
    """
    try:
        bundle, trial = bundle_at(path), None
        before = None if against is None else open_bundle(read_file(against))
    except ManifestInvalid as error:
        if not as_json:
            raise
        json_line({"ok": False, "problems": [_problem_facts(problem) for problem in error.problems]})
        ctx.exit(1)
    samples = sample or (path / "sample" if path.is_dir() else None)
    if sample is not None:
        _require_folder(sample)  # lest a job pass that nobody tried, for a folder's name that was mistyped
    if samples is not None and not no_run and any(samples.glob("*.jsonl")):
        project = Project(path, bundle.manifest_text, bundle.manifest, bundle.code, bundle.kind)
        trial = _try(project, samples, _day(run_date), watched=True)
    facts = check_facts(bundle, trial, signed=not path.is_dir(), before=before)
    if as_json:
        json_line(facts)
    else:
        say_lines(check_words(facts))
    ctx.exit(0 if facts["ok"] and not (strict and facts["findings"]) else 1)


def _problem_facts(problem: Problem) -> dict[str, Any]:
    return {name: getattr(problem, name) for name in ("path", "problem", "hint", "line", "column")}


def _day(text: str | None) -> date:
    try:
        return date.fromisoformat(text) if text else date.today()
    except ValueError:
        raise InvalidValue(f"{text} is no date", "such as 2026-01-31") from None


def _try(project: Project, samples: Path, day: date, *, watched: bool) -> Trial:
    return asyncio.run(run_trial(project, samples, day, cache_folder(), _preparing, watched=watched))


def _require_folder(samples: Path) -> None:
    if not samples.is_dir():
        raise NotFound(f"there is no folder {samples}", "sample data is one file of JSON lines for each collection")


def _preparing() -> None:
    say("Preparing the sandbox on this machine, once; this takes half a minute …", err=True)


def _make_samples(project: Project, samples: Path, day: date, seed: int) -> list[Path]:
    """Write what is not there; files that exist are the author's, and stay."""
    made = []
    try:
        samples.mkdir(exist_ok=True)
        for collection, rows in generate(project.manifest, day, seed).items():
            path = samples / f"{collection}.jsonl"
            if not path.exists():
                path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
                made.append(path)
    except OSError as error:
        raise StorageFailed(f"{samples} can't be written: {error.strerror}", UNWRITABLE) from None
    return made


def bundle_at(path: Path) -> Bundle:
    """A folder as an unsigned bundle, or a signed one from its file; raises what reading either raises."""
    return _folder_as_bundle(path) if path.is_dir() else open_bundle(read_file(path))


def _folder_as_bundle(folder: Path) -> Bundle:
    project = open_project(folder, None)
    unsigned = assemble_bundle(project.manifest_text, project.code, project.kind)
    return Bundle(project.manifest, project.kind, project.manifest_text, project.code, unsigned)


def read_file(path: Path) -> bytes:
    """A bundle's file, at most as long as one may be. Raises `NotFound`, `StorageFailed`."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BUNDLE + 1)
    except FileNotFoundError:
        raise NotFound(f"there is no file {path}", NO_FILE) from None
    except OSError as error:
        raise StorageFailed(f"{path} can't be read: {error.strerror}", UNREADABLE) from None


def _trial_facts(project: Project, trial: Trial) -> dict[str, Any]:
    schema, sandbox, native = project.manifest.schema, trial.sandbox, trial.native
    run = sandbox.run
    plain = {} if native is None else {"value": _text(native.value), "trace": native.trace, "log": native.log}
    return {
        "passed": trial.passed,
        "same": trial.same,
        "rows": trial.rows,
        "native": plain or None,
        "sandbox": {
            "outcome": str(run.outcome), "value": _text(run.value), "code": run.code, "fuel": run.fuel, "log": run.log
        },
        "result": None if sandbox.admitted is None else sandbox.admitted.encoded.decode(),
        "problem": str(sandbox.problem),  # of a phrase only its text
        "bits": schema.bits,
        "results": count_text(schema.count),
        "message_bytes": message_size(schema),
    }  # fmt: skip


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


def _indented(text: str) -> list[str]:
    return [f"              {line}" for line in text.splitlines()]


def _trial_words(project: Project, trial: Trial) -> list[str]:
    facts = _trial_facts(project, trial)
    read = ", ".join(f"{count:,} rows of {name}" for name, count in facts["rows"].items())
    lines = [f"{project.manifest.id} {project.manifest.version}, on {read}"]
    if not all(facts["rows"].values()):
        lines.append("              (chez-job test --generate makes sample data for collections that have none)")
    if facts["native"] is not None:
        lines.append(f"plain Python  {facts['native']['value'] or facts['native']['trace'].rstrip()}")
    sandbox = facts["sandbox"]
    lines.append(f"sandbox       {sandbox['value'] or sandbox['outcome'] + ' ' + sandbox['code']}")
    if sandbox["log"]:
        lines += ["printed       (it stays on the person's device)", *_indented(sandbox["log"])]
    if not facts["same"]:
        lines.append("DIFFERENT     the two runs disagree")
    lines.append(f"what leaves   {facts['result'] or 'nothing but the code none: ' + facts['problem']}")
    lines.append(f"bound         {facts['bits']:.2f} bits a run ({facts['results']} possible results)")
    lines.append(f"cost          {sandbox['fuel']:,} fuel of {project.manifest.limits.fuel:,}")
    lines.append(f"message       {facts['message_bytes']} bytes, always")
    return lines
