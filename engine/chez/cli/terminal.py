"""What the person sees. Standard output is the answer, standard error the conversation.

Data comes from files, other people and organisations: whatever could steer a terminal
(escape sequences, carriage returns, direction overrides) is shown as a visible escape.
"""

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import click
import msgspec

from chez.cli.context import Settings
from chez.errors import NotAllowed
from chez.shown import brief

__all__ = ("Terminal", "error", "folded", "json_line", "json_text", "safe", "say", "say_lines", "say_told",
           "shown_at", "table", "value_text", "when")

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
    "|[\U000e0000-\U000e007f]")
"""C0 and C1 controls, what is invisible or turns the direction of text, lone surrogates.

The joiners U+200C and U+200D stay: several scripts, and emoji, are wrong without them.
"""

_TEXT_BEGINS: Final = re.compile(r" *(?:\S{1,16} {2,})?(?:\| )?")
"""What stands before a line's text on a screen: blanks, a head, the mark of somebody's own words."""

_JSON_UNSAFE: Final = re.compile(
    "[\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]")


READABLE: Final = 12
"""Characters to which a column of a table may be folded: a word, a day."""

WHOLE: Final = 25
"""Characters of a cell without blanks that is not folded: a time, which nobody reads in two lines."""

HANGING: Final = 4
"""Columns by which the rest of a line that is too long for a terminal is indented further than its text."""

NARROWEST: Final = 20
"""Columns that a terminal is taken to have at least."""

_GAP: Final = 3
"""Characters between the columns of a framed table."""


def safe(text: str, *, lines: bool = False) -> str:
    """Text that can't steer a terminal; `lines` keeps line breaks and tabs."""
    return _UNSAFE.sub(lambda found: found[0] if lines and found[0] in "\n\t" else _visible(found[0]), text)


def _visible(char: str) -> str:
    point = ord(char)
    named = {10: "\\n", 13: "\\r", 9: "\\t"}.get(point)
    if named:
        return named
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def json_text(value: Any) -> str:
    """One line of JSON of the same meaning that can't steer a terminal either."""
    try:
        text = msgspec.json.encode(value, enc_hook=_plain).decode()
    except UnicodeEncodeError:
        # A file's name need not be text; the standard library escapes what is none.
        import json

        text = json.dumps(value, separators=(",", ":"))
    return _JSON_UNSAFE.sub(_json_escape, text)


def _plain(value: object) -> str:
    """A text that knows more than its characters, as a sentence that can be said in another language."""
    if not isinstance(value, str):
        raise NotImplementedError
    return str(value)


def _json_escape(found: "re.Match[str]") -> str:
    units = found[0].encode("utf-16-be")
    return "".join(f"\\u{units[i:i + 2].hex()}" for i in range(0, len(units), 2))


def json_line(value: Any) -> None:
    """Print one line of JSON."""
    click.echo(json_text(value))


def say(text: str, *, err: bool = False) -> None:
    """Print text that may hold data; on standard error, where programs were promised JSON, as a notice of one line."""
    if err and _for_programs():
        click.echo(json_text({"notice": text}), err=True)
    else:
        click.echo(safe(text, lines=True), err=err)


def say_lines(lines: Iterable[str], *, err: bool = False) -> None:
    """Print lines with what others wrote, as `say`. At a terminal the rest of one that is too long is indented further
    than any line of ours: where a terminal breaks it, somebody else's words would begin a line as ours do.
    """
    text = "\n".join(lines)
    if not (err and _for_programs()):
        text = "\n".join(part for line in text.split("\n") for part in _shown(safe(line.expandtabs()), err=err))
    say(text, err=err)


def shown_at() -> int:
    """Columns of the terminal at which answers are shown; more than any line has where they go elsewhere."""
    return _columns() if sys.stdout.isatty() else sys.maxsize


def _shown(line: str, *, err: bool) -> list[str]:
    """A line that steers no terminal, folded where one shows it."""
    if not (sys.stderr if err else sys.stdout).isatty():
        return [line]
    return [*folded(line, max(NARROWEST, _columns()))]


def say_told(told: dict[str, Any], *, json: bool) -> None:
    """Print what a verb told: to people its words, to programs all but these."""
    if json:
        json_line({key: value for key, value in told.items() if key != "words"})
    else:
        say_lines(told["words"])


