"""Twitter's (X's) archive: the account, what it published and liked, its direct messages, whom it follows and who
follows it, and what was kept of it.

Each file is a script that assigns a list, `window.YTD.tweets.part0 = [...]`; large archives have several parts. It is
read as what it says and never run. Files of an archive are recognised one by one, so a single one comes home as well.

What the files do not say, and how it is settled here:

- Tweets stand in a wrapper since 2020, and stood without one before; both are read. Their text has `&`, `<` and `>`
  escaped as for HTML, which is undone; so has that of messages and of what was liked.
- A like does not say when it was given.
- A suspension has no id: it is known by its time and what was done.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import BinaryIO, Final

import msgspec

from chez.connectors.api import MAX_YEAR, MIN_YEAR, Item, Source
from chez.connectors.objects import records
from chez.connectors.twitter_messages import LISTS as CONVERSATIONS
from chez.connectors.twitter_messages import messages
from chez.errors import InvalidValue
from chez.vocabulary import Activity, Follow, Message, Post, Profile

__all__ = ("Twitter",)

SERVICE: Final = "twitter"
ASSIGNMENT: Final = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,99}window\.YTD\.([a-z0-9_]{1,64})\.part\d{1,6}\s{0,9}=")
HEAD: Final = 400
_TIME: Final = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d\d) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d) (\d{4})",
                          re.ASCII)
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_COUNT: Final = re.compile(r"\d{1,15}", re.ASCII)


class _Account(msgspec.Struct, rename="camel"):
    account_id: str
    username: str
    account_display_name: str = ""
    email: str = ""
    phone_number: str = ""
    created_at: str = ""


class _Tweet(msgspec.Struct):
    full_text: str | None = None
    text: str = ""
    id_str: str = ""
    id: str | int = ""
    created_at: str = ""
    lang: str = ""
    reply_to: str = msgspec.field(name="in_reply_to_status_id_str", default="")
    favorite_count: str | int | None = None
    retweet_count: str | int | None = None


class _Other(msgspec.Struct, rename="camel"):
    account_id: str


class _Search(msgspec.Struct, rename="camel"):
    saved_search_id: str
    query: str = ""


class _App(msgspec.Struct, rename="camel"):
    app_id: str
    app_names: list[str] = []


class _Suspension(msgspec.Struct, rename="camel"):
    time_stamp: str
    action: str


class _Like(msgspec.Struct, rename="camel"):
    tweet_id: str
    full_text: str = ""
    expanded_url: str = ""


class _Entry(msgspec.Struct, rename="camel"):
    """An object of any of the lists: its wrapper says which."""

    account: _Account | None = None
    tweet: _Tweet | None = None
    follower: _Other | None = None
    following: _Other | None = None
    saved_search: _Search | None = None
    app: _App | None = None
    account_suspension: _Suspension | None = None
    like: _Like | None = None


def _profile(one: _Account) -> Profile:
    return Profile(service=SERVICE, id=_id(one.account_id), handle=one.username, name=one.account_display_name,
                   email=one.email, phone=one.phone_number, created=_instant(one.created_at))


def _post(one: _Tweet) -> Post:
    text = one.full_text if one.full_text is not None else one.text
    return Post(service=SERVICE, id=_id(one.id_str or str(one.id)), at=_instant(one.created_at), text=_plain(text),
                language=one.lang, reply_to=one.reply_to, reactions=_count(one.favorite_count),
                shares=_count(one.retweet_count))


def _search(one: _Search) -> Activity:
    return Activity(service=SERVICE, reference=f"search:{_id(one.saved_search_id)}", kind="search", title=one.query)


def _app(one: _App) -> Activity:
    return Activity(service=SERVICE, reference=f"app:{_id(one.app_id)}", kind="app", title=", ".join(one.app_names))


def _like(one: _Like) -> Activity:
    return Activity(service=SERVICE, reference=f"like:{_id(one.tweet_id)}", kind="like", title=_plain(one.full_text),
                    link=one.expanded_url)


def _suspension(one: _Suspension) -> Activity:
    return Activity(service=SERVICE, reference=f"suspension:{_id(one.time_stamp)}:{one.action}", kind="suspension",
                    at=_instant(one.time_stamp), title=one.action)


def _entry(one: _Entry) -> msgspec.Struct:
    if one.account is not None:
        return _profile(one.account)
    if one.tweet is not None:
        return _post(one.tweet)
    if one.follower is not None:
        return Follow(service=SERVICE, direction="follower", id=_id(one.follower.account_id))
    if one.following is not None:
        return Follow(service=SERVICE, direction="following", id=_id(one.following.account_id))
    if one.saved_search is not None:
        return _search(one.saved_search)
    if one.app is not None:
        return _app(one.app)
    if one.account_suspension is not None:
        return _suspension(one.account_suspension)
    if one.like is not None:
        return _like(one.like)
    raise ValueError("it is no entry of a kind that is read here")


LISTS: Final = frozenset((
    b"account", b"tweet", b"tweets", b"follower", b"following", b"saved_search", b"app",
    b"account_suspension", b"like", *CONVERSATIONS,
))
"""The lists that are read."""


class Twitter:
    """Reads the files of an archive into profiles, posts, messages, follows and activities."""

    name = "twitter"
    version = 2
    title = "Twitter (X) archive, JavaScript"
    types = (Activity, Follow, Message, Post, Profile)

    example = (b'window.YTD.tweets.part0 = [ {"tweet": {"id_str": "1", "full_text": "a",'
               b' "created_at": "Wed Nov 15 13:18:50 +0000 2006"}} ]')

    def recognise(self, head: bytes, name: str) -> bool:
        """A script that assigns one of the lists read here."""
        found = ASSIGNMENT.match(head)
        return found is not None and found[1] in LISTS

    def read(self, file: BinaryIO, source: Source) -> Iterator[Item]:
        """One record for each object of the list. Raises `InvalidValue` when the file assigns none that is read."""
        found = ASSIGNMENT.match(file.read(HEAD))
        if found is None or found[1] not in LISTS:
            raise InvalidValue(f"{source.name!r} is none of the files of a Twitter archive that are read")
        if found[1] in CONVERSATIONS:
            yield from messages(file, SERVICE, _instant, _plain)
            return
        file.seek(0)
        yield from records(file, _reader(found[1]))


def _reader(name: bytes) -> Callable[[bytes], msgspec.Struct]:
    entries, bare = msgspec.json.Decoder(_Entry), msgspec.json.Decoder(_Tweet)

    def read(data: bytes) -> msgspec.Struct:
        try:
            return _entry(entries.decode(data))
        except ValueError:
            if name != b"tweet":
                raise
            return _post(bare.decode(data))

    return read


def _id(text: str) -> str:
    if not text:
        raise ValueError("the number that says what it is about is empty")
    return text


def _plain(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def _count(value: str | int | None) -> int | None:
    if value is None or value == "":
        return None
    if not _COUNT.fullmatch(str(value)):
        raise ValueError("a count is no whole number")
    return int(value)


def _instant(text: str) -> datetime | None:
    """The time in ISO 8601 or in the words of the older files, UTC; None for an empty one."""
    if not text:
        return None
    try:
        if (found := _TIME.fullmatch(text)) is not None:
            month, day, hour, minute, second, sign, ahead, more, year = found.groups()
            zone = timedelta(hours=int(ahead), minutes=int(more))
            at = datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second),
                          tzinfo=timezone(-zone if sign == "-" else zone)).astimezone(UTC)
        else:
            at = datetime.fromisoformat(text)
            at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError("the time is none") from None
    if not MIN_YEAR <= at.year <= MAX_YEAR:
        raise ValueError(f"the year is not between {MIN_YEAR} and {MAX_YEAR}")
    return at
