"""The 24 words at the command line: asked back at set-up, checked, split, combined, printed."""

import errno
import re
import stat
import sys
from pathlib import Path

import pytest

from chez.cli.words import columns, read_words, show_words
from chez.errors import InvalidValue
from chez.keys import combine_shares, new_words
from tests.cli.support import Chez, Terminal

OTHER = new_words(bytes(32))


def shown(text: str) -> list[str]:
    """The last 24 words that a terminal has shown."""
    pairs = re.findall(r"\b(\d+)\. ([a-z]+)", text)[-24:]
    return [word for _, word in sorted(pairs, key=lambda pair: int(pair[0]))]


def answer(terminal: Terminal, words: list[str], count: int) -> None:
    """Type so many of the words that are asked back."""
    for _ in range(count):
        terminal.expect("shows all again): ")
        [place] = re.findall(r"Word (\d+) ", terminal.seen)[-1:]
        terminal.seen = ""
        terminal.type(words[int(place) - 1] + "\n")


def begin(empty: Chez) -> tuple[Terminal, list[str]]:
    """Set up at a terminal, to the point where the words are on paper."""
    terminal = Terminal(empty.arguments("init", "--kdf", "minimum"))
    terminal.expect("on paper")
    words = shown(terminal.seen)
    assert len(words) == 24
    terminal.seen = ""
    terminal.type("\n")
    return terminal, words


def test_three_words_are_asked_back_before_the_home_is_made(empty: Chez) -> None:
    """A wrong answer asks again; the home is there after the third right one, and the words are its own."""
    terminal, words = begin(empty)
    terminal.expect("Word ")
    assert "\x1b[2J" in terminal.seen  # the words are off the screen
    terminal.expect("): ")
    terminal.seen = ""
    terminal.type("nonsense\n")
    terminal.expect("try again")
    terminal.seen = terminal.seen.split("try again")[1]
    assert not empty.home.exists()
    answer(terminal, words, 3)
    assert terminal.finish() == 0 and empty.home.exists()
    assert empty.json("recovery", "check", stdin=" ".join(words).encode()) == {"ok": True}


@pytest.mark.parametrize(("columns", "rows"), [(20, 24), (40, 12), (60, 8), (80, 6)])
def test_no_terminal_breaks_a_words_number(columns: int, rows: int, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal of any width each of the 24 words stands with its number in one line, and no line is too wide."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    words = new_words(bytes(32))
    show_words(words)
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns
    found = {int(number): word for number, word in re.findall(r"(?m)(?:^   |  )[ ]?(\d+)\. ([a-z]+)", shown)}
    assert [found[number] for number in range(1, 25)] == words.split()
    assert len([line for line in shown.splitlines() if re.search(r"\d+\. [a-z]", line)]) == rows


def test_words_are_read_as_they_are_shown(tmp_path: Path) -> None:
    """Numbered, in the columns of the screen or one below the other, they are put in order by their numbers; a number
    that is missing, or there twice, makes no phrase of others."""
    words, file = new_words(bytes(32)), tmp_path / "words"
    each = words.split()
    lines = [f"{number}) {word.upper()}," for number, word in enumerate(each, 1)]
    for text in ("\n".join(columns(words)), "\n".join(lines), words):
        file.write_text(text)
        assert read_words(file) == words
    for text in ("\n".join(lines[:-1]), "\n".join([*lines, lines[0]])):
        file.write_text(text)
        with pytest.raises(InvalidValue):
            read_words(file)


def test_a_wrong_word_is_told_by_its_place_and_named_to_nobody_but_the_person(empty: Chez) -> None:
    """At the terminal word 7 is told with what it may be meant for, and asked for again; an error, which may be
    logged, has its place alone, or says how many words there are, or that they do not fit each other."""
    each = OTHER.split()
    wrong = " ".join([*each[:6], "abandno", *each[7:]])
    terminal = Terminal(empty.arguments("recover", "--relay", "ws://127.0.0.1:9"))
    terminal.expect("Your 24 words")
    terminal.type(wrong + "\n")
    terminal.expect("Word 7 was typed as 'abandno': is it 'abandon'?")
    terminal.interrupt()
    assert terminal.finish() == 130 and not empty.home.exists()
    for words, said in ((wrong, "word 7 is none of those"), (" ".join(each[1:]), "but 23"),
                        (" ".join([*each[:-1], "zoo"]), "do not fit each other")):
        found = empty.error("recover", "--relay", "ws://127.0.0.1:9", stdin=words.encode())
        assert said in found["message"] and "aband" not in str(found)


def test_an_empty_answer_shows_the_words_again(empty: Chez) -> None:
    """Who wrote too fast sees all 24 again, and is asked for three others."""
    terminal, words = begin(empty)
    answer(terminal, words, 1)
    terminal.expect("): ")
    terminal.seen = ""
    terminal.type("\n")
    terminal.expect("on paper")
    assert shown(terminal.seen) == words
    terminal.seen = ""
    terminal.type("\n")
    answer(terminal, words, 3)
    assert terminal.finish() == 0 and empty.home.exists()


def test_who_leaves_before_the_words_are_safe_has_no_home(empty: Chez) -> None:
    """Ctrl-C while the words are asked back leaves nothing: no home whose words nobody has."""
    terminal, words = begin(empty)
    answer(terminal, words, 2)
    terminal.expect("): ")
    terminal.interrupt()
    assert terminal.finish() == 130 and not empty.home.exists()


def test_no_confirm_asks_nothing(empty: Chez) -> None:
    """--no-confirm at a terminal shows the words, and that is that."""
    terminal = Terminal(empty.arguments("init", "--kdf", "minimum", "--no-confirm"))
    assert terminal.finish() == 0 and len(shown(terminal.seen)) == 24


@pytest.fixture
def words(empty: Chez, tmp_path: Path) -> Path:
    """The file with the words of a home that was just made."""
    empty.run("init", "--kdf", "minimum", "--words-file", str(tmp_path / "words"))
    return tmp_path / "words"


@pytest.mark.slow
def test_words_are_split_combined_and_printed(empty: Chez, words: Path, tmp_path: Path) -> None:
    """Shares of this home's words give them back, shown or in a private file; pages are private and new."""
    phrase = words.read_text().strip()
    found = empty.json("recovery", "split", "-k", "2", "-n", "3", "--from", str(words))
    assert found["threshold"] == 2 and combine_shares(found["shares"][1:]) == phrase
    text = empty.run("recovery", "split", "-k", "2", "-n", "3", "--from", str(words)).stdout
    assert "Share 3 of 3" in text and "any 2 give the words back" in text
    piped = "\n".join(found["shares"][:2]).encode()
    assert empty.json("recovery", "combine", stdin=piped) == {"words": phrase}
    back = tmp_path / "back"
    for _ in range(2):
        empty.run("recovery", "combine", "--words-file", str(back), stdin=piped, code=1 if back.exists() else 0)
    assert back.read_text().strip() == phrase and stat.S_IMODE(back.stat().st_mode) == 0o600
    for name, marked in (("a.html", "<svg"), ("a.txt", "█")):
        out = tmp_path / name
        said = empty.run("recovery", "sheet", "--out", str(out), "--from", str(words)).stdout
        assert "NOT encrypted" in said and marked in out.read_text() and stat.S_IMODE(out.stat().st_mode) == 0o600
        assert empty.error("recovery", "sheet", "--out", str(out), "--from", str(words))["code"] == "HomeExists"
    one = tmp_path / "one"
    one.write_text(found["shares"][0])
    empty.run("recovery", "sheet", "--share", "--out", str(tmp_path / "share.html"), "--from", str(one))
    assert "share 1" in (tmp_path / "share.html").read_text()


def test_pages_of_all_shares_at_once(empty: Chez, words: Path, tmp_path: Path) -> None:
    """--sheets makes a private folder with one page each, and shows no share."""
    folder = tmp_path / "pages"
    found = empty.run("recovery", "split", "-k", "2", "-n", "3", "--from", str(words), "--sheets", str(folder))
    assert sorted(file.name for file in folder.iterdir()) == [f"share-{n}.html" for n in (1, 2, 3)]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in folder.iterdir())
    assert "academic" not in found.stdout and "NOT encrypted" in found.stdout


