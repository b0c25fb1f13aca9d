"""A job's folder: `manifest.toml`, `job.py` (or `job.wasm`, or `job.wat`), `sample/`, `README.md`."""

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import msgspec

from chez.errors import HomeExists, InvalidValue, NotFound
from chez_sandbox.bundle import Kind
from chez_sandbox.form.published import SCHEMA_FILE, schema_text
from chez_sandbox.manifest import Manifest, parse_manifest
from chez_sandbox.provider.keys import ProviderKeys
from chez_sandbox.provider.toml_text import quoted

__all__ = ("Project", "new_project", "open_project")


class Project(msgspec.Struct, frozen=True):
    """A job's folder, read; `manifest_text` already names the provider."""

    folder: Path
    manifest_text: bytes
    manifest: Manifest
    code: bytes
    kind: Kind


def open_project(folder: Path, keys: ProviderKeys | None) -> Project:
    """Read a job's folder.

    A manifest without a [provider] table gets the one of `keys`; without keys (`test`,
    `check`) it gets a placeholder. Raises `NotFound`, `ManifestInvalid`.
    """
    text = _file(folder / "manifest.toml")
    try:
        named = "provider" in tomllib.loads(text.decode())
    except ValueError:
        named = True  # let parse_manifest say what is wrong
    if not named:
        text = text.rstrip(b"\n") + b"\n" + (keys or _placeholder()).card_text
    code, kind = _code(folder)
    return Project(folder, text, parse_manifest(text), code, kind)


def _code(folder: Path) -> tuple[bytes, Kind]:
    if (folder / "job.wasm").exists():
        return _file(folder / "job.wasm"), "component"
    if (folder / "job.wat").exists():
        return _assembled(folder / "job.wat"), "component"
    if not (folder / "job.py").exists():
        raise NotFound(f"{folder} has no code", "a job's code is job.py, or job.wasm or job.wat for a component")
    return _file(folder / "job.py"), "python"


def _assembled(path: Path) -> bytes:
    """A component from its text. Raises `InvalidValue` with the line that is wrong."""
    import wasmtime  # takes 60 ms, which only a job in this form should cost

    try:
        return bytes(wasmtime.wat2wasm(_file(path).decode()))
    except UnicodeDecodeError:
        raise InvalidValue(f"{path} is not UTF-8 text", "save it as UTF-8") from None
    except wasmtime.WasmtimeError as error:
        raise InvalidValue(f"{path} is not WebAssembly text: {error}") from None


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} can't be read: {error.strerror}", "chez-job new NAME makes a job's folder") from None


def _placeholder() -> ProviderKeys:
    seed = "01" * 32
    return ProviderKeys(
        name="(the provider)", contact="(contact)", domain="example.invalid", relay="ws://localhost",
        signing_seed=seed, sealing_seed=seed, inbox_owner_seed=seed, inbox_writer_seed=seed,
    )  # fmt: skip


def new_project(folder: Path, template: Kind = "python") -> None:
    """Make a job's folder from a template. Raises `HomeExists`, `InvalidValue`."""
    name = folder.name
    if not re.fullmatch("[a-z][a-z0-9-]{0,62}", name):
        raise InvalidValue(f"{name!r} can't be a job's id", "lower-case letters, digits and '-', a letter first")
    if folder.exists():
        raise HomeExists(f"{folder} exists", "choose another name")
    here = files("chez_sandbox.provider")
    sources = {file.name: file for file in (here / "template").iterdir()}
    if template == "component":
        # The same job over the same data; its hours stand in the statement, not in parameters.
        del sources["job.py.template"]
        sources |= {file.name: file for file in (here / "template_component").iterdir()}
    (folder / "sample").mkdir(parents=True)
    for file_name, file in sources.items():
        text = file.read_text(encoding="utf-8")
        text = text.replace('"JOB-ID"', quoted(name)).replace("JOB-ID", name)
        target = folder / file_name.removesuffix(".template").replace("sample-", "sample/")
        target.write_text(text, encoding="utf-8")
    # Beside the manifest, whose first line names it: an editor needs no network to read it.
    (folder / SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
