"""What pages tell people to type is there: every command line on them names commands and options that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from chez.cli.context import add_common
from chez.cli.main import cli as chez
from chez_deposit.cli import cli as deposit
from chez_relay.cli import main as relay
from chez_sandbox.provider.cli import cli as job

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {"chez": add_common(chez), "chez-deposit": deposit, "chez-relay": relay, "chez-job": job}
NAMES = "|".join(PROGRAMS)
BLOCK = re.compile(rf"^(?:    )?((?:{NAMES}) .*)$", re.MULTILINE)
INLINE = re.compile(rf"`((?:{NAMES}) [^`]*)`")
GENERATED = ROOT / "docs" / "cli.md"
"""From the commands themselves, with their usage lines (tests/cli/test_reference.py)."""

PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("*.md")),
         *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page != GENERATED)]


def lines(text: str) -> Iterator[str]:
    """The command lines of a page: in its blocks, where two may stand beside each other, and in its sentences."""
    for found in BLOCK.findall(text.replace("\\\n", " ")):
        yield from re.split(rf" {{3,}}(?=(?:{NAMES}) )", found)
    for found in INLINE.findall(text):
        yield " ".join(found.split())


def words(line: str) -> list[str]:
    """What a shell makes of a line, up to a pipe or a redirection; of a sentence's, roughly that."""
    try:
        split = shlex.split(line, comments=True)
    except ValueError:
        split = line.split()
    ends = [at for at, word in enumerate(split) if re.fullmatch(r"[|<>&;].*|2>.*", word)]
    return split[: ends[0]] if ends else split


def wrong(line: str) -> str:
    """What of a command line is none; empty when all is."""
    first, *rest = words(line)
    command: click.Command = PROGRAMS[first]
    context = click.Context(command, info_name=first)
    known = {"-h", "--help", *_options(command)}
    while isinstance(command, click.Group) and (at := _name_at(command, rest)) is not None:
        below = command.get_command(context, rest[at])
        if below is None and command.name == "relay":  # its argument is an address
            break
        if below is None:
            return f"no command {rest[at]}"
        command, context = below, click.Context(below, info_name=rest.pop(at), parent=context)
        known.update(_options(command))
    asked = (word.strip("[],.;()").partition("=")[0] for word in rest)
    return ", ".join(f"no option {one}" for one in asked if re.match("--?[a-z]", one) and one not in known)


def _options(command: click.Command) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


def _name_at(group: click.Group, rest: list[str]) -> int | None:
    """Where the name of a command stands behind the group's own options."""
    at = 0
    while at < len(rest) and rest[at].startswith("-"):
        option = next((one for one in group.params if rest[at].partition("=")[0] in one.opts), None)
        takes = isinstance(option, click.Option) and not option.is_flag and "=" not in rest[at]
        at += 2 if takes else 1
    return at if at < len(rest) else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_on_pages_are_there(page: Path) -> None:
    """A reader who types what a page shows meets no command or option that is none."""
    found = {line: said for line in lines(page.read_text(encoding="utf-8")) if (said := wrong(line))}
    assert not found


def test_what_is_none_is_found() -> None:
    """The look itself sees a wrong command, a wrong option, and passes an argument."""
    assert wrong("chez space mvoe Trip") == "no command mvoe"
    assert wrong("chez --home laptop put notes tea --nope 2 | head") == "no option --nope"
    assert wrong("chez --home laptop relay ws://127.0.0.1:8787") == ""