def test_of_pages_that_can_not_be_written_none_is_left(
        empty: Chez, words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk leaves neither half a page nor some of a set, and what is asked again has its place free."""
    written: list[int] = []

    def full(descriptor: int) -> None:
        written.append(descriptor)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    split = ("recovery", "split", "-k", "2", "-n", "3", "--from", str(words), "--sheets")
    assert "share-2.html can't be written: No space" in empty.error(*split, str(tmp_path / "pages"))["message"]
    assert not (tmp_path / "pages").exists()
    empty.run(*split, str(tmp_path / "pages"))
    del written[1:]
    sheet = ("recovery", "sheet", "--out", str(tmp_path / "sheet.html"), "--from", str(words))
    assert "No space" in empty.error(*sheet)["message"]
    empty.run(*sheet)
    failed = empty.error(*split, str(words / "pages"))
    assert failed["code"] == "NotAllowed" and "can't be made: Not a directory" in failed["message"]


@pytest.mark.slow
def test_words_of_another_home_are_noticed(empty: Chez, words: Path) -> None:
    """Words that are not this home's are not split unawares, and say so when they are checked; nor are none at all."""
    given = OTHER.encode()
    split = ("recovery", "split", "-k", "2", "-n", "2")
    assert "not those of this home" in empty.error("recovery", "check", stdin=given)["message"]
    assert "not those of this home" in empty.error(*split, stdin=given)["message"]
    assert combine_shares(empty.json(*split, "--any-home", stdin=given)["shares"]) == OTHER
    for wrong in (b"", b"\xff\xfe", b"tea " * 24, b"x" * 20_000):
        assert empty.error("recovery", "check", stdin=wrong)["code"] == "InvalidValue"
    assert empty.error(*split, "--from", "nowhere")["code"] == "NotFound"
    for k, n in (("1", "3"), ("4", "3"), ("2", "17")):
        assert empty.error("recovery", "split", "-k", k, "-n", n, stdin=given)["code"] == "InvalidValue"


def test_shares_are_typed_until_there_are_enough(empty: Chez) -> None:
    """At a terminal a mistyped share is asked for again, and the last one that is needed ends the asking."""
    from chez.keys import split_words

    shares = split_words(OTHER, threshold=2, count=3)
    terminal = Terminal(empty.arguments("recovery", "combine", passphrase=False))
    terminal.expect("Share 1: ")
    terminal.type("nonsense\n")
    terminal.expect("Check its spelling")
    terminal.type(shares[2] + "\n")
    terminal.expect("1 of 2")
    terminal.seen = ""
    terminal.type(shares[0] + "\n")
    terminal.expect("24. ")
    assert terminal.finish() == 0 and shown(terminal.seen) == OTHER.split()
