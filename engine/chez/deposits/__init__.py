"""Deposits: what a person and an organisation hand each other, byte by byte; no I/O, no home.

    card        who an organisation is, under its signature               `card.py`
    address     where one organisation may leave which records            `address.py`
    types       what a record of an address looks like, checked           `types.py`
    message     records on their way to the person, signed and sealed     `message.py`
    ack         the person's device's word that a message was taken       `acks.py`

The device's side is `chez.home.deposits`, the organisation's is the package `chez_deposit`.
"""
