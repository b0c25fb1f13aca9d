"""Why there is no connection, in words that say what to do: from what the websocket library raises.

Where something answers that is no relay, that is told apart (`NotARelay`): most often it is the
page of a network that wants one to log in, and not a relay that is down.
"""

import errno
import os
import socket
import ssl
from typing import Final

from websockets.exceptions import InvalidHandshake, InvalidProxy, InvalidProxyStatus, InvalidStatus, ProxyError

from chez.errors import NotARelay, RelayUnreachable, WrongPin
from chez.sync.dialling import NoAddress
from chez_wire.pins import CertificateError

__all__ = ("DIALLING", "ForeignKey", "ForeignProxy", "why")


class ForeignKey(Exception):
    """TLS stands with somebody whose key is none of the pins."""


class ForeignProxy(Exception):
    """TLS does not stand with a proxy that was to be spoken to over it; its cause is why."""


DIALLING: Final = (OSError, TimeoutError, InvalidHandshake, InvalidProxy, ImportError, ForeignKey, ForeignProxy,
                   CertificateError, ValueError)
"""What may be raised where a websocket is opened; the last for what can be nobody's name, or no port."""

LOGIN_WANTED: Final = 511
"""Network Authentication Required (RFC 6585): of a network, never of a relay."""

_TRY: Final = "Check the address and that the relay runs."
_SECURE: Final = "One with a certificate has an address that begins with wss://."
_PROXY: Final = "{} names the proxy: check that, and that it runs."
_LIKE: Final = "{} names the proxy, whose address looks like http://host:port; socks5:// needs python-socks."
_PORTAL: Final = ("A network that wants you to log in answers in a relay's place: open a page in a browser; "
                  "or the address is that of something else.")
_DATES: Final = (9, 10)
"""What OpenSSL calls a certificate that is not valid yet, or no more."""

_NO_NETWORK: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL)


def why(error: Exception, name: str, *, proxy_by: str = "") -> RelayUnreachable:
    """What is raised instead of an error of the library, while `name` was dialled.

    `proxy_by`: what named the proxy that leads there, as a hint says it; empty where it was dialled straight.
    """
    if (found := _of_the_proxy(error, name, proxy_by)) is not None:
        return found
    match error:
        case TimeoutError():
            return RelayUnreachable(f"there is no connection to {name}: it did not answer in time", _TRY)
        case ForeignKey() | CertificateError():
            return WrongPin(
                f"what answers at {name} has another key than those pinned for it, and was told nothing",
                "If its operator has a new key, hear its pin from them by another way than this network, and say it "
                "with `chez relay pin`; else somebody is between.")
        case ssl.SSLCertVerificationError(verify_code=code) if code in _DATES:
            return NotARelay(f"the certificate of {name} is not to be trusted: {error.verify_message}",
                             "Look at the clock of this device first; if it is right, the relay's operator has to "
                             "renew the certificate.")
        case ssl.SSLCertVerificationError():
            return NotARelay(
                f"the certificate of {name} is not to be trusted: {error.verify_message}",
                "For a relay with an authority of its own, SSL_CERT_FILE names that one's certificate; or a network "
                "that wants you to log in answers in its place.")
        case ssl.SSLError():
            return NotARelay(f"what answers at {name} speaks no TLS", _PORTAL)
        case ValueError() if proxy_by:  # what it says may quote a password
            return RelayUnreachable(f"there is no way to {name} through the proxy: it has an address that can be none",
                                    _LIKE.format(proxy_by))
        case UnicodeError():
            return RelayUnreachable(f"there is no connection to {name}: nobody can have that name", _TRY)
        case InvalidStatus(response=response) if response.status_code == 429:
            return RelayUnreachable(f"{name} has as many connections from here as it takes", "Try again later.")
        case InvalidStatus(response=response) if response.status_code >= 500 and response.status_code != LOGIN_WANTED:
            return RelayUnreachable(f"there is no connection to {name}: something before the relay answers in its "
                                    f"place (HTTP {response.status_code})", _TRY)
        case InvalidStatus(response=response):
            return NotARelay(f"what answers at {name} is no relay (HTTP {response.status_code})", _PORTAL)
        case InvalidHandshake() if isinstance(error.__cause__, EOFError):  # as one with TLS does where none is spoken
            return RelayUnreachable(f"there is no connection to {name}: it hung up", f"{_TRY} {_SECURE}")
        case InvalidHandshake():
            return NotARelay(f"what answers at {name} is no relay ({error})", _PORTAL)
        case _ if proxy_by:
            return RelayUnreachable(f"there is no way to {name}, for there is none to the proxy: {_plainly(error)}",
                                    _PROXY.format(proxy_by))
        case _:
            return RelayUnreachable(f"there is no connection to {name}: {_plainly(error)}", _TRY)


def _of_the_proxy(error: Exception, name: str, proxy_by: str) -> RelayUnreachable | None:
    """The same of what concerns the proxy on the way there; None for all else."""
    match error:
        case TimeoutError() if proxy_by:
            return RelayUnreachable(f"there is no way to {name}: no answer came through the proxy in time, or there is "
                                    "none to the proxy", f"{_PROXY.format(proxy_by)} {_TRY}")
        case ForeignProxy():
            cause = error.__cause__
            said = (f"has a certificate that is not to be trusted: {cause.verify_message}"
                    if isinstance(cause, ssl.SSLCertVerificationError) else "speaks no TLS")
            return RelayUnreachable(f"there is no way to {name}, for the proxy {said}",
                                    f"{_PROXY.format(proxy_by)} For an authority of its own, SSL_CERT_FILE names that "
                                    "one's certificate.")
        case InvalidProxyStatus():
            return RelayUnreachable(f"the proxy lets nothing through to {name} (HTTP {error.response.status_code})",
                                    f"{proxy_by} names the proxy, with a user's name and password where it wants them.")
        case InvalidProxy():  # in one piece it quotes the address, and a password in it
            return RelayUnreachable(f"there is no way to {name} through the proxy: {error.msg}",
                                    _LIKE.format(proxy_by))
        case ProxyError() | ImportError():
            return RelayUnreachable(f"there is no way to {name} through the proxy ({error})",
                                    _LIKE.format(proxy_by))
        case _:
            return None


def _plainly(error: Exception) -> str:
    """What the system says of a connection that was not made, in words for people."""
    match error:
        case NoAddress(errors=each):
            return "; ".join(dict.fromkeys(map(_plainly, each)))
        case ConnectionRefusedError():
            return "nothing listens there"
        case socket.gaierror():
            return "nobody knows its name, or there is no network"
        case OSError(errno=number) if number in _NO_NETWORK:
            return "there is no way there from this network, or no network"
        case OSError(errno=number) if number:
            return os.strerror(number).lower()
        case ConnectionError() if not str(error):  # asyncio's own, where a socket is closed before TLS stands
            return "it hung up"
        case _:
            return str(error)
