"""Deposits on the person's devices: addresses made and revoked, what organisations left taken in, acknowledged.

    addresses.py    the addresses, which are records of the private space
    intake.py       one message becomes records, in one transaction
    taking.py       the relay: inboxes kept open and emptied, acknowledgements sent
    desk.py         `home.deposits`
"""
