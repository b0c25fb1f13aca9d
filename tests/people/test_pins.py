"""A home whose relay is pinned to its keys: whoever else answers there is told nothing."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection

import chez
from chez.blobs.tables import Row
from chez.blobs.transfer import Sender
from chez.crypto import Kdf
from chez.errors import InvalidValue, NotFound, RelayUnreachable, WrongPin
from chez.home import answering
from chez.spaces.link import SpaceLink
from chez.spaces.public import Address
from chez.sync import link
from chez.sync.connection import RelayConnection, connect
from chez.sync.patience import Backoff
from chez.sync.socket import Socket
from chez_relay.tls import pin_in
from tests.home.pairing import PASSPHRASE
from tests.people.support import join
from tests.relay.certificates import Authority
from tests.relay.support import relay


@asynccontextmanager
async def _home(folder: Path) -> AsyncIterator[chez.Home]:
    await chez.create(folder, passphrase=PASSPHRASE, name="a", kdf=Kdf.minimum())
    async with chez.open(folder, passphrase=PASSPHRASE) as home:
        yield home


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    made = Authority.make(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def _served(files: tuple[Path, Path]) -> list[str]:
    return ["--set", f"tls_certificate={files[0]}", "--set", f"tls_key={files[1]}"]


async def test_a_pinned_relay_is_used_while_it_has_the_key(tmp_path: Path, authority: Authority) -> None:
    """With the pin of its key all goes as without; with another one the error says so; a list may have the next key."""
    chain, key = authority.issue()
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as home:
        ours, other = pin_in(chain), "sha256:" + "A" * 43 + "="
        await home.set_relay(server.url, pins=[ours])
        await home.collection("notes").put({"n": 1}, id="one")
        assert (await home.sync()).sent
        await home.relays.pin(server.url, [other])
        with pytest.raises(WrongPin, match="told nothing") as caught:
            await home.sync()
        assert "chez relay pin" in caught.value.hint and isinstance(caught.value, RelayUnreachable)
        with pytest.raises(WrongPin):
            async with home.pair():
                pass
        await home.relays.pin(server.url, [other, ours])
        await home.sync()
        (listed,) = home.relays.list()
        assert listed.pins == (other, ours) and listed.url == server.url
    async with chez.open(tmp_path / "a", passphrase=PASSPHRASE) as home:
        assert home.relays.pins(server.url) == (other, ours)
        await home.relays.pin(server.url, [])
        assert home.relays.address(server.url) == server.url


async def test_who_has_another_key_is_sent_nothing(tmp_path: Path, authority: Authority) -> None:
    """Somebody between, with a certificate that the system trusts: TLS begins, and not a byte of HTTP comes after."""
    chain, key = authority.issue()
    came: asyncio.Queue[bytes] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            came.put_nowait(await reader.read(1))
        except ConnectionError:
            came.put_nowait(b"")
        writer.transport.abort()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    try:
        url = f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with _home(tmp_path / "a") as home:
            await home.set_relay(url, pins=["sha256:" + "A" * 43 + "="])
            with pytest.raises(WrongPin):
                await home.sync()
            assert await came.get() == b""
            await home.relays.pin(url, [])
            with pytest.raises(RelayUnreachable):
                await home.sync()
            assert await came.get() == b"G"  # of GET: without pins it is spoken to
    finally:
        server.close()


async def test_a_link_that_stands_is_dialled_anew_when_pins_come(tmp_path: Path, authority: Authority) -> None:
    """Pins that are said while connected hold at once, for the connection that stands too."""
    chain, key = authority.issue()
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url)
        async with home.connect() as link:
            await link.synced(90)
            await home.relays.pin(server.url, ["sha256:" + "A" * 43 + "="])
            async with asyncio.timeout(90):
                while not isinstance(link.error, WrongPin):
                    await link.turn()
            assert link.status == "connecting" and (await home.status()).relays[0].problem.startswith("what answers")
            await home.relays.pin(server.url, [pin_in(chain)])
            link.check()
            await link.synced(90)


async def test_pins_that_come_while_a_link_dials_hold_for_that_connection(
        tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was made to whoever answered, without any pin, and stood for as long as it lasted."""
    chain, key = authority.issue()
    dialling, go_on, plain = asyncio.Event(), asyncio.Event(), ClientConnection.handshake

    async def handshake(self: ClientConnection, *args: Any, **kwargs: Any) -> None:
        dialling.set()
        await go_on.wait()
        await plain(self, *args, **kwargs)

    monkeypatch.setattr(ClientConnection, "handshake", handshake)
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url)
        async with asyncio.timeout(90), home.connect() as link:
            await dialling.wait()
            await home.relays.pin(server.url, ["sha256:" + "A" * 43 + "="])
            go_on.set()
            while link.status == "connecting" and link.error is None:
                await link.turn()
            assert isinstance(link.error, WrongPin)


