"""The relay: storage, sessions, the real server."""
