"""What a device and a relay both ask of a disk, so that nothing acknowledged is lost with the power.

    folders.py   names that are durable
    logs.py      the log of an SQLite store (WAL): made sure of when it is found, given room before it grows
"""
