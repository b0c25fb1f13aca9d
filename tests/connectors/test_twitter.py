"""Twitter's archive, exactly; and what broken or hostile files of it give."""

import io
import json
import os
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chez.connectors import Found, kit, read, recognise
from chez.connectors.twitter import Twitter
from chez.errors import InvalidValue
from chez.vocabulary import Activity, Follow, Message, Post, Profile
from tests.connectors.support import TWITTER, read_bytes, records, rejects, tweets

LIKES = (b'window.YTD.like.part0 = [ {"like": {"tweetId": "9", "fullText": "tea &amp; cake",'
         b' "expandedUrl": "https://twitter.com/i/web/status/9"}},\n{"like": {"tweetId": "10"}} ]')
SAID = ({"reactions": [{"senderId": "2", "reactionKey": "like"}], "urls": [], "mediaUrls": ["https://t.example/1/a.jpg?x"],
         "text": 'me: "conversationId" : "forged" &lt;3', "senderId": "10", "recipientId": "9", "id": "101",
         "createdAt": "2024-01-31T08:00:00.000Z"},
        {"text": "you", "senderId": "9", "recipientId": "10", "id": "102", "createdAt": "2024-01-31T08:01:00.000Z"})
GROUP = {"text": "all", "senderId": "9", "id": "103", "createdAt": "2024-01-31T09:00:00.000Z"}


def conversations(indent: int | None) -> bytes:
    """Messages of two people, and of a group, as the archive lays them out or on one line."""
    made = [{"dmConversation": {"conversationId": "9-10", "messages": [{"messageCreate": one} for one in SAID]}},
            {"dmConversation": {"conversationId": "77", "messages": [
                {"joinConversation": {"initiatingUserId": "9", "createdAt": "2024-01-31T08:59:00.000Z"}},
                {"messageCreate": GROUP}, {"joinConversation": {}}]}}]
    return b"window.YTD.direct_messages.part0 = " + json.dumps(made, indent=indent).encode()


WORDS = conversations(2)


def test_messages_of_two_and_of_a_group() -> None:
    """Each message is one, with its people, its conversation and the files that came with it; what a text says of
    conversations is text; joining is told once."""
    items = read_bytes(Twitter(), WORDS)
    first, second, third = records(items)
    assert first == Message(service="twitter", id="101", at=datetime(2024, 1, 31, 8, 0, tzinfo=UTC), sender="10",
                            recipients=["9"], text='me: "conversationId" : "forged" <3', folder="9-10",
                            attachments=["a.jpg"])
    assert isinstance(second, Message) and (second.sender, second.folder) == ("9", "9-10")
    assert isinstance(third, Message) and (third.recipients, third.folder) == ([], "77")
    assert [reason for _, reason in rejects(items)] == ["the events 'joinConversation' of conversations are not read"]
    folders = [one.folder for one in records(read_bytes(Twitter(), conversations(None))) if isinstance(one, Message)]
    assert folders == ["9-10", "9-10", ""]


def test_a_long_conversation_is_streamed() -> None:
    """A conversation of more than any object may have comes home message by message, across the chunks of the file; a
    bad message costs itself."""
    many = [{"messageCreate": {**SAID[1], "id": str(n), "text": "x" * 500}} for n in range(1000)]
    many[500] = {"messageCreate": {"id": 5}}  # type: ignore[dict-item]
    made = [{"dmConversation": {"conversationId": f"c{n}", "messages": many[n * 100:(n + 1) * 100]}} for n in range(10)]
    items = read_bytes(Twitter(), b"window.YTD.direct_messages.part0 = " + json.dumps(made, indent=1).encode())
    found = [one for one in records(items) if isinstance(one, Message)]
    assert len(found) == 999 and len(rejects(items)) == 1
    assert all(one.folder == f"c{int(one.id) // 100}" for one in found)


def test_likes() -> None:
    """What was liked is an activity, with the words that were, and where they are."""
    assert records(read_bytes(Twitter(), LIKES)) == [
        Activity(service="twitter", reference="like:9", kind="like", title="tea & cake",
                 link="https://twitter.com/i/web/status/9"),
        Activity(service="twitter", reference="like:10", kind="like")]


