"""Mail: a mailbox (mbox) as Google, Thunderbird and Apple export it, or a single message (.eml, RFC 5322).

Of a message come home its headers, the beginning of its text, and what was attached by name, size and hash: the
attachments themselves stay in the file. Text is taken from the parts that are plain, else from HTML without its markup.

What the file does not say, and how it is settled here:

- The encoding: text that declares none, or one that there is not, is UTF-8 if it is that, else Windows-1252.
- A date that can't be, such as one in the year 3609, is none; one without zone is UTC.
- A message without `Message-ID` is told by its date, sender, recipients, subject and text.
- Whoever writes a mail chooses its `Message-ID`, also another's. So each is told by it, `#` and a hash of what it says:
  no message takes another's place, whichever file it is in and whichever comes first.
- Its folder: Gmail's labels (`X-Gmail-Labels`), else none; a file's name says nothing.
"""

import codecs
import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header
from email.utils import getaddresses, parsedate_to_datetime
from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import cache
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Found, Item, Progress, Reject, Source, excerpt
from chez.connectors.content_lines import decoded
from chez.connectors.mime import ANY_FROM_LINE, Letter, Part, letters
from chez.errors import InvalidValue
from chez.vocabulary import Message

__all__ = ("Mail",)

HEADS: Final = re.compile(rb"^(from|to|date|subject|message-id|received|return-path|mime-version)[ \t]*:", re.I | re.M)
FIRST: Final = re.compile(rb"(?:\xef\xbb\xbf)?[!-9;-~]{1,80}[ \t]*:")
END_OF_HEAD: Final = re.compile(rb"\r?\n\r?\n")
MESSAGE_ID: Final = re.compile(r"<([^<>\s]{1,512})>")
MARKUP: Final = re.compile(r"<!--|-->|<(/?)([a-z][a-z0-9]*+)[^<>]*+>|<[^<>]*+>", re.I)
"""None of it looks further than the next sign of markup, so that a text costs what it is long."""
UNSEEN: Final = frozenset({"style", "script", "head"})
LINES: Final = frozenset({"br", "p", "div", "tr", "li", "table", "ul", *(f"h{at}" for at in range(1, 7))})
MAX_TEXT: Final = 12 * 1024
"""Characters of a message's text."""
MAX_NAME: Final = 256
MAX_RECIPIENTS: Final = 100
CODECS: Final = (
    "ascii", "utf-8", "utf-16", "latin-1", *(f"iso8859-{at}" for at in (2, 5, 7, 9, 15)),
    *(f"cp125{at}" for at in range(9)), "koi8-r", "koi8-u", "gb18030", "gbk", "gb2312", "big5", "euc-jp", "shift_jis",
    "iso2022_jp", "euc-kr", "mac-roman")


