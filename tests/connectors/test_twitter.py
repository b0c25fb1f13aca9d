"""Twitter's archive, exactly; and what broken or hostile files of it give."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chez.connectors import Found, kit, read, recognise
from chez.connectors.twitter import Twitter
from chez.errors import InvalidValue
from chez.vocabulary import Activity, Follow, Post, Profile
from tests.connectors.support import TWITTER, read_bytes, records, rejects, tweets


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
    held = (b'window.YTD.account_suspension.part0 = [\n{"accountSuspension": '
            b'{"timeStamp": "2020-01-31T00:00:00.000Z", "action": "Unsuspend"}}]')
    [one] = records(read_bytes(Twitter(), held))
    assert isinstance(one, Activity) and one.reference == "suspension:2020-01-31T00:00:00.000Z:Unsuspend"


@pytest.mark.parametrize("bad", [
    '{"tweet": {"id_str": "", "full_text": "x"}}',
    '{"tweet": {"id_str": "1", "created_at": "Wed Jan 99 08:00:00 +0000 2024"}}',
    '{"tweet": {"id_str": "1", "favorite_count": "many"}}', '{"like": {"tweetId": "1"}}', '{"tweet": 1}',
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
        made.writestr("data/like.js", b"window.YTD.like.part0 = []")
        made.writestr("data/tweets_media/1.jpg", b"\xff\xd8")
    items = list(read(path, recognise(path)))
    assert len(records(items)) == 28 and {one.by for one in items if isinstance(one, Found)} == {"twitter/1"}
    assert len(rejects(items)) == 2
    with pytest.raises(InvalidValue, match="none of the files"):
        list(Twitter().read(io.BytesIO(b"window.YTD.like.part0 = []"), kit.Source("like.js", bytes(32), 26)))
