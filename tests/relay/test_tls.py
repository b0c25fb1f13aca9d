"""wss:// with certificate files: who is trusted, and certificates that are replaced while the relay serves."""

import asyncio
import base64
import datetime
import hashlib
import os
import signal
import ssl
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chez.errors import RelayUnreachable
from chez.sync.connection import connect, open_socket
from chez_relay.cli import main
from chez_relay.errors import BadConfiguration
from chez_relay.tls import Certificate
from chez_wire.login import Role
from tests.relay.certificates import Authority
from tests.relay.support import Process, Space, relay

SPACE = Space()


def options(files: tuple[Path, Path]) -> list[str]:
    return ["--set", f"tls_certificate={files[0]}", "--set", f"tls_key={files[1]}"]


def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authority.file)


async def test_a_device_appends_over_tls_to_a_relay_that_its_authority_vouches_for(tmp_path: Path) -> None:
    """wss:// with a private authority: given as a context, or by SSL_CERT_FILE as the system's tools have it."""
    authority = Authority.make(tmp_path)
    async with relay(tmp_path / "data", *options(authority.issue())) as process:
        assert process.url.startswith("wss://127.0.0.1:")
        async with connect(process.url, tls=trusting(authority)) as device:
            await device.create_space(SPACE.admin, *SPACE.others)
            await device.open(SPACE.claims(Role.APPEND))
            assert (await device.append(SPACE.handle, Role.APPEND, SPACE.envelope(1))).offset == 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SSL_CERT_FILE", str(authority.file))
            async with connect(process.url):
                pass


async def test_a_certificate_that_nobody_vouches_for_is_refused_with_a_word_on_what_to_do(tmp_path: Path) -> None:
    """Without the authority, by another name, and without TLS at all there is no connection."""
    authority = Authority.make(tmp_path)
    async with relay(tmp_path / "data", *options(authority.issue())) as process:
        with pytest.raises(RelayUnreachable, match="not to be trusted") as caught:
            await open_socket(process.url)
        assert "SSL_CERT_FILE" in caught.value.hint
        with pytest.raises(RelayUnreachable, match="not to be trusted"):
            await open_socket(process.url.replace("127.0.0.1", "localhost"), tls=trusting(authority))
        with pytest.raises(RelayUnreachable) as caught:
            await open_socket(process.url.replace("wss", "ws"))
        assert "wss://" in caught.value.hint


async def serial(process: Process, authority: Authority) -> int:
    """The serial number of the certificate that a relay shows now."""
    host, port = process.name.split(":")
    _, writer = await asyncio.open_connection(host, int(port), ssl=trusting(authority))
    shown = writer.get_extra_info("peercert")["serialNumber"]
    writer.transport.abort()
    return int(shown, 16)


async def test_a_replaced_certificate_is_taken_up_on_sighup(tmp_path: Path) -> None:
    """After SIGHUP new connections see the new certificate, those that are open go on; nonsense changes nothing."""
    authority = Authority.make(tmp_path)
    log = tmp_path / "relay.log"
    async with relay(tmp_path / "data", "--log-file", str(log), *options(authority.issue())) as process:
        async with connect(process.url, tls=trusting(authority)) as device:
            assert await serial(process, authority) == 2
            authority.issue(serial=3)
            await reloaded(process, log, "read again")
            assert await serial(process, authority) == 3
            (tmp_path / "relay.key").write_text("nonsense")
            await reloaded(process, log, "used together")
            assert await serial(process, authority) == 3
            await device.create_space(SPACE.admin, *SPACE.others)


async def test_a_certificate_of_another_kind_of_key_takes_the_place_of_the_former(tmp_path: Path) -> None:
    """Also of a kind that is chosen later than the former, where a device takes both: nobody sees that one again.

    One of a kind that no device takes is told of, and the next one taken.
    """
    authority = Authority.make(tmp_path)
    log = tmp_path / "relay.log"
    async with relay(tmp_path / "data", "--log-file", str(log), *options(authority.issue())) as process:
        assert await serial(process, authority) == 2
        authority.issue(serial=3, key=rsa.generate_private_key(65537, 2048))
        await reloaded(process, log, "read again")
        assert await serial(process, authority) == 3
        authority.issue(serial=4, key=ec.generate_private_key(ec.SECP256K1()))
        await reloaded(process, log, "no device can speak with")
        authority.issue(serial=5)
        log.write_text("")
        await reloaded(process, log, "read again")
        assert await serial(process, authority) == 5


async def reloaded(process: Process, log: Path, said: str) -> None:
    """Send SIGHUP, and wait until the log says what came of it."""
    process.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(90):
        while said not in log.read_text():  # noqa: ASYNC110 (a file announces nothing)
            await asyncio.sleep(0.01)