def folded(line: str, width: int) -> Iterator[str]:
    """A line as lines of so many columns, after blanks where there are some."""
    begin = len(_TEXT_BEGINS.match(line)[0])  # type: ignore[index]  # it matches nothing, too
    indent = " " * min(begin + HANGING, width // 2)
    before, at, blank, used = "", 0, begin, 0
    for now, char in enumerate(line):
        size = _size(char)
        if used + size > width:
            # After the last blank in it, or else here; a blank that is just too much goes.
            end = now if char == " " or blank <= max(at, begin) else blank
            yield before + line[at:end].rstrip(" ")
            before, at = indent, end + (char == " ")
            used = len(indent) + sum(map(_size, line[at:now]))
        if char == " ":
            blank = now + 1
        used += size
    yield before + line[at:]


def _size(char: str) -> int:
    """Columns that a character takes at most: one that is none for the library may be seen, or make another wider."""
    from rich.cells import get_character_cell_size

    return get_character_cell_size(char) or (2 if unicodedata.east_asian_width(char) in "WF" else 1)


def _for_programs() -> bool:
    """Whether the command that runs was asked for JSON."""
    ctx = click.get_current_context(silent=True)
    chosen = None if ctx is None else ctx.find_object(Settings)
    return chosen is not None and chosen.json


def value_text(value: Any, *, wide: bool = False) -> str:
    """A value as one cell: strings bare, the rest as JSON."""
    text = value if isinstance(value, str) else "" if value is None and not wide else json_text(value)
    return safe(text)


def when(time: str | None) -> str:
    """A time (RFC 3339) as a person reads it: local, to the second, with its distance from UTC (ISO 8601).

    What is none, or none that this machine's calendar has, is shown as it is.
    """
    try:
        return datetime.fromisoformat(time or "").astimezone().isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return time or ""


def error(settings: Settings, code: str, message: str, hint: str, program: str = "chez") -> None:
    """Print an error of a program: a line and its hint, or for programs one line of JSON, on standard error."""
    message, hint = brief(message), brief(hint)  # an error of the command line quotes it whole
    if settings.json:
        click.echo(json_text({"error": {"code": code, "message": message, "hint": hint}}), err=True)
        return
    _endline()
    for line in (f"{program}: {safe(message)}", *([f"  {safe(hint)}"] if hint else [])):
        for part in _shown(line, err=True):
            click.echo(part, err=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = (),
          empty: str = "") -> None:
    """Print rows as a table: framed at a terminal, plain aligned text otherwise; of no rows, what `empty` says.

    At a terminal too narrow for the columns each row is a block, a line for each cell that says something.
    """
    cells = [[value_text(cell) for cell in row] for row in rows]
    if empty and not cells:
        say(empty, err=True)
        return
    heads = [safe(column) for column in columns]
    if sys.stdout.isatty():
        # What the frame holds for narrower than a terminal may show it must not be broken at the margin either.
        width = _columns() - max(sum(map(_wider, row)) for row in [heads, *cells])
        _framed(heads, cells, right, width) if _fits(heads, cells, width) else _blocks(heads, cells)
        return
    widths = [max((len(row[i]) for row in [heads, *cells]), default=0) for i in range(len(heads))]
    for row in [heads, *cells] if any(heads) else cells:
        click.echo("  ".join(cell.rjust(width) if head in right else cell.ljust(width)
                             for cell, width, head in zip(row, widths, heads, strict=True)).rstrip())


def _wider(text: str) -> int:
    """By how many columns a terminal may show a text wider than the frame of a table holds it for."""
    from rich.cells import cell_len

    return 0 if text.isascii() else max(0, sum(map(_size, text)) - cell_len(text))


def _fits(heads: list[str], cells: list[list[str]], columns: int) -> bool:
    """Whether the columns, each folded to no less than can be read, stand side by side."""
    from rich.cells import cell_len

    rows = [heads, *cells]
    widths = (max(cell_len(row[i]) for row in rows) for i in range(len(heads)))
    return sum((width if _stays(rows, i) else min(width, READABLE)) + _GAP for i, width in enumerate(widths)) <= columns


def _stays(rows: list[list[str]], column: int) -> bool:
    """Whether a column is never folded: none of its cells has a blank, and none is long."""
    from rich.cells import cell_len

    return all(" " not in row[column] and cell_len(row[column]) <= WHOLE for row in rows)


def _blocks(heads: list[str], cells: list[list[str]]) -> None:
    width = max(map(len, heads))
    for number, row in enumerate(cells):
        if number:
            click.echo()
        for head, cell in zip(heads, row, strict=True):
            if cell:
                for part in _shown(f"{head.ljust(width)}  {cell}", err=False):
                    click.echo(part)


def _framed(heads: list[str], cells: list[list[str]], right: Sequence[str], width: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    framed = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(heads))
    for column, head in enumerate(heads):
        framed.add_column(Text(head), justify="right" if head in right else "left", overflow="fold",
                          no_wrap=_stays([heads, *cells], column))
    for row in cells:
        # Text, not str: square brackets in data are no markup.
        framed.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=width).print(framed)