def test_the_real_files() -> None:
    """Account, apps, followers, followed and searches; a suspension that never was is an empty file, not an error."""
    [profile] = records(list(read(TWITTER / "account.js")))
    assert profile == Profile(service="twitter", id="12497", handle="simonw", name="Simon Willison",
                              email="swillison@example.com", phone="+15555555555",
                              created=datetime(2006, 11, 15, 13, 18, 50, tzinfo=UTC))
    follows = [records(list(read(TWITTER / f"{name}.js"))) for name in ("follower", "following")]
    assert [one.id for one in follows[0] if isinstance(one, Follow)] == ["73747798", "386025404"]
    assert {one.direction for one in follows[1] if isinstance(one, Follow)} == {"following"} and len(follows[1]) == 2
    kept = records([*read(TWITTER / "saved-search.js"), *read(TWITTER / "app.js")])
    assert [(one.kind, one.reference, one.title) for one in kept if isinstance(one, Activity)] == [
        ("search", "search:42214", "simonw"), ("search", "search:55814", "django"),
        ("app", "app:1380676511", "BBC Sounds")]
    assert not records(list(read(TWITTER / "account-suspension.js")))
    assert not any(rejects(list(read(path))) for path in TWITTER.glob("*.js"))


def test_tweets_of_both_forms() -> None:
    """A tweet in its wrapper or without one is a post, its text as it was written, its time in UTC."""
    [post] = records(read_bytes(Twitter(), tweets([7])))
    assert post == Post(service="twitter", id="1000000000000007", at=datetime(2024, 1, 31, 8, 0, 7, tzinfo=UTC),
                        text="fish & chips 7 é", language="en", reactions=7, shares=0)
    old = b'window.YTD.tweet.part1 = [ {"id": 5, "text": "a &lt; b", "created_at": "Tue Jan 30 23:30:00 -0130 2024"} ]'
    [post] = records(read_bytes(Twitter(), old))
    assert isinstance(post, Post) and (post.id, post.text) == ("5", "a < b")
    assert post.at == datetime(2024, 1, 31, 1, 0, tzinfo=UTC)
    written = b'window.YTD.tweet.part1 = [ {"id": 5, "text": "a", "created_at": "2024-01-31T01:00:00"} ]'
    before, found = os.environ.get("TZ"), []
    for zone in ("Asia/Tokyo", "UTC"):  # what a file says is the same wherever it is read
        os.environ["TZ"] = zone
        time.tzset()
        found += [one.at for one in records(read_bytes(Twitter(), written)) if isinstance(one, Post)]
    os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
    time.tzset()
    assert found == [datetime(2024, 1, 31, 1, 0, tzinfo=UTC)] * 2
    held = (b'window.YTD.account_suspension.part0 = [\n{"accountSuspension": '
            b'{"timeStamp": "2020-01-31T00:00:00.000Z", "action": "Unsuspend"}}]')
    [one] = records(read_bytes(Twitter(), held))
    assert isinstance(one, Activity) and one.reference == "suspension:2020-01-31T00:00:00.000Z:Unsuspend"


@pytest.mark.parametrize("bad", [
    '{"tweet": {"id_str": "", "full_text": "x"}}',
    '{"tweet": {"id_str": "1", "created_at": "Wed Jan 99 08:00:00 +0000 2024"}}',
    '{"tweet": {"id_str": "1", "favorite_count": "many"}}', '{"bookmark": {"tweetId": "1"}}', '{"tweet": 1}',
    '{"tweet": {"id_str": "1", "created_at": "Wed Jan 31 08:00:00 +9999 2024"}}', '{"tweet": {"id_str": "1" "x"}}',
])
def test_a_bad_tweet_costs_itself(bad: str) -> None:
    """Without an id, with no time, no count or no JSON it is a reject on its line, and the others come home."""
    items = read_bytes(Twitter(), tweets(range(3), bad))
    assert len(records(items)) == 3 and [line for line, _ in rejects(items)] == [4]


def test_an_archive_is_streamed_and_all_of_it_is_told(tmp_path: Path) -> None:
    """In a zip each file that is known comes home; each that is not is a reject; what is no such file is refused."""
    path = tmp_path / "twitter.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in ("account", "follower", "following", "saved-search", "app", "account-suspension"):
            made.write(TWITTER / f"{name}.js", f"data/{name}.js")
        made.writestr("data/tweets.js", tweets(range(20)))
        made.writestr("data/like.js", LIKES)
        made.writestr("data/direct-messages.js", WORDS)
        made.writestr("data/ad-impressions.js", b"window.YTD.ad_impressions.part0 = []")
        made.writestr("data/tweets_media/1.jpg", b"\xff\xd8")
    items = list(read(path, recognise(path)))
    assert len(records(items)) == 28 + 5 and {one.by for one in items if isinstance(one, Found)} == {"twitter/2"}
    assert len(rejects(items)) == 3
    with pytest.raises(InvalidValue, match="none of the files"):
        list(Twitter().read(io.BytesIO(b"window.YTD.ads.part0 = []"), kit.Source("ads.js", bytes(32), 25)))
