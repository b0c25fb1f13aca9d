"""What installed packages add to `chez`: a broken one takes its own away, and nothing else."""

import json
import os
from pathlib import Path

import pytest

from tests.cli.support import Chez, until

ENTRIES = """[chez.commands]
raising = raising:command
unparsed = unparsed:command
[chez.verbs]
raising = raising
unparsed = unparsed
refusing = refusing
working = working
"""
MODULES = {
    "raising": "raise RuntimeError('secret')\n",
    "unparsed": "def (\n",
    "refusing": "def at_work(home):\n    raise RuntimeError('secret')\n",
    "working": """
from contextlib import asynccontextmanager

@asynccontextmanager
async def at_work(home):
    (home.path / "worked").touch()
    yield
""",
}


@pytest.fixture
def plugged(tmp_path: Path) -> dict[str, str]:
    """The environment of a `chez` with such packages beside those that come with it."""
    folder = tmp_path / "plugins"
    (folder / "plugins-1.dist-info").mkdir(parents=True)
    (folder / "plugins-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins\nVersion: 1\n")
    (folder / "plugins-1.dist-info" / "entry_points.txt").write_text(ENTRIES)
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    return {"PYTHONPATH": os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])}


@pytest.mark.slow
def test_a_broken_package_takes_its_own_commands_away(chez: Chez, plugged: dict[str, str]) -> None:
    """The help shows all others, and why these can't be used; verbs of others are found, and of none it is said why."""
    shown = chez.run("--help", env=plugged).stdout
    assert "import" in shown and "SyntaxError in unparsed:command" in " ".join(shown.split())
    told = chez.run("raising", code=1, env=plugged).stderr
    assert told == "chez: 'raising' is installed but can't be loaded: RuntimeError in raising:command\n"
    assert json.loads(chez.run("--json", "job", "pending", env=plugged).stdout or "[]") == []


@pytest.mark.slow
def test_the_work_of_others_goes_on_while_a_home_is_served(chez: Chez, plugged: dict[str, str]) -> None:
    """What other packages do by themselves begins, and of the broken ones there is a report, without content."""
    chez.made.append(json.loads(chez.run("--json", "up", "--detach", env=plugged).stdout)["pid"])
    until((chez.home / "worked").exists)
    report = chez.home / "unexpected.txt"
    until(lambda: report.exists() and report.read_text().count("RuntimeError") == 2)
    assert "SyntaxError" in report.read_text() and "secret" not in report.read_text()
    assert "in at_work" in report.read_text()
