"""Certificates for a relay on loopback, from an authority that nobody knows."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ("Authority",)

BEGIN = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def _pem(key: Key) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `file` is its own."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path, name: str = "an authority") -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        made = (x509.CertificateBuilder().subject_name(_name(name)).issuer_name(_name(name))
                .public_key(key.public_key()).serial_number(1).not_valid_before(BEGIN)
                .not_valid_after(datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC))
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
                .sign(key, hashes.SHA256()))
        authority = cls(folder, key, made)
        authority.file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return authority

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def issue(self, serial: int = 2, ends: int = 2090, key: Key | None = None,
              name: str = "localhost.example") -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and a name that ends with the year before, with its key; replaces the one before.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        # Python 3.13 trusts none that does not say it (RFC 5280, 4.2.1.1).
        signed = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName(name)])
        made = (x509.CertificateBuilder().subject_name(_name("a relay")).issuer_name(self.certificate.subject)
                .public_key(key.public_key()).serial_number(serial).not_valid_before(BEGIN)
                .not_valid_after(datetime.datetime(ends, 1, 1, tzinfo=datetime.UTC))
                .add_extension(names, critical=False)
                .add_extension(signed, critical=False)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .sign(self.key, hashes.SHA256()))
        chain, secret = self.folder / "relay.pem", self.folder / "relay.key"
        chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(_pem(key))
        return chain, secret
