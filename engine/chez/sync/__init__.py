"""A device's side of the relay: the session as a state machine, and the websocket shell around it.

    session.py     `ClientSession`: one connection, no I/O (the counterpart of chez_relay.session)
    answers.py     what a relay may say to it: each frame against what was asked
    connection.py  `RelayConnection`: the same over a websocket
"""