async def test_who_gives_the_right_pin_waits_for_no_other_try(
        tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The link rested after a wrong one, for as long as it rests then."""
    monkeypatch.setattr(Backoff, "pause", lambda *_: 3600.0)
    files = authority.issue()
    async with relay(tmp_path / "data", *_served(files)) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url, pins=["sha256:" + "A" * 43 + "="])
        async with asyncio.timeout(90), home.connect() as link:
            while link.next_try is None:
                await link.turn()
            assert isinstance(link.error, WrongPin)
            await home.relays.pin(server.url, [pin_in(files[0])])
            await home.synced()


async def test_pins_that_come_while_a_dial_fails_are_tried_by_it(
        tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ended for the former pin, and the link rested: it has the right one now."""
    monkeypatch.setattr(Backoff, "pause", lambda *_: 3600.0)
    files, dialling, go_on, plain = authority.issue(), asyncio.Event(), asyncio.Event(), link.open_socket

    async def dialled(address: str, **options: Any) -> Socket:
        if "A" * 43 in address:
            dialling.set()
            await go_on.wait()
        return await plain(address, **options)

    monkeypatch.setattr(link, "open_socket", dialled)
    async with relay(tmp_path / "data", *_served(files)) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url, pins=["sha256:" + "A" * 43 + "="])
        async with asyncio.timeout(90), home.connect():
            await dialling.wait()
            await home.relays.pin(server.url, [pin_in(files[0])])
            go_on.set()
            await home.synced()


async def test_a_sync_that_brings_pins_goes_on_with_them(tmp_path: Path, authority: Authority) -> None:
    """It failed on every device but the one where the pins were said, as if the relay had gone."""
    chain, key = authority.issue()
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as a:
        await a.set_relay(server.url)
        await a.sync()
        async with join(a, tmp_path / "b", "b", server.url) as b:
            await a.relays.pin(server.url, [pin_in(chain)])
            await a.sync()
            await b.collection("notes").put({"n": 1}, id="one")
            await a.collection("notes").put({"n": 2}, id="two")
            await a.sync()
            seen: list[tuple[int, int]] = []
            report = await b.sync(progress=lambda done, total: seen.append((done, total)))
            assert report.received >= 2  # over both connections; the answer to what was sent may not have come
            assert report.relays[0].received == report.received and seen[-1][0] == report.sent + report.received
            assert b.relays.pins(server.url) == (pin_in(chain),) and not report.problems
            await a.sync()
            assert await a.collection("notes").get("one")


