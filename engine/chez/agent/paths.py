"""Where a home's owner listens, and who may speak with it.

The socket is `owner.sock` in the home's folder. A unix socket's path has about 108
bytes at most, so for a deep folder the socket is put into a fresh private folder under
XDG_RUNTIME_DIR (or the temporary folder) and its path is written into `owner.socket` in
the home, with that folder's own number: a copy of the home leads nobody to the owner of the
original. Three walls stand before it: folder mode 0700, socket mode 0600, and the
kernel's word for who is at the other end (SO_PEERCRED).
"""

import contextlib
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final

from chez.errors import InvalidValue, StorageFailed

__all__ = ("MAX_SOCKET_PATH", "Listener", "adopt", "connect", "listen", "peer_uid", "socket_path", "told")

MAX_SOCKET_PATH: Final = 100
"""Bytes of a socket's path: Linux allows 107, macOS 103."""

SOCKET_NAME: Final = "owner.sock"
POINTER_NAME: Final = "owner.socket"
_PREFIX: Final = "chez-"
_MAX_POINTER: Final = 4096


def told(path: Path) -> str:
    """A path in an answer: JSON and MessagePack carry text, which a folder's name need not be."""
    return os.fsencode(path).decode(errors="backslashreplace")


def socket_path(home: Path) -> Path | None:
    """The path of the socket of this home, or None when no owner announced one."""
    direct = home / SOCKET_NAME
    if _short(direct):
        return direct if direct.exists() else None
    try:
        folder, _, text = (home / POINTER_NAME).read_bytes()[:_MAX_POINTER].decode().partition("\n")
        if folder != _number(home):
            return None
    except (OSError, UnicodeDecodeError):
        return None
    return Path(text) if text and "\0" not in text and _short(Path(text)) else None


def _number(home: Path) -> str:
    """What a folder keeps when it is moved, and a copy has not."""
    about = home.stat()
    return f"{about.st_dev} {about.st_ino}"


def connect(home: Path) -> socket.socket | None:
    """A connection to the owner of this home; None when no owner answers.

    The owner must run as this user: another one's process in its place gets nothing.
    """
    path = socket_path(home)
    if path is None:
        return None
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.connect(os.fspath(path))
        if peer_uid(link) in (None, os.getuid()):
            return link
    except OSError:
        pass
    link.close()
    return None


def peer_uid(link: socket.socket) -> int | None:
    """The user at the other end of a unix socket; None where the system can't tell."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


class Listener:
    """A listening socket and the files that announce it; `close` removes them."""

    def __init__(self, home: Path, path: Path, link: socket.socket, folder: Path | None) -> None:
        self.path = path
        self.socket = link
        self._home = home
        self._folder = folder

    def inherit(self) -> int:
        """The socket's descriptor, for the program that this process becomes (`adopt`)."""
        self.socket.set_inheritable(True)
        return self.socket.fileno()

    def close(self) -> None:
        """Stop listening and leave nothing behind. Idempotent."""
        self.socket.close()
        _remove(self._home, self.path, self._folder)


def listen(home: Path) -> Listener:
    """Listen for this home. The caller holds the home's lock, so what is there is stale.

    Raises `StorageFailed` when the socket can't be made.
    """
    folder: Path | None = None
    try:
        _tighten(home)
        _clean(home)
        path = home / SOCKET_NAME
        if not _short(path):
            import tempfile

            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_runtime_folder()))
            path = folder / SOCKET_NAME
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.bind(os.fspath(path))
            # Between bind and listen nobody can connect, so the mode comes in time.
            os.chmod(path, 0o600)
            link.listen(64)
            link.setblocking(False)
            if folder is not None:
                _write_pointer(home, path)
        except BaseException:
            link.close()
            raise
    except OSError as error:
        if folder is not None:
            _remove(home, folder / SOCKET_NAME, folder)
        raise StorageFailed(f"the owner's socket can't be made in {home}: {error.strerror or error}",
                            "check the folder's owner and free space") from None
    return Listener(home, path, link, folder)


def adopt(home: Path, descriptor: int) -> Listener:
    """Go on listening for this home on a socket that this process had before it replaced its program.

    Raises `InvalidValue` when the descriptor is none of the home's.
    """
    path = socket_path(home)
    try:
        link = socket.socket(fileno=descriptor)
        link.set_inheritable(False)
        link.setblocking(False)
        name = link.getsockname()
    except OSError as error:
        raise InvalidValue(f"descriptor {descriptor} is no socket: {error.strerror}") from None
    if path is None or name != os.fspath(path):
        link.close()
        raise InvalidValue(f"descriptor {descriptor} is not this home's socket")
    return Listener(home, path, link, None if path.parent == home else path.parent)


def _short(path: Path) -> bool:
    return len(os.fsencode(path)) <= MAX_SOCKET_PATH


def _runtime_folder() -> str:
    """Where a private folder with a short path can be made."""
    import tempfile

    for folder in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir()):
        # Room for "/chez-xxxxxxxx/owner.sock".
        if os.path.isdir(folder) and len(os.fsencode(folder)) <= MAX_SOCKET_PATH - 30:
            return folder
    return "/tmp"


def _tighten(home: Path) -> None:
    if stat.S_IMODE(home.stat().st_mode) & 0o077:
        os.chmod(home, 0o700)


def _clean(home: Path) -> None:
    """Remove what an owner that was killed left behind."""
    stale = socket_path(home)
    if stale is not None and stale.parent != home:
        mine = stale.name == SOCKET_NAME and stale.parent.name.startswith(_PREFIX)
        if mine and stale.parent.is_dir() and stale.parent.stat().st_uid == os.getuid():
            _remove(home, stale, stale.parent)
    _remove(home, home / SOCKET_NAME, None)


def _remove(home: Path, path: Path, folder: Path | None) -> None:
    for file in (path, home / POINTER_NAME):
        with contextlib.suppress(OSError):
            file.unlink()
    if folder is not None:
        with contextlib.suppress(OSError):
            folder.rmdir()


def _write_pointer(home: Path, path: Path) -> None:
    fresh = home / (POINTER_NAME + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_number(home).encode() + b"\n" + os.fsencode(path))
    os.replace(fresh, home / POINTER_NAME)
