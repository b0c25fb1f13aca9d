"""What the repository makes of its own code: the API's reference, the SDK without an event loop.

    python -m tools.api > docs/api.md
    python -m tools.blocking

Tests fail when what these write is not what is committed.
"""
