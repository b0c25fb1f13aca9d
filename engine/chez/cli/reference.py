"""The reference of the command line, generated from the commands themselves.

`python -m chez.cli.reference > docs/cli.md` writes the page; a test fails when the two differ.
"""

import inspect
from collections.abc import Iterator

import click

from chez.cli.context import COMMON, add_common
from chez.cli.main import cli

__all__ = ("reference",)

_HEAD = """\
# `chez`: the command line

*Generated from the commands by `python -m chez.cli.reference`; change them, not this page.*

Standard output carries the answer, standard error the conversation (with `--json` in lines of
JSON as well: `{"notice": ...}`). Text from data is
shown with control characters escaped, so that it can't steer a terminal.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | Chez says no: one line and a hint, or with `--json` `{"error": {"code", "message", "hint"}}` |
| 2 | the command line itself is wrong |
| 130, 143 | interrupted by Ctrl-C, ended by SIGTERM: what stands is told below |

An error is `chez: what happened and why`, and in the line below what to do next. `chez-job`, `chez-deposit` and
`chez-relay` end in the same way and tell errors under their own names; `chez-relay` has 3 besides, where `doctor`,
`check` or `cluster status` found something to mend. Where standard output is read no further (`| head -1`), a
command ends with 1 and says nothing; what it had done by then stands.

Commands with `--language` answer in English or French, by your locale unless it is said; all others, and most
errors, are in English.

The Tab key completes commands and options once the shell was told, in its file of settings: in bash
`eval "$(_CHEZ_COMPLETE=bash_source chez)"`, in zsh `eval "$(_CHEZ_COMPLETE=zsh_source chez)"`, in fish
`_CHEZ_COMPLETE=fish_source chez | source`.

"""


def reference() -> str:
    """The whole page, in Markdown."""
    context = click.Context(cli, info_name="chez")
    parts = [_HEAD, "## Options of every command\n\n", *_options(cli, common=True)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        if command is not None and not command.hidden:
            parts += _command(command, context, name, 2)
    return "".join(parts).rstrip() + "\n"


def _command(command: click.Command, parent: click.Context, name: str, level: int) -> Iterator[str]:
    context = click.Context(add_common(command), info_name=name, parent=parent)
    yield f"\n{'#' * level} `{context.command_path}`\n\n"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f"    {usage}\n\n"
    yield _prose(command.help or "")
    if lines := list(_options(command, common=False)):
        yield "\n"
        yield from lines
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            child = command.get_command(context, below)
            if child is not None and not child.hidden:
                yield from _command(child, context, below, level + 1)


def _prose(text: str) -> str:
    """Paragraphs as they are; those marked \\b (verbatim for click) as code."""
    paragraphs = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            lines = inspect.cleandoc(paragraph[2:]).splitlines()
            paragraphs.append("\n".join(f"    {line}" for line in lines))
        else:
            paragraphs.append(paragraph)
    return "\n\n".join(paragraphs) + "\n"


def _options(command: click.Command, *, common: bool) -> Iterator[str]:
    rows = []
    for parameter in command.params:
        if not isinstance(parameter, click.Option) or parameter.hidden:
            continue
        if (parameter.opts[0] in COMMON) == common:
            value = "" if parameter.is_flag else f" {parameter.make_metavar(click.Context(command))}"
            meaning = (parameter.help or "").replace("|", "\\|")
            rows.append(f"| `{', '.join(parameter.opts)}{value}` | {meaning} |\n")
    if rows:
        yield "| option | meaning |\n|---|---|\n"
        yield from rows


if __name__ == "__main__":
    click.echo(reference(), nl=False)
