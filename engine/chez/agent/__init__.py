"""The owner process of a home: it unlocks once and serves requests over a local socket.

    protocol.py   messages as bytes, without I/O
    paths.py      where the socket is, and who may use it
    ui.py         how a verb talks to a person, near or through the socket
    verbs.py      what can be asked: one small function for each request
    owner.py      the server

Nothing is imported here: `chez get` through an owner must not pay for what only the
owner needs.
"""

__all__ = ()
