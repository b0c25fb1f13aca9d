"""The blind relay: per-space logs of sealed entries, inboxes, and fan-out.

    session.py   one connection as a state machine (no I/O, no clock, no randomness)
    transitions.py, roles.py, entitled.py, subscriptions.py, signed.py, chunks.py, ephemeral.py    its parts
    verify.py    signatures: all the cryptography a relay has
    fanout.py    who is told about what was just committed
    storage/     the log's interface, in memory and on SQLite
    server.py    the websocket shell around all of these
    door.py, handshake.py, addresses.py, limits.py    who is let in, and what one address may make it hold
    process.py   `chez-relay serve` from its settings (config.py, settings.py) to its last answer
    counts.py, metrics.py, status.py, logs.py, doctor.py, top.py    what an operator sees
    cli.py       `chez-relay`

It imports `chez_wire` and nothing else of Chez: it could not read an entry if it wanted to.
"""
