"""What reaches a terminal can't steer it."""

import json
import re
import sys
import time
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime

import click
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from chez.cli import values
from chez.cli.context import Settings
from chez.cli.main import cli
from chez.cli.terminal import Terminal, error, folded, json_text, safe, say, say_lines, table, value_text, when
from chez.errors import InvalidValue, NotFound
from chez_sandbox.consent.catalogue import refused
from tests.cli.support import within

HOSTILE = st.text(st.characters() | st.sampled_from("\x1b\x9b\x07\r\n\x08\x7f\u202e\u2066\u200b\ufeff\x00"))
TEXT = HOSTILE.filter(lambda text: text.isascii() or not re.search("[\ud800-\udfff]", text))
STEERS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]")


@settings(deadline=None)
@given(HOSTILE)
def test_no_text_steers_a_terminal(text: str) -> None:
    """Controls, escapes and direction overrides never pass; ordinary text is left alone."""
    assert not STEERS.search(safe(text))
    assert not STEERS.search(safe(text, lines=True).replace("\n", "").replace("\t", ""))
    if all(unicodedata.category(char)[0] in "LNPSM" or char == " " for char in text):
        assert safe(text) == text


@settings(deadline=None)
@given(st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=2), max_size=3))
def test_json_means_the_same_and_does_not_steer(value: dict[str, object]) -> None:
    """JSON for programs is escaped too, and decodes to what was meant."""
    text = json_text(value)
    assert not STEERS.search(text)
    assert msgspec.json.decode(text) == value


def test_a_name_that_is_no_text_is_still_json() -> None:
    """Bytes of a file name that are not UTF-8 (surrogates in Python) are escaped, not a crash."""
    assert json_text({"file": "a\udcff"}) == '{"file":"a\\udcff"}'


def test_a_refusal_of_a_job_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence that can be said in another language, as a refusal of `chez job` is, is a text to programs."""
    refusal = refused(NotFound, "unknown", id="zz")
    error(Settings(json=True), refusal.code, refusal.message, refusal.hint)
    said = json.loads(capsys.readouterr().err)["error"]
    assert said == {"code": "NotFound", "message": str(refusal.message), "hint": str(refusal.hint)}


def test_an_escape_sequence_is_shown_as_text() -> None:
    """A title that would clear the screen shows what it is."""
    assert safe("\x1b[2Jhi\r\x9b1m\u202e") == "\\x1b[2Jhi\\r\\x9b1m\\u202e"
    assert value_text({"a": "\x1b]0;x\x07"}) == '{"a":"\\u001b]0;x\\u0007"}'


@settings(deadline=None)
@given(st.text())
def test_any_word_is_a_value(word: str) -> None:
    """A value on the command line is JSON or text, never an error."""
    value = values.word_value(word)
    assert value == word or msgspec.json.decode(word) == value


@pytest.mark.parametrize(("word", "value"), [
    ("3", 3), ("3.5", 3.5), ("true", True), ("null", None), ('"3"', "3"), ("[1,2]", [1, 2]), ("", ""),
    ("Tea", "Tea"), ("007", "007"), ("1e999", "1e999"), ("[" * 100_000, "[" * 100_000),
])
def test_values_as_documented(word: str, value: object) -> None:
    """JSON where it is valid JSON, else text."""
    assert values.word_value(word) == value


@pytest.mark.parametrize(("word", "expected"), [
    ("a=1", ("a", "==", 1)), ("a>=2", ("a", ">=", 2)), ("a <= x=y", ("a", "<=", "x=y")),
    ("a!=null", ("a", "!=", None)), ("a<3", ("a", "<", 3)), ("a==b", ("a", "==", "b")),
])
def test_comparisons_as_documented(word: str, expected: tuple[str, str, object]) -> None:
    """A comparison is field, sign, value."""
    assert values.condition(word) == expected


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_as_json_are_a_record_or_a_typed_error(data: bytes) -> None:
    """A damaged JSON text gives InvalidValue and nothing else."""
    try:
        assert isinstance(values.json_object(data, "it"), dict)
    except InvalidValue:
        pass


def test_every_command_of_the_table_loads_under_its_name() -> None:
    """The lazy table names commands that exist, each with a help text."""
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None and command.name == name and command.help


@pytest.mark.parametrize("words", [[], ["blob"], ["job"]])
def test_a_group_alone_shows_its_help_as_it_is(words: list[str]) -> None:
    """`chez` or `chez blob` and no more: the help on standard error, exit code 2; for programs one line."""
    done = within(["", "", "", *words], b"")
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith(f"Usage: {' '.join(['chez', *words])} ") and "\\n" not in done.stderr
    done = within(["", "", "", "--json", *words], b"")
    assert json.loads(done.stderr)["error"]["message"] == "Missing command."


def test_every_command_is_told_under_a_heading_by_a_whole_sentence() -> None:
    """The list of `chez --help` has each command once, none of them cut, and no heading for what has none."""
    shown = within(["", "", "", "--help"], b"").stdout
    told = re.findall(r"^  ([a-z-]+)  ", shown.partition("A home:")[2], re.MULTILINE)
    assert sorted(told) == sorted(cli.list_commands(click.Context(cli)))
    assert "..." not in shown.partition("A home:")[2] and "From other packages" not in shown


def test_a_mistyped_command_is_answered_with_what_is_near() -> None:
    """A name that is none hears which it may have meant."""
    assert "Did you mean 'import'" in within(["", "", "", "improt"], b"").stderr


def test_times_are_local_and_to_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person reads ISO 8601 with seconds and the distance from UTC, in summer as in winter."""
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        assert when("2024-07-01T22:30:05.123Z") == "2024-07-02T00:30:05+02:00"
        assert when("2024-01-01T22:30:05.999999Z") == "2024-01-01T23:30:05+01:00"
        assert when("2024-01-01T22:30:05Z") == "2024-01-01T23:30:05+01:00"
    finally:
        monkeypatch.undo()
        time.tzset()