async def test_attachments_that_are_sent_while_pins_come_go_on(
        tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that was sending them failed, though the relay has the key that it is pinned to."""
    files, begun, go_on, read = authority.issue(), asyncio.Event(), asyncio.Event(), Sender._read

    async def slowly(sender: Sender, row: Row) -> bytes | None:
        begun.set()
        await go_on.wait()
        return await read(sender, row)

    monkeypatch.setattr(Sender, "_read", slowly)
    async with relay(tmp_path / "data", *_served(files)) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url)
        blob = await home.blobs.add(b"content")
        await home.collection("files").put({"blob": blob}, id="x")
        syncing = asyncio.create_task(home.sync())
        async with asyncio.timeout(90):
            await begun.wait()
            await home.relays.pin(server.url, [pin_in(files[0])])
            go_on.set()
            await syncing
        assert (await home.blobs.status()).waiting == 0


async def test_no_connection_stands_that_was_made_without_the_pins(
        tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """That over which those who come by invitations are answered stood on for as long as it lasted."""
    chain, key = authority.issue()
    stand, made = [], asyncio.Event()

    @asynccontextmanager
    async def noted(address: str) -> AsyncIterator[RelayConnection]:
        async with connect(address) as connection:
            stand.append(address)
            made.set()
            try:
                yield connection
            finally:
                stand.remove(address)

    monkeypatch.setattr(answering, "connect", noted)
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url)
        space = await home.create_space("trip")
        async with asyncio.timeout(90), home.connect():
            await space.invite()
            await made.wait()
            assert stand == [server.url]
            made.clear()
            await home.relays.pin(server.url, [pin_in(chain)])
            await made.wait()
            assert stand == [home.relays.address(server.url)]


async def test_what_can_be_no_pin_is_refused(tmp_path: Path) -> None:
    """Other hashes, too many, no TLS, and addresses with pins where URLs are meant."""
    good = "sha256:" + "A" * 43 + "="
    async with _home(tmp_path / "a") as home:
        await home.set_relay("wss://relay.example")
        many = ["sha256:" + "A" * 41 + f"{n}A=" for n in range(9)]
        for url, pins in (("wss://relay.example", ["sha1:AAAA"]), ("ws://relay.example", [good]),
                          ("wss://relay.example", many)):
            with pytest.raises(InvalidValue):
                await home.relays.add(url, pins=pins)
        for call in (home.relays.add, home.set_relay, home.sync):
            with pytest.raises(InvalidValue, match="with pins"):
                await call(f"wss://relay.example#{good}")
        assert [one.pins for one in home.relays.list()] == [()]


async def test_who_is_invited_by_a_pinned_relay_dials_no_other(tmp_path: Path, authority: Authority) -> None:
    """An invitation and a space link carry the inviter's pins: who comes by them goes by these, where it had none."""
    chain, key = authority.issue()
    ours, other = pin_in(chain), "sha256:" + "A" * 43 + "="
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url, pins=[ours])
        space = await home.create_space("trip")
        async with _home(tmp_path / "b") as guest, home.connect():
            invitation = await space.invite()
            assert invitation.link is not None
            joined = await guest.join(invitation.link)
            assert joined.name == "trip" and guest.relays.pins(server.url) == (ours,)
            await home.relays.pin(server.url, [ours, other])
            assert SpaceLink.read(space.link()).pins == (ours, other)
            assert guest.relays.pins(server.url) == (ours,)
        async with _home(tmp_path / "c") as stranger:
            wrong = replace(SpaceLink.read(space.link()), pins=(other,)).text
            with pytest.raises(WrongPin):
                await stranger.join(wrong)
            with pytest.raises(InvalidValue):
                await stranger.join(replace(SpaceLink.read(wrong), relay="ws://127.0.0.1:9").text)
            await stranger.set_relay(server.url, pins=[ours])
            with pytest.raises(NotFound):  # its own pins count: the relay is asked, and has no keys for it
                await stranger.join(wrong)


async def test_who_comes_by_an_address_of_a_pinned_relay_dials_no_other(tmp_path: Path, authority: Authority) -> None:
    """A public space's address carries the publisher's pins: a follower goes by these, if it had none of its own."""
    chain, key = authority.issue()
    ours, other = pin_in(chain), "sha256:" + "A" * 43 + "="
    async with relay(tmp_path / "data", *_served((chain, key))) as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url)
        space = await home.create_space("news", public=True)
        await space.collection("notes").put({"n": 1}, id="one")
        await home.sync()
        assert Address.read(space.address).pins == ()
        await home.relays.pin(server.url, [ours])
        address = Address.read(space.address)
        assert address.pins == (ours,)
        wrong = replace(address, pins=(other,)).text
        async with _home(tmp_path / "b") as follower:
            with pytest.raises(WrongPin):
                await follower.follow(wrong)
            assert follower.relays.pins(server.url) == ()  # nothing of the address stays
            followed = await follower.follow(address.text)
            await follower.sync(server.url)
            assert follower.relays.pins(server.url) == (ours,) and await followed.collection("notes").get("one")
        async with _home(tmp_path / "c") as stranger:
            with pytest.raises(InvalidValue):
                await stranger.follow(replace(address, relay="ws://127.0.0.1:9").text)
            await stranger.set_relay(server.url, pins=[ours])
            assert (await stranger.follow(wrong)).name == "news"  # its own pins count


async def test_a_home_is_left_while_a_connection_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The former connection is closed first: who leaves meanwhile waits for no goodbye of a relay, and is gone."""
    plain, closing = ClientConnection.close, asyncio.Event()

    async def close(self: ClientConnection, code: int = 1000) -> None:
        if not closing.is_set():
            closing.set()
            await asyncio.Event().wait()
        await plain(self, code)

    async with relay(tmp_path / "data") as server, _home(tmp_path / "a") as home:
        await home.set_relay(server.url)
        async with asyncio.timeout(90):
            async with home.connect():
                await home.synced()
                monkeypatch.setattr(ClientConnection, "close", close)
                home._syncing.links[0].begin_anew()
                await closing.wait()
        assert home.relays.list()[0].link == "off"
