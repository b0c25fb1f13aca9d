"""People, what they write to each other, and what they say in public."""

from datetime import date, datetime
from typing import ClassVar, Literal

import msgspec

__all__ = ("Contact", "Direction", "Follow", "Message", "Post", "Profile")

Direction = Literal["follower", "following"]


class Contact(msgspec.Struct, kw_only=True):
    """Somebody in an address book.

    RFC 6350 (vCard 4); <https://schema.org/Person>.
    """

    __collection__: ClassVar[str] = "contacts"
    __identity__: ClassVar[tuple[str, ...]] = ("uid",)
    __version__: ClassVar[int] = 1

    uid: str
    """The card's `UID`; else "row:" with a hash of its name and addresses."""
    name: str = ""
    """The name as it is shown (`FN`)."""
    given: str = ""
    """Given names."""
    family: str = ""
    """Family names."""
    organisation: str = ""
    """Where they work."""
    title: str = ""
    """What they do there."""
    emails: list[str] = []
    """Mail addresses, the preferred one first."""
    phones: list[str] = []
    """Telephone numbers as written, the preferred one first; RFC 3966 without "tel:"."""
    addresses: list[str] = []
    """Postal addresses, each as lines of text."""
    links: list[str] = []
    """Web addresses."""
    birthday: date | None = None
    """Day of birth, when its year is known."""
    note: str = ""
    """What else the card says."""
    groups: list[str] = []
    """`CATEGORIES`."""
    updated: datetime | None = None
    """When the card was last changed (`REV`), UTC."""


class Message(msgspec.Struct, kw_only=True):
    """A message from somebody to somebody: mail, a text, a direct message.

    RFC 5322; <https://schema.org/Message>.
    """

    __collection__: ClassVar[str] = "messages"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "id")
    __version__: ClassVar[int] = 3

    service: str
    """"mail", "sms", "twitter", ..."""
    id: str
    """The service's id of the message; of mail its `message_id`, "#" and a hash of what it says; else "row:" with a
    hash."""
    at: datetime | None = None
    """When it was sent, UTC; None when the message does not say, or says nonsense."""
    sender: str = ""
    """Who sent it: a mail address, a number, a handle."""
    sender_name: str = ""
    """Their name, as the message has it."""
    recipients: list[str] = []
    """Whom it was sent to, copies included."""
    subject: str = ""
    """What it is about."""
    text: str = ""
    """What it says, without markup; a long one is cut by its connector."""
    reply_to: str = ""
    """The `id` that it answers; of mail the `message_id`."""
    folder: str = ""
    """Where it lay: a mailbox's or a conversation's name."""
    attachments: list[str] = []
    """The names of files that came with it."""
    contents: list[str] = []
    """Of each attachment, in the same order: its size in bytes and its SHA-256, parted by a blank."""
    message_id: str = ""
    """Of mail: RFC 5322 `Message-ID` without its angle brackets. Its writer chooses it: several may have one."""


class Profile(msgspec.Struct, kw_only=True):
    """The person's own account at a service.

    <https://schema.org/ProfilePage>.
    """

    __collection__: ClassVar[str] = "profiles"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "id")
    __version__: ClassVar[int] = 1

    service: str
    """"twitter", ..."""
    id: str
    """The service's id of the account."""
    handle: str = ""
    """What others call it by, without a leading "@"."""
    name: str = ""
    """The name that is shown."""
    email: str = ""
    """The mail address given to the service."""
    phone: str = ""
    """The telephone number given to the service."""
    created: datetime | None = None
    """When the account was made, UTC."""
    about: str = ""
    """What the person says of themselves there."""


class Follow(msgspec.Struct, kw_only=True):
    """That one account at a service follows another; one side is the person.

    <https://schema.org/FollowAction>.
    """

    __collection__: ClassVar[str] = "follows"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "direction", "id")
    __version__: ClassVar[int] = 1

    service: str
    """"twitter", ..."""
    direction: Direction
    """Whether the other follows the person, or the person the other."""
    id: str
    """The service's id of the other account."""
    handle: str = ""
    """What the other is called, when the export says it."""


class Post(msgspec.Struct, kw_only=True):
    """What the person published at a service.

    <https://schema.org/SocialMediaPosting>.
    """

    __collection__: ClassVar[str] = "posts"
    __identity__: ClassVar[tuple[str, ...]] = ("service", "id")
    __version__: ClassVar[int] = 1

    service: str
    """"twitter", ..."""
    id: str
    """The service's id of the post."""
    at: datetime | None = None
    """When it was published, UTC."""
    text: str = ""
    """What it says."""
    language: str = ""
    """BCP 47 tag, as the service takes it."""
    reply_to: str = ""
    """The `id` of the post that it answers."""
    reactions: int | None = None
    """How many liked it when the export was made."""
    shares: int | None = None
    """How many repeated it when the export was made."""
