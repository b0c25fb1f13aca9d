"""Mail: the real messages, exactly, alone and as a mailbox; against the standard library; broken or hostile ones."""

import hashlib
import mailbox
from base64 import encodebytes
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from chez.connectors import Item, read
from chez.connectors.kit import Sample, memory_is_bounded
from chez.connectors.mail import MAX_TEXT, Mail
from chez.errors import InvalidValue
from chez.vocabulary import Message
from tests.connectors.support import LETTERS, read_bytes, records, rejects

HEAD = b"From: A <a@x.fr>\nTo: b@x.fr\nDate: Wed, 31 Jan 2024 08:00:00 +0100\n"
ENVELOPE = b"From a@x.fr Wed Jan 31 08:00:00 2024\n"


def messages(items: list[Item]) -> list[Message]:
    """The messages among the items."""
    return [one for one in records(items) if isinstance(one, Message)]


def one(data: bytes) -> Message:
    """The one message of a file, which has no rejects."""
    items = read_bytes(Mail(), data)
    (found,) = messages(items)
    assert rejects(items) == []
    return found


def test_the_real_messages() -> None:
    """9 files, 9 messages, nothing rejected; one has no date, one a date that can't be."""
    found = {path.stem: list(read(path)) for path in LETTERS.glob("*.eml")}
    assert all((len(messages(items)), rejects(items)) == (1, []) for items in found.values()) and len(found) == 9
    kept = {name: messages(items)[0] for name, items in found.items()}
    assert kept["example06"] == Message(
        service="mail", id=kept["example06"].id, message_id="3456@example.net",
        at=datetime(1997, 11, 21, 16, 1, 10, tzinfo=UTC),
        sender="mary@example.net", sender_name="Mary Smith", recipients=["jdoe@machine.example"],
        subject="Re: Saying Hello", text="This is a reply to your hello.", reply_to="1234@local.machine.example")
    assert {name for name, message in kept.items() if message.at is None} == {
        "raw_email_bad_time", "utf8_headers", "multiple_content_types"}
    assert kept["utf8_headers"].sender == "jdöe@mächine.example" and kept["multiple_content_types"].text == "foo"
    assert kept["raw_email_bad_time"].sender_name.startswith("Атик")
    assert kept["raw_email12"].attachments == ["image/jpeg"]


def test_the_standard_library_says_the_same() -> None:
    """Dates, ids and what is attached, byte for byte, are those that `email` finds."""
    for path in LETTERS.glob("*.eml"):
        theirs, (ours,) = message_from_bytes(path.read_bytes(), policy=policy.compat32), messages(list(read(path)))
        assert ours.message_id == (theirs["Message-ID"] or "").strip("<> ")
        attached = [part.get_payload(decode=True) for part in theirs.walk()
                    if part.get_filename() or part.get_content_maintype() not in ("text", "multipart")]
        assert [line.split()[0] for line in ours.contents] == [str(len(data)) for data in attached], path.name
        assert [line.split()[1] for line in ours.contents] == [hashlib.sha256(data).hexdigest() for data in attached]


def test_a_mailbox(tmp_path: Path) -> None:
    """The same messages in one mailbox, as the standard library writes it, are the same records."""
    box = mailbox.mbox(tmp_path / "all.mbox")
    alone = []
    for path in sorted(LETTERS.glob("*.eml")):
        box.add(path.read_bytes())
        alone += messages(list(read(path)))
    box.close()
    items = list(read(tmp_path / "all.mbox"))
    assert messages(items) == alone and rejects(items) == []


def test_nobody_takes_a_messages_place_by_its_id() -> None:
    """Whoever knows a message's id may write another one that has it: both are there, whichever comes first and also
    alone in a file, each under the same id as ever; the same message twice is one."""
    true, false = [HEAD + b"Message-ID: <1@x>\n\n" + text + b"\n\n" for text in (b"Pay 10", b"Pay 1000")]
    found = messages(read_bytes(Mail(), ENVELOPE + true + ENVELOPE + false + ENVELOPE + true))
    assert [(one.text, one.message_id) for one in found] == [("Pay 10", "1@x"), ("Pay 1000", "1@x"), ("Pay 10", "1@x")]
    assert found[0].id == found[2].id != found[1].id and found[0].id.startswith("1@x#")
    assert [one.id for one in messages(read_bytes(Mail(), ENVELOPE + false + ENVELOPE + true))] == [
        found[1].id, found[0].id]
    assert [one(true).id, one(false).id] == [found[0].id, found[1].id]


def test_all_that_a_message_says_is_in_its_id() -> None:
    """Another sender's name, or attachment's, or what it answers makes it another message; its labels do not."""
    def told(*headers: str, name: str = "bill.pdf") -> str:
        given = "".join(f"{one}\n" for one in headers) + f"Content-Disposition: attachment; filename={name}\n"
        head = HEAD.replace(b"From: A <a@x.fr>\n", b"") + b"Message-ID: <1@x>\n"
        return one(head + given.encode() + b"\nPay 10\n").id

    same = told("From: Ann <a@x.fr>")
    assert told("From: Ann <a@x.fr>", "X-Gmail-Labels: Bills") == same
    others = {told("From: Bank <a@x.fr>"), told("From: Ann <a@x.fr>", "In-Reply-To: <2@x>"),
              told("From: Ann <a@x.fr>", name="bill.exe")}
    assert len(others) == 3 and same not in others


