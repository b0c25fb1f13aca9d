"""What can go wrong with bytes from outside.

    WireError
    ├── FrameError      a message is no frame of this protocol
    └── EnvelopeError   bytes are no sealed entry of this format

Both are the sender's fault, never the reader's; neither says anything about content.
"""

__all__ = ("EnvelopeError", "FrameError", "WireError")


class WireError(ValueError):
    """Bytes from outside do not follow the format."""


class FrameError(WireError):
    """A message is too large, not MessagePack, or no known frame."""


class EnvelopeError(WireError):
    """A sealed entry has a wrong magic, version or length."""
