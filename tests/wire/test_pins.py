"""The pin of a certificate's key, held against what two other programs say of it."""

import base64
import hashlib
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from chez_wire.errors import WireError
from chez_wire.pins import CertificateError, check_pin, pin_of
from tests.relay.certificates import Authority


def _expected(der: bytes) -> str:
    key = x509.load_der_x509_certificate(der).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + base64.b64encode(hashlib.sha256(key).digest()).decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    chain, _ = Authority.make(tmp_path_factory.mktemp("authority")).issue()
    return ssl.PEM_cert_to_DER_cert(chain.read_text())


@pytest.mark.parametrize("kind", ["rsa:2048", "ec", "ed25519"])
def test_the_pin_is_that_of_other_programs(tmp_path: Path, kind: str) -> None:
    """RSA, elliptic curves and Ed25519, made by openssl: the hash is what `cryptography` and openssl find."""
    options = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else [kind]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *options, "-keyout", tmp_path / "key", "-nodes", "-out",
                    tmp_path / "pem", "-days", "9", "-subj", "/CN=a relay"], check=True, capture_output=True)
    der = ssl.PEM_cert_to_DER_cert((tmp_path / "pem").read_text())
    public = subprocess.run(["openssl", "x509", "-in", tmp_path / "pem", "-pubkey", "-noout"], check=True,
                            capture_output=True).stdout
    spki = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public, check=True,
                          capture_output=True).stdout
    assert pin_of(der) == _expected(der) == check_pin("sha256:" + base64.b64encode(
        hashlib.sha256(spki).digest()).decode())


def test_a_renewed_certificate_of_the_same_key_has_the_same_pin(tmp_path: Path, certificate: bytes) -> None:
    """A certificate of another key has another pin, and one without the version's field is walked too."""
    other = ssl.PEM_cert_to_DER_cert(Authority.make(tmp_path).issue()[0].read_text())
    assert pin_of(certificate) != pin_of(other)
    key, request = str(tmp_path / "key"), str(tmp_path / "request")
    _openssl("req", "-newkey", "ed25519", "-nodes", "-keyout", key, "-subj", "/CN=a", "-out", request)
    made = [ssl.PEM_cert_to_DER_cert(_openssl("x509", "-req", "-in", request, "-signkey", key, "-days", days))
            for days in ("9", "90")]
    assert x509.load_der_x509_certificate(made[0]).version is x509.Version.v1
    assert made[0] != made[1] and pin_of(made[0]) == pin_of(made[1]) == _expected(made[0])


def _openssl(*words: str) -> str:
    return subprocess.run(["openssl", *words], check=True, capture_output=True, text=True).stdout


@given(data=st.data())
def test_what_is_no_certificate_is_a_typed_error(certificate: bytes, data: st.DataObject) -> None:
    """Cut off, altered in a byte, or anything else: a pin or `CertificateError`, at once."""
    place = data.draw(st.integers(0, len(certificate) - 1))
    byte = data.draw(st.integers(0, 255))
    for tried in (certificate[:place], certificate[:place] + bytes([byte]) + certificate[place + 1:],
                  data.draw(st.binary(max_size=200))):
        try:
            assert check_pin(pin_of(tried)) == pin_of(tried)
        except CertificateError:
            continue


def test_each_part_is_what_stands_in_its_place(certificate: bytes) -> None:
    """A certificate, what is signed of it, or its key under another tag, a tag of several bytes, or a part that is cut
    off within its head: nothing of it is taken for a key."""
    body = certificate.index(b"\x30", 1)
    version = certificate.index(b"\xa0\x03\x02\x01\x02")
    key = x509.load_der_x509_certificate(certificate).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    for place, tag in ((0, 0x31), (body, 0x31), (certificate.index(key), 0x31), (version + 5, 0x1F)):
        with pytest.raises(CertificateError):
            pin_of(certificate[:place] + bytes([tag]) + certificate[place + 1:])
    for cut in (b"", b"\x30", b"\x30\x01\x30", b"\x30\x04\x30\x02\xa0\x00", b"\x30\x05\x30\x03\xa0\x00\x02"):
        with pytest.raises(CertificateError):
            pin_of(cut)


@pytest.mark.parametrize("bad", ["", "sha256:", "sha256:AAAA", "sha1:" + "A" * 43 + "=", "sha256:" + "!" * 44,
                                 "sha256:" + "A" * 42 + "ä="])
def test_what_is_no_pin_is_refused(bad: str) -> None:
    """Another hash, another length, no base64."""
    with pytest.raises(WireError):
        check_pin(bad)