async def test_what_was_read_from_a_pipe_is_not_waited_for_again(tmp_path: Path) -> None:
    """SIGHUP while nobody writes to it: that it is not read again is told, and everybody is served, as before."""
    log, pipe = tmp_path / "relay.log", tmp_path / "tokens"
    os.mkfifo(pipe)
    writing = asyncio.create_task(asyncio.to_thread(pipe.write_text, "token"))
    async with relay(tmp_path / "data", "--log-file", str(log), "--token-file", str(pipe)) as process:
        await writing
        await reloaded(process, log, "token_file is a pipe")
        async with connect(process.url) as device:
            await device.create_space(SPACE.admin, *SPACE.others, token="token")


async def test_a_file_that_the_relay_may_not_look_at_any_more_is_told_of(tmp_path: Path) -> None:
    """As one in a folder that its user may not enter since: SIGHUP says so, and once it is there again it is read."""
    log, tokens = tmp_path / "relay.log", tmp_path / "tokens"
    tokens.write_text("token")
    async with relay(tmp_path / "data", "--log-file", str(log), "--token-file", str(tokens)) as process:
        tokens.unlink()
        tokens.symlink_to("x" * 300)  # longer than a name may be: what root may not look at either
        await reloaded(process, log, "can't be read")
        tokens.unlink()
        tokens.write_text("another")
        await reloaded(process, log, "read again")
        async with connect(process.url) as device:
            await device.create_space(SPACE.admin, *SPACE.others, token="another")


def test_what_is_no_certificate_is_a_typed_error(tmp_path: Path) -> None:
    """Files that are not there, of another kind, of another's key, a key with a passphrase: one line each."""
    authority = Authority.make(tmp_path)
    chain, key = authority.issue()
    other = tmp_path / "other"
    other.mkdir()
    _, wrong = Authority.make(other).issue()
    for bad in ((tmp_path / "nothing", key), (key, key), (chain, chain), (chain, wrong), (chain, tmp_path)):
        with pytest.raises(BadConfiguration):
            Certificate(*bad)


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_key_of_another_certificate_is_said_to_be(tmp_path: Path, kind: str) -> None:
    """As where the authority's certificate comes first in the file: both files are well, and named."""
    authority = Authority.make(tmp_path)
    chain, _ = authority.issue()
    other = tmp_path / "other"
    other.mkdir()
    _, wrong = Authority.make(other).issue(key=rsa.generate_private_key(65537, 2048) if kind == "rsa" else None)
    with pytest.raises(BadConfiguration, match="is not that of the first certificate in") as caught:
        Certificate(chain, wrong)
    assert str(chain) in caught.value.message and str(wrong) in caught.value.message


async def test_a_certificate_that_is_over_is_told_in_the_log(tmp_path: Path) -> None:
    """When it is taken up, at the start or later: devices that turn away tell the relay nothing that says why."""
    authority, log = Authority.make(tmp_path), tmp_path / "log"
    chain, secret = authority.issue(ends=2021)
    async with relay(tmp_path / "data", "--log-file", str(log), "--set", f"tls_certificate={chain}",
                     "--set", f"tls_key={secret}") as process:
        assert "the certificate is over" in log.read_text()
        for ends, told in ((2021, True), (2090, False)):
            authority.issue(ends=ends)
            log.write_text("")
            await reloaded(process, log, "read again")
            assert ("the certificate is over" in log.read_text()) is told


@pytest.mark.parametrize(("ends", "expected"), [
    (2090, datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC).timestamp()), (2021, 0.0)])
def test_the_end_of_a_certificate_is_known(tmp_path: Path, ends: int, expected: float) -> None:
    """It is told in seconds since 1970, and 0 for one that is over."""
    assert Certificate(*Authority.make(tmp_path).issue(ends=ends)).expires == expected


def test_the_operator_prints_the_pin_of_the_key(tmp_path: Path) -> None:
    """`chez-relay pin` of a file or of the settings, and `doctor`: what `cryptography` finds; else a line says why."""
    chain, key = Authority.make(tmp_path).issue()
    spki = x509.load_pem_x509_certificate(chain.read_bytes()).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    expected = "sha256:" + base64.b64encode(hashlib.sha256(spki).digest()).decode()
    run = CliRunner()
    assert run.invoke(main, ["pin", str(chain)]).output == run.invoke(main, ["pin", *options((chain, key))]).output
    assert run.invoke(main, ["pin", str(chain)]).output.strip() == expected
    assert expected in run.invoke(main, ["doctor", "--data", str(tmp_path), *options((chain, key))]).output
    for bad in ([], [str(key)], [str(tmp_path / "nothing")]):
        failed = run.invoke(main, ["pin", *bad])
        assert failed.exit_code == 1 and failed.output.startswith("chez-relay: ")