def test_lines_that_look_like_envelopes() -> None:
    """A message begins at a `From ` line with a time after a blank one only; a quoted one loses its mark."""
    text = b"\nFrom here on:\nFrom x at 08:00\n\n>From me\n\nFrom noon, 12:00, to May\nTo: all\nSubject: no\n"
    items = read_bytes(Mail(), ENVELOPE + HEAD + text + b"\n" + ENVELOPE + HEAD + b"\nsecond\n")
    assert [message.text for message in messages(items)] == [
        "From here on:\nFrom x at 08:00\n\nFrom me\n\nFrom noon, 12:00, to May\nTo: all\nSubject: no", "second"]
    for line in (b"From 1@x Thu Mar 03 12:13:11 +0000 2016", b"From - Tue Jan 05 10:12 2016",
                 b"From a 3 Mar 2016 11:12:13", b"From a Do 3 M\xe4rz 2016 11:12", b"From a 2016-03-03T11:12:13Z"):
        assert Mail().recognise(line + b"\n" + HEAD, "a")
        assert len(messages(read_bytes(Mail(), (line + b"\n" + HEAD + b"\nx\n\n") * 2))) == 2, line


def test_texts_and_encodings() -> None:
    """Plain text goes before HTML, which loses its markup; encodings that lie, or that there are not, are survived."""
    parts = (b"Content-Type: multipart/alternative; boundary=x\n\nfor old programs\n--x\n"
             b"Content-Type: text/html\n\n<p>no\n--x\nContent-Type: text/plain; charset=latin-1\n"
             b"Content-Transfer-Encoding: quoted-printable\n\n=E9t=\n=E9\n--x--\nafter\n")
    assert one(HEAD + parts).text == "été"
    html = b"<style>p {<b>}</style><p>a &lt; b<br>caf\xe9 <!-- <p>x --><i>!</i>\n"
    assert one(HEAD + b"Content-Type: text/html; charset=none\n\n" + html).text == "a < b\ncafé !"
    assert one(HEAD + b"Content-Transfer-Encoding: base64\n\nw6l0w6k=\n").text == "été"
    assert len(one(HEAD + b"\n" + b"x" * 200_000).text) == MAX_TEXT


def test_headers() -> None:
    """Encoded words, folded lists, copies, labels, a date without zone, and an id that is missing."""
    found = one(b"From: =?utf-8?b?w4k=?= <a@x.fr>\nTo: b@x.fr,\n \"C, D\" <c@x.fr>\nCc: b@x.fr, e@x.fr\n"
                b"Subject: =?iso-8859-1?q?=E9t=E9?= =?none?q?=41?=\nX-Gmail-Labels: Inbox,Work\n"
                b"Date: Wed, 31 Jan 2024 08:00:00 -0000\n\nx\n")
    assert (found.sender_name, found.recipients, found.subject, found.folder, found.at) == (
        "É", ["b@x.fr", "c@x.fr", "e@x.fr"], "étéA", "Inbox,Work", datetime(2024, 1, 31, 8, tzinfo=UTC))
    assert found.id.startswith("row:") and one(HEAD + b"\nx\n").id != one(HEAD + b"\ny\n").id


def test_attachments_are_counted_and_not_kept() -> None:
    """Size and hash are of the decoded content, whatever the encoding, without the line end of the boundary."""
    data = bytes(range(256)) * 9
    for encoding, written, held in ((b"base64", encodebytes(data).strip(), data), (b"8bit", b"a\nb", b"a\nb"),
                                    (b"quoted-printable", b"a=3Db=\nc", b"a=bc")):
        found = one(HEAD + b"Content-Type: multipart/mixed; boundary=\"x y\"\n\n--x y\nContent-Disposition:\n attac"
                    b"hment; filename*=utf-8''%C3%A9.bin\nContent-Transfer-Encoding: " + encoding + b"\n\n" + written
                    + b"\n--x y--\n")
        assert found.attachments == ["é.bin"] and found.text == ""
        assert found.contents == [f"{len(held)} {hashlib.sha256(held).hexdigest()}"]


def test_what_is_none_and_what_is_too_much() -> None:
    """A message without headers costs itself; parts inside each other, headers and recipients are bounded."""
    items = read_bytes(Mail(), ENVELOPE + b"\nnothing\n\n" + ENVELOPE + HEAD + b"\nx\n")
    assert len(messages(items)) == 1 and rejects(items) == [(1, "it has none of the headers that a message has")]
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (at, at) for at in range(500))
    assert one(HEAD + deep + b"\nx").text == ""
    copies = b",".join(b"%d@x.fr" % at for at in range(900))
    many = one(HEAD + b"Cc: " + b"c@x.fr, " * 5000 + b"\nBcc: " + copies + b"\n\nx\n")
    assert len(many.recipients) == 100
    assert rejects(read_bytes(Mail(), HEAD + b"Bcc: " + b"(" * 5000 + b"\n\nx\n")) in (
        [], [(1, "a header of it can't be read")])
    with pytest.raises(InvalidValue, match="holds no message"):
        read_bytes(Mail(), b"\n\n")


def test_a_large_attachment_is_held_in_little() -> None:
    """A message of 150 KB takes no more memory than one of 40 KB."""
    line = b"QUJD" * 18 + b"\n"
    whole = HEAD + b"Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n"
    memory_is_bounded(Mail(), Sample(whole + line, grown=lambda count: whole + line * count))