class Mail:
    """Reads mailboxes and single messages into messages."""

    name = "mail"
    version = 3
    title = "mail: mbox and .eml"
    types = (Message,)
    example = (b"From a@x.fr Thu Jan  1 00:00:00 2026\nFrom: =?iso-2022-jp?q?=C9?= <a@x.fr>\nTo: b@x.fr\n"
               b"Date: Thu, 1 Jan 2026 00:00:00 +0100\nContent-Type: multipart/mixed; boundary=x\n\n--x\n"
               b"Content-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n\n<p>=C3=A9&eacute;\n--x\n"
               b"Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename*=utf-8''a\n\nAAAA\n"
               b"--x--\n")

    def recognise(self, head: bytes, name: str) -> bool:
        """A `From ` line with a time, or a message's headers, begin with the file."""
        if ANY_FROM_LINE.match(head):
            return True
        if FIRST.match(head) is None:
            return False
        end = END_OF_HEAD.search(head)
        return len({one.lower() for one in HEADS.findall(head[: end.start() if end else len(head)])}) >= 2

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One `Message` for each. Raises `InvalidValue` when the file has none."""
        _codecs()
        seen = False
        for item in letters(file):
            if isinstance(item, Progress):
                yield item
                continue
            try:
                record = _message(item)
                seen = True
                yield Found(record, item.line)
            except (ValueError, RecursionError) as error:
                told = str(error) if type(error) is ValueError else "a header of it can't be read"
                yield Reject(item.line, told, excerpt(" ".join(f"{name}: {value}" for name, value in list(
                    item.headers.items())[:4])))
                seen = seen or bool(item.headers)
        if not seen:
            raise InvalidValue(f"{source.name!r} holds no message", "Export the mailbox again.")


@cache
def _codecs() -> Mapping[str, codecs.CodecInfo]:
    """The encodings that are read, found once: behind the walls none can be imported, nor looked for."""
    return {_known(name): codecs.lookup(name) for name in CODECS}


def _known(charset: str) -> str:
    name = normalize_encoding(charset).lower()
    return aliases.get(name, name)


def _digest(said: object) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(said), digest_size=16).digest()


def _message(letter: Letter) -> Message:
    headers = letter.headers
    if not any(headers.get(name) for name in ("from", "date", "subject", "message-id", "to")):
        raise ValueError("it has none of the headers that a message has")
    sender = _people(headers.get("from", ""))[:1]
    text = _text(letter.parts)
    attached = [part for part in letter.parts if part.attached]
    record = Message(
        service="mail", id="", message_id=_id(headers.get("message-id", "")), at=_date(headers.get("date", "")),
        sender=sender[0][1] if sender else "", sender_name=sender[0][0] if sender else "",
        recipients=list(dict.fromkeys(address for name in ("to", "cc", "bcc") for _, address in _people(
            headers.get(name, ""))))[:MAX_RECIPIENTS],
        subject=_words(headers.get("subject", ""))[:1024], text=text, reply_to=_id(headers.get("in-reply-to", "")),
        folder=_words(headers.get("x-gmail-labels", ""))[:MAX_NAME],
        attachments=[(_words(part.name) or part.kind)[:MAX_NAME] for part in attached],
        contents=[f"{part.size} {part.digest.hexdigest()}" for part in attached])
    if record.message_id:
        said = [record.at, record.sender, record.sender_name, record.recipients, record.subject, text, record.reply_to,
                record.attachments, record.contents]  # all but its folder, which its owner changes
        record.id = f"{record.message_id}#{_digest(said).hex()}"
    else:
        said = [headers.get("date", ""), record.sender, record.recipients, record.subject, text]
        record.id = f"row:{_digest(said).hex()}"
    return record


def _id(written: str) -> str:
    found = MESSAGE_ID.search(written)
    return found[1] if found else "".join(written.split())[:512]


def _date(written: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(written)
        if not MIN_YEAR < at.year < MAX_YEAR:
            return None
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _people(written: str) -> list[tuple[str, str]]:
    """Names and addresses of a header."""
    found = getaddresses([written]) if written else []
    return [(_words(name)[:MAX_NAME], address.strip()[:320]) for name, address in found if address.strip()]


def _words(written: str) -> str:
    """A header's text, its encoded words (RFC 2047) decoded."""
    if "=?" not in written:
        return " ".join(written.split())
    try:
        pieces = [piece if isinstance(piece, str) else _decoded(piece, charset or "")
                  for piece, charset in decode_header(written)]
    except (HeaderParseError, ValueError):
        return " ".join(written.split())
    return " ".join("".join(pieces).replace("\0", "").split())


def _decoded(data: bytes, charset: str) -> str:
    try:
        codec = _codecs().get(_known(charset)) if charset else None
        if codec is not None:
            return codec.decode(data, "strict")[0].replace("\0", "")
    except ValueError:
        pass  # it is not in that encoding
    return decoded(data)


def _text(parts: list[Part]) -> str:
    for kind in ("text/plain", "text/html"):
        texts = [_decoded(part.content(), part.charset) for part in parts if part.kind == kind and not part.attached]
        whole = "\n".join(_plain(text) if kind == "text/html" else text for text in texts if text.strip())
        if whole.strip():
            return whole.replace("\r\n", "\n").strip()[:MAX_TEXT]
    return ""


def _plain(written: str) -> str:
    """HTML without its markup, its blank lines and its indents."""
    pieces, at, until = [], 0, ""
    for found in MARKUP.finditer(written):
        if not until:
            pieces.append(written[at : found.start()])
        at = found.end()
        name = (found[2] or "").lower()
        if until:
            if found[0] == until or (found[1] and name == until):
                until = ""
        elif found[0] == "<!--":
            until = "-->"
        elif name in UNSEEN and not found[1]:
            until = name
        else:
            pieces.append("\n" if name in LINES else " ")
    if not until:
        pieces.append(written[at:])
    text = html.unescape("".join(pieces))
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.replace("\0", "").splitlines())))
