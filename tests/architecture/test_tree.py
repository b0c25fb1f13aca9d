"""The tree itself: public surface, docstrings, formats, and what must not be in files."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import chez

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    path
    for folder in ("engine", "relay", "sandbox")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "template" not in path.parts
]


def tracked() -> list[Path]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("package", ["chez", "chez_deposit", "chez_durable", "chez_wire", "chez_relay", "chez_sandbox"])
def test_everything_public_is_there(package: str) -> None:
    """Each name in a package's `__all__` resolves."""
    module = importlib.import_module(package)
    assert all(hasattr(module, name) for name in getattr(module, "__all__", ()))


@pytest.mark.parametrize("package", ["chez", "chez_deposit", "chez_durable", "chez_wire", "chez_relay", "chez_sandbox"])
def test_every_module_has_an_exact_all(package: str) -> None:
    """A module's `__all__` is a tuple of what is there, with every function and class that has no underscore.

    Modules of verbs hand those over in `VERBS`.
    """
    wrong = []
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        names = getattr(module, "__all__", ())
        given = {*names, *(verb.__name__ for verb in getattr(module, "VERBS", {}).values())}
        own = {name for name, thing in vars(module).items()
               if (inspect.isclass(thing) or inspect.isfunction(thing))
               and thing.__module__ == found.name and not name.startswith("_")}
        if not isinstance(names, tuple) or own - given or [name for name in names if not hasattr(module, name)]:
            wrong.append((found.name, sorted(own - given)))
    assert wrong == []


def test_the_public_surface_is_exact() -> None:
    """`chez.__all__` is sorted without repeats; what is not in it is not there."""
    assert list(chez.__all__) == sorted(set(chez.__all__))
    with pytest.raises(AttributeError):
        chez.nothing_of_this_name  # noqa: B018


def test_every_module_says_what_it_is() -> None:
    """Each module of the packages has a docstring."""
    assert [path.name for path in SOURCES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_every_label_is_on_the_page_of_formats() -> None:
    """Each derivation and signature label in the code is in docs/formats.md."""
    page = (ROOT / "docs" / "formats.md").read_text()
    labels = {
        label.rstrip()
        for path in SOURCES
        for label in re.findall(r"[\"'](chez/1 [a-z0-9 ]+)", path.read_text())
    }
    assert len(labels) > 30 and [label for label in sorted(labels) if f"`{label}" not in page] == []


def test_no_file_names_this_machine_or_a_registry() -> None:
    """Neither a folder of a machine nor a package registry's address is in the repository."""
    wrong = re.compile(rb"/ho" rb"me/[a-z]+/|/wo" rb"rk/(main|shared)|file:///o" rb"pt/|pypi\.o" rb"rg/simple")
    assert [path.name for path in tracked() if wrong.search(path.read_bytes())] == []
    for path in (ROOT / "requirements.lock", ROOT / "examples" / "requirements.lock"):
        lock = path.read_text()
        assert "://" not in lock and "--index" not in lock and "--find-links" not in lock
