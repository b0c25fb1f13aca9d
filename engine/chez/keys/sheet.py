"""A page to print: the 24 words, or one share of them, in words and as a QR code.

One file that loads nothing: HTML, or plain text for a printer without a browser. What it
says is a secret in clear; whoever makes it says so, and so does the page.
"""

from html import escape
from typing import Final

from chez import qr
from chez.errors import InvalidValue
from chez.keys.person import entropy_of
from chez.keys.shares import read_share

__all__ = ("recovery_sheet",)

_COLUMNS: Final = 3
_WARNING: Final = ("This page is NOT encrypted. Print it, keep the paper where you keep what must not get lost or be "
                   "read, and delete the file; a printer may keep a copy.")

_STYLE: Final = """body{font:11pt/1.4 sans-serif;max-width:17cm;margin:1cm auto;color:#000;background:#fff}
ol{columns:3;font:12pt/1.7 monospace}.warning{border:2px solid #000;padding:.5em}svg{width:6cm;height:6cm}
@page{size:A4;margin:1.5cm}"""


def recovery_sheet(secret: str, *, made: str, person: str = "", html: bool = True) -> str:
    """The page for a phrase of 24 words or for one share: a whole document.

    `made` is the date that it shows, `person` whose it is (a name or a fingerprint, shown as
    it is). Raises `InvalidValue` for what is neither a phrase nor a share.
    """
    words = secret.lower().split()
    title, use = _told(" ".join(words))
    facts = [f"Made {made}.", *([f"Of {person}."] if person else [])]
    return _html(title, use, facts, words) if html else _text(title, use, facts, words)


def _told(secret: str) -> tuple[str, str]:
    """What the page is called, and what to do with it."""
    if len(secret.split()) == 24:
        entropy_of(secret)
        return "Chez: 24 recovery words", ("Whoever has these words has everything of yours. With them a new device "
                                           "gets all of it back from the relay. The order counts.")
    try:
        share = read_share(secret)
    except InvalidValue as error:
        raise InvalidValue(f"this is neither 24 recovery words nor a share of them: {error.message}",
                           error.hint) from None
    use = (f"Any {share.threshold} shares of set {share.set} give the 24 recovery words back: chez recovery combine. "
           f"Fewer than {share.threshold} say nothing. Keep shares apart from each other. The order of words counts.")
    return f"Chez: share {share.number} of recovery words, set {share.set}", use


def _html(title: str, use: str, facts: list[str], words: list[str]) -> str:
    listed = "".join(f"<li>{escape(word)}</li>" for word in words)
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<style>{_STYLE}</style></head>\n<body><h1>{escape(title)}</h1>\n"
            f'<p class="warning"><strong>{escape(_WARNING)}</strong></p>\n<p>{escape(use)}</p>\n<ol>{listed}</ol>\n'
            f"<p>{qr.svg(' '.join(words))}</p>\n<p>{escape(' '.join(facts))}</p>\n</body></html>\n")


def _text(title: str, use: str, facts: list[str], words: list[str]) -> str:
    rows = -(-len(words) // _COLUMNS)
    lines = ["   ".join(f"{n + 1:2}. {words[n]:12}" for n in range(row, len(words), rows)).rstrip()
             for row in range(rows)]
    return "\n".join([title, "=" * len(title), "", _WARNING, "", use, "", *lines, "", *qr.blocks(" ".join(words)), "",
                      *facts, ""])
