"""A relay's certificate: from two files, and again from them when they were replaced."""

import ssl
from pathlib import Path
from typing import Final

from chez_relay.errors import BadConfiguration
from chez_wire.pins import pin_of

__all__ = ("Certificate", "pin_in")

_MISMATCH: Final = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")
"""What OpenSSL says of a key that is another certificate's."""


class Certificate:
    """What a relay proves its name with to who dials `wss://`.

    `certificate` is a PEM file of the certificate and those between it and its authority, `key` one of
    its secret key. Raises `BadConfiguration` when they can't be read, or don't belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = certificate, key
        context, expires = self._taken()
        self.context = context
        """For connections that begin from now on."""
        self.expires = expires
        """When the certificate ends, in seconds since 1970."""

    def reload(self) -> None:
        """Take the files as they are now: there is another context then.

        OpenSSL keeps a certificate of each kind of key in one, and would go on with that of a kind it had before.

        Raises `BadConfiguration`; what was in force then stays so.
        """
        self.context, self.expires = self._taken()

    def _taken(self) -> tuple[ssl.SSLContext, float]:
        context = _context()
        self._take(context)
        try:
            return context, _expiry(context, self._files[0])
        except OSError as error:  # OpenSSL's are, too
            raise BadConfiguration(
                f"no device can speak with who has the certificate {self._files[0]}: {error.strerror or error}",
                "keys of ECDSA (P-256), Ed25519 or RSA are known everywhere") from error

    def _take(self, context: ssl.SSLContext) -> None:
        try:
            # Else OpenSSL would ask for the passphrase of a key that has one, at the terminal.
            context.load_cert_chain(*self._files, password=lambda: b"")
        except ssl.SSLError as error:
            certificate, key = self._files
            if error.reason in _MISMATCH:
                raise BadConfiguration(f"the key {key} is not that of the first certificate in {certificate}",
                                       "the relay's own comes first there, then those of its authorities") from error
            raise BadConfiguration(f"the certificate {certificate} and its key {key} can't be used together",
                                   "both are PEM files, and the key has no passphrase") from error
        except OSError as error:
            raise BadConfiguration(f"the certificate {self._files[0]} or its key {self._files[1]} can't be read: "
                                   f"{error.strerror}") from error


def pin_in(certificate: Path) -> str:
    """The pin of the key of the first certificate in a PEM file, which is the relay's own.

    Raises `BadConfiguration` when it can't be read.
    """
    try:
        text = certificate.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise BadConfiguration(f"the certificate {certificate} can't be read: {error.strerror}") from error
    begin, end = text.find(ssl.PEM_HEADER), text.find(ssl.PEM_FOOTER)
    try:
        return pin_of(ssl.PEM_cert_to_DER_cert(text[max(begin, 0):end + len(ssl.PEM_FOOTER)]))
    except ValueError as error:
        raise BadConfiguration(f"there is no certificate in {certificate}", "it is a PEM file") from error


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 (3.1.1): nothing before it
    context.options |= ssl.OP_NO_RENEGOTIATION  # a handshake costs the relay more than who asks for it, again and again
    return context


def _expiry(server: ssl.SSLContext, certificate: Path) -> float:
    """When it ends; 0 when that is past, or not yet begun.

    Python tells what is in a certificate only to a client that trusts it: so one is greeted in memory.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(certificate)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (here, there, here, there):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError:
            return 0.0
    ends = (here.getpeercert() or {}).get("notAfter")
    return float(ssl.cert_time_to_seconds(str(ends))) if ends else 0.0