@settings(deadline=None)
@given(st.text() | st.none() | st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat))
def test_any_time_is_shown(text: str | None) -> None:
    """What is no time, or one of another age, is shown as it is or as a time: never an error."""
    shown = when(text)
    assert shown == (text or "") or datetime.fromisoformat(shown).microsecond == 0


def test_what_is_said_on_standard_error_is_json_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    """A notice, from a command or from the home that it asked, is a line of JSON under --json and text otherwise."""
    with click.Context(cli, obj=Settings(json=True)):
        say("two\nlines", err=True)
        say("the answer")
        Terminal(Settings(json=True)).say("prepared")
    told = capsys.readouterr()
    assert told.out == "the answer\n"
    assert [json.loads(line) for line in told.err.splitlines()] == [{"notice": "two\nlines"}, {"notice": "prepared"}]
    say("plain", err=True)
    assert capsys.readouterr().err == "plain\n"


@pytest.mark.parametrize("line", [
    f"  Who      {'x ' * 45}  Leaves   nothing", f"           | {'x' * 67}  Leaves   nothing",
    f"  Who      {'界' * 40}", f"  Who      {(chr(0x2601) + chr(0xfe0f)) * 36}",
    f"  Who      {chr(0x1f3fb) * 36}", f"  Who      {chr(0x3164) * 36}"])
def test_the_rest_of_a_long_line_begins_as_none_of_ours(line: str, capsys: pytest.CaptureFixture[str],
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal a line of other people's words that is too long goes on further in than any line of a screen
    begins, so that none of them passes for one; elsewhere it stays as it is. Pictures and fillers that a terminal may
    show, or show wider, are as wide as it may."""
    say_lines([line, "a line"])
    assert capsys.readouterr().out == f"{line}\na line\n"
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    say_lines([line, "a line"])
    first, *rest, last = capsys.readouterr().out.splitlines()
    assert last == "a line" and rest and all(one.startswith(" " * 15) for one in rest)
    assert "".join("".join([first, *rest]).split()) == "".join(line.split())
    assert max(map(cell_len, [first, *rest])) <= 80


ASIDE = f"{'x ' * 60}  Leaves   nothing"


@pytest.mark.parametrize("told", [
    lambda: Terminal(Settings()).ask(f"Release {ASIDE} to them? [y/N]", "n"),
    lambda: Terminal(Settings()).say(f"Preparing {ASIDE}"),
    lambda: error(Settings(), "x", f"no such {ASIDE}", ""),
    lambda: error(Settings(), "x", "no such thing", f"see {ASIDE}"),
    lambda: table((*"abcdef", "what"), [(*(["123456789"] * 6), ASIDE)]),
], ids=["a question", "a notice", "an error", "a hint", "a narrow table"])
def test_whatever_is_told_at_a_terminal_goes_on_further_in(told: Callable[[], object], monkeypatch: pytest.MonkeyPatch,
                                                           capsys: pytest.CaptureFixture[str]) -> None:
    """The question before a result leaves, an error, its hint, a notice, a row of a table that does not fit: what is
    somebody else's in it stands nowhere at the margin."""
    monkeypatch.setenv("COLUMNS", "80")
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(click, "prompt", lambda text, **_: click.echo(text, err=True))
    told()
    shown = re.sub("\r\x1b\\[K", "", "".join(capsys.readouterr())).splitlines()
    assert "".join(ASIDE.split()) in "".join("".join(shown).split())
    assert max(map(cell_len, shown)) <= 80
    assert not any(line.startswith(("x", "Leaves")) for line in shown)


@pytest.mark.parametrize("cell", ["x " * 60, f"{chr(0x2601)}{chr(0xfe0f)} " * 40, chr(0x1f3fb) * 50, chr(0x3164) * 60])
def test_no_row_of_a_table_is_wider_than_its_terminal_may_show_it(cell: str, monkeypatch: pytest.MonkeyPatch,
                                                                  capsys: pytest.CaptureFixture[str]) -> None:
    """What a terminal may show wider than the frame holds it for is in a narrower frame, or in none."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    table(("no", "what"), [(1, "rent"), (2, cell)])
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out).splitlines()
    assert max(len(line) + line.count("\u3164") + line.count("\U0001f3fb") for line in shown) <= 60
    assert "".join(cell.split()) in "".join("".join(shown).split())


@pytest.mark.parametrize("columns", [40, 48, 60, 80])
def test_a_time_is_never_folded(columns: int, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    """The journal's table, in a terminal of any width: each time is in one line, and no line is too wide."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    time = "2026-11-28T09:57:19+00:00"
    table(("no", "time", "what"), [(14, time, "You imported 'Lyon.json' (gbfs): 345 added.")], right=("no",))
    shown = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    assert time in shown and "added." in shown
    assert max(map(cell_len, shown.splitlines())) <= columns


@settings(deadline=None)
@given(HOSTILE, st.integers(20, 200))
def test_any_line_is_folded(text: str, width: int) -> None:
    """Nothing of a line but blanks is lost, and it ends."""
    assert "".join("".join(folded(safe(text), width)).split()) == "".join(safe(text).split())
