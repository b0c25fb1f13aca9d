"""A file whose bytes are looked up where they are asked for: what `io` wants to know of it beside that."""

import io

__all__ = ("Positioned",)


class Positioned(io.RawIOBase):
    """`size` bytes, of which `at` gives some; everything else of a file that is read and sought in."""

    size: int
    _at = 0

    def at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from there, none at the end."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        at = offset + (0, self._at, self.size)[whence]
        if at < 0:
            raise ValueError("there is nothing before the beginning")
        self._at = at
        return at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self.at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
