"""Attachments: content of any size beside records, sealed in chunks, kept once, fetched when wanted.

    format.py      content to sealed pieces and back: pure
    files.py       sealed pieces as files of the home
    tables.py      what the database knows of blobs, as functions over an open transaction
    collector.py   freeing what no record holds
    adding.py      a stream of content becomes a blob
    whole.py       the content of a blob that is all here, read by a plain function
    reports.py     what is said of attachments
    pieces.py      the pieces of one blob, from the disk or from a relay
    transfer.py    connections to a relay that carry chunks
    attachments.py `Blobs`: what an application uses, as `home.blobs`
"""

__all__ = ()