_WIDTH: Final = 28
"""Characters of a bar, where there is room."""

_SHORTEST: Final = 8
"""Characters of a bar that still says something."""


class Terminal:
    """The `Face` of the CLI (chez.agent.ui): conversation on standard error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._french = _in_french()  # asked here: a home that is opened for the command asks from another thread
        self._drawn = ""

    def say(self, text: str) -> None:
        """Print a line."""
        self.clear()
        say_lines([text], err=True)

    def progress(self, done: int, total: int, label: str) -> None:
        """Draw a bar, where somebody looks."""
        if self._settings.json or not _draws():
            return
        room = _columns() - 1
        figures = f"{100 * done // total:3d} %  {done:,} of {total:,}" if total else f"{done:,}"
        left = room - len(safe(label)) - len(figures) - 3
        bar = ""
        if total and left >= _SHORTEST:
            width = min(_WIDTH, left)
            filled = min(width, width * done // total)
            bar = f"{'█' * filled}{'░' * (width - filled)} "
        drawn = f"{safe(label)}  {bar}{figures}"[:room]
        if drawn != self._drawn:
            click.echo("\r\x1b[K" + drawn, err=True, nl=False)
            self._drawn = drawn

    def clear(self) -> None:
        """Take the bar away."""
        if self._drawn:
            _endline()
            self._drawn = ""

    def ask(self, question: str, default: str | None) -> str:
        """Ask at the terminal. Raises `NotAllowed` when nobody is there."""
        self.clear()
        if self._settings.yes:
            return "yes"
        if not sys.stdin.isatty():
            said, hint = _NOBODY[self._french]
            raise NotAllowed(f"{said} {question}", hint)
        # What is asked about may be somebody else's words, too.
        *before, last = _shown(safe(question), err=True)
        for line in before:
            click.echo(line, err=True)
        answer: str = click.prompt(last, default=default, err=True)
        return answer

    def confirm(self, question: str) -> bool:
        """Ask for a yes. Raises as `ask`."""
        return self.ask(question, "no").strip().lower() in ("y", "yes", "o", "oui")

    def show(self, data: dict[str, Any]) -> None:
        """Print a structured event that the command did not take for itself."""
        self.clear()
        if self._settings.json:
            json_line(data)
        else:
            for key, value in data.items():
                say(f"{key}: {value_text(value, wide=True)}")


_NOBODY: Final = (("a person must answer:", "run this at a terminal, or see --yes"),
                  ("quelqu'un doit répondre :", "lancez ceci dans un terminal, ou voyez --yes"))
"""What is said, in English and in French, where nobody is there to be asked."""


def _in_french() -> bool:
    """Whether the command that runs asks in French (`chez.cli.language`); most ask in English alone."""
    ctx = click.get_current_context(silent=True)
    return ctx is not None and ctx.params.get("language") == "fr"


def _columns() -> int:
    import shutil  # a hundredth of a second, of which most commands have no use

    return shutil.get_terminal_size().columns


def _draws() -> bool:
    """Whether standard error is a terminal where a line can be drawn anew: an editor's shell (TERM=dumb) is none."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _endline() -> None:
    if _draws():
        click.echo("\r\x1b[K", err=True, nl=False)
